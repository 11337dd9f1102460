// Both halves of the bus, with the messages between them under way for as long as the explorer likes:
// all orders of channel x GPADL x connection events to a depth. After each event:
//
//   (A) Rings that the host has mapped are not the guest's to reuse.
//   (B) Neither half refuses a message of the other: every race is legal.
//   (C) The host knows a channel as rescinded, open, ... only while its device does.
//   (D) When nothing is under way and nobody owes an answer, both halves agree on every channel.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "emu/control/guest_half.h"
#include "emu/control/host_half.h"
#include "emu/protocol/hvsock_offer.h"
#include "tests/model/explore.h"

namespace vmbus::model {
namespace {

using emu::Channel;
using emu::GuestChannel;
using emu::GuestHalf;
using emu::HostHalf;
using proto::Relid;

constexpr proto::Guid kService{80, 1, 1, {}};
constexpr proto::Guid kEndpoint{4711, 1, 1, {}};

struct BusWorld {
  struct Event {
    enum Kind : std::uint8_t {
      kGuestReceives,
      kHostReceives,
      kContact,
      kUnload,
      kDial,        // the guest asks; the host's service then offers or refuses
      kHostOffers,  // the host dials
      kRefuseDial,
      kAcceptDial,
      kOpen,
      kClose,
      kRefuse,
      kOpened,
      kNotOpened,
      kClosed,
      kRescind,
    } kind;
    Relid relid;  // 0: of no channel
  };
  static constexpr std::array kEvents = [] {
    std::array<Event, Event::kOpen + 2 * (Event::kRescind + 1 - Event::kOpen)> events{};
    std::size_t count = 0;
    for (std::uint8_t kind = 0; kind <= Event::kRescind; ++kind) {
      const auto typed = static_cast<Event::Kind>(kind);
      if (typed < Event::kOpen) events[count++] = {typed, Relid{0}};
      if (typed < Event::kOpen) continue;
      for (const std::uint32_t relid : {1U, 2U}) events[count++] = {typed, Relid{relid}};
    }
    return events;
  }();
  static std::string name(Event event) {
    static constexpr std::array kNames{"GuestReceives", "HostReceives", "Contact",    "Unload",
                                       "Dial",          "HostOffers",   "RefuseDial", "AcceptDial",
                                       "Open",          "Close",        "Refuse",     "Opened",
                                       "NotOpened",     "Closed",       "Rescind"};
    const std::string number = event.relid.value == 0 ? "" : std::to_string(event.relid.value);
    return kNames[event.kind] + number;
  }

  BusWorld() : host({.vp_count = 1, .memory_pages = 64}), guest(emu::GuestConfig{}) {}

  // Only what a well-behaved device or driver would do.
  bool enabled(Event event) const {
    const Channel* channel = host.channels().find(event.relid);
    const GuestChannel* seen = guest.find(event.relid);
    const bool busy = to_host.size() + to_guest.size() > 6;
    switch (event.kind) {
      case Event::kGuestReceives:
        return !to_guest.empty();
      case Event::kHostReceives:
        return !to_host.empty();
      case Event::kContact:
        return guest.state() == GuestHalf::State::kDisconnected;
      case Event::kUnload:
        return guest.state() != GuestHalf::State::kDisconnecting;
      case Event::kDial:
        return !busy && !dialled;
      case Event::kHostOffers:
        return !busy && host.channels().size() < 2;
      case Event::kRefuseDial:
      case Event::kAcceptDial:
        return dials_waiting != 0;
      case Event::kOpen:
      case Event::kRefuse:
        return seen != nullptr && seen->state() == GuestChannel::State::kOffered;
      case Event::kClose:
        return seen != nullptr && !closed.contains(event.relid);
      case Event::kOpened:
      case Event::kNotOpened:
        return channel != nullptr && channel->state() == Channel::State::kOpening;
      case Event::kClosed:
        return device_closing(channel);
      case Event::kRescind:
        return channel != nullptr && channel->state() != Channel::State::kRescinded;
    }
    return false;
  }

