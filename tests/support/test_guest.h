// TestGuest: a guest in a test's hand. It posts any bytes to a HostHalf, and looks at what the host
// does, one effect after the other.
//
//   TestGuest guest;
//   guest.connect(ProtocolVersion::kV5_3);
//   const Relid relid = guest.be_offered();
//   guest.open(relid);
//   guest.expect_message<OpenChannelResult>();
#ifndef VMBUS_TESTS_SUPPORT_TEST_GUEST_H_
#define VMBUS_TESTS_SUPPORT_TEST_GUEST_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "emu/control/effect.h"
#include "emu/control/host_half.h"
#include "emu/protocol/gpa_range.h"
#include "emu/protocol/messages.h"

namespace vmbus::emu {

inline constexpr proto::Guid kService{
    1024, 0xFACB, 0x11E6, {0xBD, 0x58, 0x64, 0, 0x6A, 0x79, 0x86, 0xD3}};
inline constexpr proto::Guid kEndpoint{
    4711, 0xFACB, 0x11E6, {0xBD, 0x58, 0x64, 0, 0x6A, 0x79, 0x86, 0xD3}};

// Knows every message of the host: what a trace decodes with.
inline constexpr proto::Negotiated kEverything{proto::ProtocolVersion::kV6_0, proto::kAllFeatures};

inline proto::Guid numbered(const proto::Guid& guid, std::uint32_t number) {
  proto::Guid result = guid;
  result.data1 = number;
  return result;
}

class TestGuest {
 public:
  static constexpr proto::GpadlId kRings{0xE1E10};
  static constexpr std::uint32_t kRingPages = 2;  // of each ring

  explicit TestGuest(HostConfig config = default_config()) : host(config) {}
  static HostConfig default_config() { return {.vp_count = 4, .memory_pages = 1024}; }

  // ---- the guest speaks
  void post_bytes(std::span<const std::byte> bytes,
                  proto::ConnectionId via = proto::kMessageConnection) {
    host.receive(via, bytes, effects);
  }
  void post(const proto::Message& message, proto::ConnectionId via = proto::kMessageConnection) {
    post_bytes(proto::encode(message).bytes(), via);
  }
  static proto::InitiateContact contact_of(proto::ProtocolVersion version,
                                           proto::FeatureFlags features = {}) {
    proto::InitiateContact contact{.requested_version = static_cast<std::uint32_t>(version)};
    if (proto::has_message_connection_id(version)) contact.target_info.sint = proto::kVmbusSint;
    if (proto::has_features(version)) contact.target_info.features = features;
    return contact;
  }
  // Contact and offers.
  void connect(proto::ProtocolVersion version = proto::ProtocolVersion::kV5_3,
               proto::FeatureFlags features = {}) {
    post(proto::InitiateContact2{.contact = contact_of(version, features), .client_id = {}});
    if (proto::has_interrupt_page(version)) expect<UseInterruptPage>();
    static_cast<void>(next());  // VERSION_RESPONSE, in any layout
    post(proto::RequestOffers{});
    expect_message<proto::AllOffersDelivered>();
    expect_nothing();
  }
  // The host dials.
  proto::Relid be_offered(std::uint32_t port = 1024) {
    const auto relid = host.offer_hvsock(numbered(kService, port), numbered(kEndpoint, port),
                                         proto::HvsockInitiator::kHost, effects);
    EXPECT_TRUE(relid.has_value());
    expect_message<proto::OfferChannel>();
    return relid.value_or(proto::Relid{});
  }
  // One range of `pages` pages, from page `first` on.
  static std::vector<std::uint64_t> range_of(std::size_t pages, std::uint64_t first = 0) {
    std::vector<std::uint64_t> words(pages + 1);
    words[0] = pages * proto::kPageBytes;
    std::iota(words.begin() + 1, words.end(), first);
    return words;
  }
  void lend(proto::Relid relid, proto::GpadlId id, std::span<const std::uint64_t> words,
            std::uint16_t range_count = 1) {
    proto::GpadlMessages messages(relid, id, words, range_count);
    while (const auto message = messages.next()) post_bytes(message->bytes());
  }
  void lend_rings(proto::Relid relid, proto::GpadlId id = kRings) {
    lend(relid, id, range_of(2 * kRingPages));
    EXPECT_TRUE(expect_message<proto::GpadlCreated>().status.ok());
  }
  static proto::OpenChannel open_of(proto::Relid relid, proto::GpadlId rings = kRings) {
    return {.relid = relid,
            .open_id = proto::OpenId{77},
            .ring_gpadl = rings,
            .target_vp = proto::VpIndex{0},
            .downstream_page_offset = kRingPages};
  }
  // A GPADL for the rings, OPEN_CHANNEL, and a device that says yes.
  void open(proto::Relid relid, proto::GpadlId rings = kRings) {
    lend_rings(relid, rings);
    post(open_of(relid, rings));
    expect<ConnectSignals>();
    expect<OpenDevice>();
    EXPECT_TRUE(host.complete_open(relid, true, effects).has_value());
    EXPECT_TRUE(expect_message<proto::OpenChannelResult>().status.ok());
  }

  // ---- what the host did
  template <typename Effect>
  Effect expect() {
    if (effects.empty()) {
      ADD_FAILURE() << "the host did nothing more";
      return {};
    }
    const HostEffect effect = next();
    const auto* typed = std::get_if<Effect>(&effect);
    if (typed == nullptr) ADD_FAILURE() << "another effect: number " << effect.index();
    return typed == nullptr ? Effect{} : *typed;
  }
  template <typename Struct>
  Struct expect_message() {
    const auto deliver = expect<Deliver>();
    const auto decoded =
        proto::decode(deliver.message.bytes(), proto::Direction::kHostToGuest, kEverything);
    const auto* message = std::get_if<proto::Message>(&decoded);
    const auto* typed = message == nullptr ? nullptr : std::get_if<Struct>(message);
    if (typed == nullptr) ADD_FAILURE() << "another message";
    return typed == nullptr ? Struct{} : *typed;
  }
  void expect_reject(ProtocolError error) {
    EXPECT_EQ(static_cast<int>(expect<Reject>().error), static_cast<int>(error));
  }
  // The guest's mistake has no other consequence.
  void expect_only_reject(ProtocolError error) {
    expect_reject(error);
    expect_nothing();
  }
  void expect_nothing() {
    EXPECT_TRUE(effects.empty()) << "effect number " << effects.front().index();
    effects.clear();
  }
  HostEffect next() {
    HostEffect effect = std::move(effects.front());
    effects.pop_front();
    return effect;
  }

  HostHalf host;
  HostEffects effects;
};

// As the wire has it.
inline std::vector<std::byte> bytes_of(std::initializer_list<unsigned> values) {
  std::vector<std::byte> bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_TEST_GUEST_H_
