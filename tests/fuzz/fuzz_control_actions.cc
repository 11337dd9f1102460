// Any list of actions on the two halves of the bus: messages as bytes or well formed, legal or not, in
// either direction, and the calls of devices and drivers. No action may crash a half, or make the host
// break a rule of HostObserver; a guest frees exactly the rings it has lent.
//
// Input: one byte an action, then its arguments, a byte each. What is missing reads as 0.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <set>
#include <span>
#include <variant>
#include <vector>

#include "emu/control/guest_half.h"
#include "emu/control/host_half.h"
#include "emu/protocol/gpa_range.h"
#include "emu/protocol/hvsock_offer.h"
#include "tests/model/host_observer.h"

namespace {

using namespace vmbus;
using proto::Relid;

class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const std::uint8_t value = rest_.front();
    rest_ = rest_.subspan(1);
    return value;
  }
  Relid relid() { return Relid{byte() % 8U}; }
  proto::Guid guid() { return {byte() % 4U, 0, 0, {}}; }
  proto::HvsockInitiator initiator() {
    return byte() % 2 == 0 ? proto::HvsockInitiator::kGuest : proto::HvsockInitiator::kHost;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

class Bus {
 public:
  void act(Input& input) {
    constexpr std::uint8_t kActions = 20;
    switch (input.byte() % kActions) {
      case 0:
        return to_host(raw(input));
      case 1:
        return to_host(words(input));
      case 2:
        return to_guest(raw(input));
      case 3:
        return to_guest(words(input));
      case 4:
        return contact(input);
      case 5:
        return lend(input);
      case 6:
        return shuttle_to_host();
      case 7:
        return shuttle_to_guest();
      case 8:
        static_cast<void>(
            host_.offer_hvsock(input.guid(), input.guid(), input.initiator(), host_effects_));
        break;
      case 9:
        host_.refuse_connect(input.guid(), input.guid(), host_effects_);
        break;
      case 10:
        static_cast<void>(host_.complete_open(input.relid(), input.byte() % 2 != 0, host_effects_));
        break;
      case 11:
        static_cast<void>(host_.complete_close(input.relid(), host_effects_));
        break;
      case 12:
        static_cast<void>(host_.rescind(input.relid(), host_effects_));
        break;
      case 13:
        guest_.contact(guest_effects_);
        break;
      case 14:
        guest_.unload(guest_effects_);
        break;
      case 15:
        static_cast<void>(guest_.tl_connect(input.guid(), input.guid(), guest_effects_));
        break;
      case 16:
        open(input);
        break;
      case 17:
        static_cast<void>(guest_.close(input.relid(), guest_effects_));
        break;
      case 18:
        static_cast<void>(guest_.refuse(input.relid(), guest_effects_));
        break;
      case 19:
        static_cast<void>(guest_.open_channel_of(proto::EventFlag{input.byte()}));
        static_cast<void>(guest_.signal_connection(input.relid()));
        static_cast<void>(host_.is_open(input.relid()));
        break;
      default:
        break;
    }
    settle();
  }

 private:
  using Bytes = std::vector<std::byte>;

  static Bytes raw(Input& input) {
    Bytes bytes(input.byte() % (proto::kMaxMessageBytes + 1));
    for (std::byte& byte : bytes) byte = std::byte{input.byte()};
    return bytes;
  }
  // A message type, and fields of 32 bits with small values: what ids and states look like.
  static Bytes words(Input& input) {
    Bytes bytes(proto::kMaxMessageBytes);
    bytes[0] = std::byte{input.byte()};
    const std::size_t count = input.byte() % 32;
    for (std::size_t i = 0; i < count; ++i) bytes[8 + 4 * i] = std::byte{input.byte()};
    return bytes;
  }
  void contact(Input& input) {
    proto::InitiateContact2 message;
    const auto& versions = proto::kVersionsNewestFirst;
    message.contact.requested_version =
        static_cast<std::uint32_t>(versions[input.byte() % versions.size()]);
    message.contact.target_info.features = proto::FeatureFlags::from_bits(input.byte());
    if (!proto::has_features(*proto::parse_version(message.contact.requested_version))) {
      message.contact.target_info = {};
    }
    const auto encoded = proto::encode(message);
    to_host({encoded.bytes().begin(), encoded.bytes().end()});
  }
  // A GPADL of whole pages, up to the piece that the input names.
  void lend(Input& input) {
    const Relid relid = input.relid();
    const proto::GpadlId id{input.byte() % 8U};
    std::vector<std::uint64_t> range(input.byte() % 64 + 2);
    range[0] = (range.size() - 1) * proto::kPageBytes;
    std::fill(range.begin() + 1, range.end(), input.byte());
    proto::GpadlMessages messages(relid, id, range, 1);
    for (std::size_t pieces = input.byte() % 4; pieces > 0; --pieces) {
      const auto message = messages.next();
      if (message) to_host({message->bytes().begin(), message->bytes().end()});
    }
  }
  void open(Input& input) {
    const Relid relid = input.relid();
    const std::array<proto::Pfn, 4> pages{};
    if (guest_.open(relid, pages, 2, guest_effects_)) require(lent_.insert(relid).second);
  }

  void to_host(const Bytes& bytes) {
    if (host_.accepts_messages()) {
      observer_.guest_posts(host_, bytes);
      host_.receive(proto::kMessageConnection, bytes, host_effects_);
    }
    settle();
  }
  void to_guest(const Bytes& bytes) {
    guest_.receive(bytes, guest_effects_);
    settle();
  }
  void shuttle_to_host() {
    if (!from_guest_.empty()) to_host(take(from_guest_));
  }
  void shuttle_to_guest() {
    if (!from_host_.empty()) to_guest(take(from_host_));
  }
  static Bytes take(std::deque<proto::EncodedMessage>& queue) {
    const proto::EncodedMessage message = queue.front();
    queue.pop_front();
    return {message.bytes().begin(), message.bytes().end()};
  }

  void settle() {
    for (const emu::HostEffect& effect : host_effects_) {
      observer_.see(effect);
      if (const auto* deliver = std::get_if<emu::Deliver>(&effect)) {
        if (!deliver->foreign) from_host_.push_back(deliver->message);
      }
    }
    host_effects_.clear();
    for (const emu::GuestEffect& effect : guest_effects_) {
      if (const auto* post = std::get_if<emu::Post>(&effect)) from_guest_.push_back(post->message);
      if (const auto* freed = std::get_if<emu::FreeRings>(&effect)) {
        require(lent_.erase(freed->relid) == 1);
      }
    }
    guest_effects_.clear();
    if (!observer_.violation.empty()) std::fprintf(stderr, "%s\n", observer_.violation.c_str());
    require(observer_.violation.empty());
  }
  static void require(bool condition) {
    if (!condition) std::abort();
  }

  emu::HostHalf host_{{.vp_count = 2, .memory_pages = 64}};
  emu::GuestHalf guest_{{.newest = proto::ProtocolVersion::kV6_0}};
  emu::HostEffects host_effects_;
  emu::GuestEffects guest_effects_;
  std::deque<proto::EncodedMessage> from_host_;
  std::deque<proto::EncodedMessage> from_guest_;
  std::set<Relid> lent_;
  model::HostObserver observer_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input({data, size});
  Bus bus;
  while (!input.empty()) bus.act(input);
  return 0;
}