  void apply(Event event) {
    emu::HostEffects host_effects;
    emu::GuestEffects guest_effects;
    act(event, host_effects, guest_effects);
    for (const auto& effect : host_effects) {
      std::visit([this](const auto& typed) { on_host(typed); }, effect);
    }
    for (const auto& effect : guest_effects) {
      std::visit([this](const auto& typed) { on_guest(typed); }, effect);
    }
    if (to_host.empty() && to_guest.empty()) check_agreement();
  }

  std::string fingerprint() const {
    std::string text;
    const auto add = [&](auto value) { text += std::to_string(value) + ' '; };
    add(host.connection().connected());
    add(static_cast<int>(guest.state()));
    add(dialled);
    add(dials_waiting);
    for (const Relid relid : {Relid{1}, Relid{2}}) {
      const Channel* channel = host.channels().find(relid);
      const GuestChannel* seen = guest.find(relid);
      add(channel == nullptr ? -1 : static_cast<int>(channel->state()));
      add(seen == nullptr ? -1 : static_cast<int>(seen->state()));
      add(seen != nullptr && seen->rings().has_value());
      add(closed.contains(relid));
      add(mapped.contains(relid));
    }
    for (const auto* queue : {&to_host, &to_guest}) {
      text += "| ";
      for (const auto& message : *queue) text += summary(message);
    }
    return text;
  }

  HostHalf host;
  GuestHalf guest;
  std::deque<proto::EncodedMessage> to_host;
  std::deque<proto::EncodedMessage> to_guest;
  std::set<Relid> mapped;  // by the host
  std::set<Relid> closed;  // by the guest's driver
  bool dialled = false;    // by the guest, and not answered yet
  int dials_waiting = 0;   // at the host's service
  std::string violation;

 private:
  static bool device_closing(const Channel* channel) {
    return channel != nullptr && (channel->state() == Channel::State::kClosing ||
                                  channel->state() == Channel::State::kReopening);
  }
  void must(bool condition, const std::string& rule) {
    if (!condition && violation.empty()) violation = rule;
  }
  // GPADL ids count up for ever, and mean no more than their channel does.
  static std::string summary(const proto::EncodedMessage& message) {
    std::uint32_t type = 0;
    std::memcpy(&type, message.storage.data(), sizeof type);
    std::uint32_t relid = 0;
    const bool has_relid = type != 12 && type != 14 && type != 15 && type != 21 && type != 23;
    if (has_relid && message.size >= 12) std::memcpy(&relid, &message.storage[8], sizeof relid);
    if (type == 1) std::memcpy(&relid, &message.storage[184], sizeof relid);
    return std::to_string(type) + ':' + std::to_string(relid) + ' ';
  }

  void act(Event event, emu::HostEffects& host_effects, emu::GuestEffects& guest_effects) {
    const Relid relid = event.relid;
    switch (event.kind) {
      case Event::kGuestReceives:
        guest.receive(take(to_guest).bytes(), guest_effects);
        return;
      case Event::kHostReceives:
        host.receive(proto::kMessageConnection, take(to_host).bytes(), host_effects);
        return;
      case Event::kContact:
        guest.contact(guest_effects);
        return;
      case Event::kUnload:
        guest.unload(guest_effects);
        return;
      case Event::kDial:
        dialled = guest.tl_connect(kEndpoint, kService, guest_effects).has_value();
        return;
      case Event::kHostOffers:
        static_cast<void>(
            host.offer_hvsock(kService, {}, proto::HvsockInitiator::kHost, host_effects));
        return;
      case Event::kRefuseDial:
        --dials_waiting;
        host.refuse_connect(kEndpoint, kService, host_effects);
        return;
      case Event::kAcceptDial:
        --dials_waiting;
        if (!host.offer_hvsock(kService, kEndpoint, proto::HvsockInitiator::kGuest, host_effects)) {
          host.refuse_connect(kEndpoint, kService, host_effects);
        }
        return;
      case Event::kOpen:
        closed.erase(relid);
        static_cast<void>(guest.open(relid, std::array<proto::Pfn, 4>{}, 2, guest_effects));
        return;
      case Event::kClose:
        if (guest.close(relid, guest_effects)) closed.insert(relid);
        return;
      case Event::kRefuse:
        static_cast<void>(guest.refuse(relid, guest_effects));
        return;
      case Event::kOpened:
      case Event::kNotOpened:
        must(host.complete_open(relid, event.kind == Event::kOpened, host_effects).has_value(),
             "(C) the answer to an open is refused");
        return;
      case Event::kClosed:
        must(host.complete_close(relid, host_effects).has_value(),
             "(C) the answer to a close is refused");
        return;
      case Event::kRescind:
        must(host.rescind(relid, host_effects).has_value(), "(C) a rescind is refused");
        return;
    }
  }
  static proto::EncodedMessage take(std::deque<proto::EncodedMessage>& queue) {
    const proto::EncodedMessage message = queue.front();
    queue.pop_front();
    return message;
  }

  void on_host(const emu::Deliver& effect) { to_guest.push_back(effect.message); }
  void on_host(const emu::OpenDevice& effect) {
    must(guest.find(effect.relid) != nullptr && guest.find(effect.relid)->rings().has_value(),
         "(A) the host maps rings that are not lent");
    mapped.insert(effect.relid);
  }
  void on_host(const emu::UnmapRings& effect) { mapped.erase(effect.relid); }
  void on_host(const emu::AskListener&) { ++dials_waiting; }
  void on_host(const emu::Reject&) { must(false, "(B) the host refuses a message"); }
  void on_host(const auto&) {}

  void on_guest(const emu::Post& effect) { to_host.push_back(effect.message); }
  void on_guest(const emu::FreeRings& effect) {
    must(!mapped.contains(effect.relid), "(A) rings reused that the host has mapped");
  }
  void on_guest(const emu::ReportOffer& effect) {
    closed.erase(effect.relid);
    if (!effect.for_guest_accept) dialled = false;
  }
  void on_guest(const emu::ReportConnectResult&) { dialled = false; }
  void on_guest(const emu::ReportUnloaded&) {
    dialled = false;
    dials_waiting = 0;
    closed.clear();
  }
  void on_guest(const emu::Reject&) { must(false, "(B) the guest refuses a message"); }
  void on_guest(const auto&) {}

  void check_agreement() {
    must(host.connection().connected() == guest.negotiated().has_value(),
         "(D) one half is connected");
    for (const Relid relid : {Relid{1}, Relid{2}}) {
      const Channel* channel = host.channels().find(relid);
      const GuestChannel* seen = guest.find(relid);
      const bool known = channel != nullptr && channel->known_to_guest();
      must(known == (seen != nullptr), "(D) one half has a channel that the other has not");
      if (known && seen != nullptr) must(agree(*channel, *seen), "(D) " + fingerprint());
    }
  }
  bool agree(const Channel& channel, const GuestChannel& seen) const {
    switch (seen.state()) {
      case GuestChannel::State::kOffered:
      case GuestChannel::State::kDropped:
        return channel.state() == Channel::State::kOffered;
      case GuestChannel::State::kOpening:
        return channel.state() == Channel::State::kOpening;
      case GuestChannel::State::kOpen:  // until its driver closes it
        return channel.state() == Channel::State::kOpen ||
               channel.state() == Channel::State::kRescinded;
      case GuestChannel::State::kTearingDown:
        return device_closing(&channel);
      case GuestChannel::State::kCreating:
      case GuestChannel::State::kGone:
        return false;
    }
    return false;
  }
};

TEST(BusModel, KeepsItsRulesInEveryOrderOfEvents) {
  const Explored explored = explore<BusWorld>(18);
  RecordProperty("states", static_cast<int>(explored.states));
  RecordProperty("steps", static_cast<int>(explored.steps));
  EXPECT_GT(explored.states, 5000U);
}

}  // namespace
}  // namespace vmbus::model
