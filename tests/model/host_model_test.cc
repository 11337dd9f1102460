// The host half, and a guest that sends every message in every order, sensible or not: all orders of
// channel, GPADL and connection events to a depth, with the rules of HostObserver after each.
//
// Besides: what the host refuses changes nothing.
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "emu/control/host_half.h"
#include "emu/protocol/gpa_range.h"
#include "tests/model/explore.h"
#include "tests/model/host_observer.h"

namespace vmbus::model {
namespace {

using emu::Channel;
using emu::HostHalf;
using proto::GpadlId;
using proto::Relid;

constexpr Relid kChannel{1};    // the guest speaks of this one alone
constexpr Relid kSuccessor{2};  // the same device, withheld until kChannel is released
constexpr GpadlId kWhole{7};    // one GPADL_HEADER
constexpr GpadlId kPieces{8};   // a GPADL_HEADER and a GPADL_BODY
constexpr proto::Guid kDevice{1, 2, 3, {}};

struct HostWorld {
  enum class Event {
    kContact,
    kRequestOffers,
    kUnload,
    kLend,
    kLendHeader,
    kLendBody,
    kTearDown,
    kTearDownPieces,
    kOpen,
    kOpenOnPieces,
    kClose,
    kRelease,
    kReleaseSuccessor,
    kModify,
    kDeviceOffer,
    kDeviceOpened,
    kDeviceRefused,
    kDeviceClosed,
    kDeviceRescinds,
    kSuccessorRescinded,
  };
  static constexpr std::array kEvents{Event::kContact,
                                      Event::kRequestOffers,
                                      Event::kUnload,
                                      Event::kLend,
                                      Event::kLendHeader,
                                      Event::kLendBody,
                                      Event::kTearDown,
                                      Event::kTearDownPieces,
                                      Event::kOpen,
                                      Event::kOpenOnPieces,
                                      Event::kClose,
                                      Event::kRelease,
                                      Event::kReleaseSuccessor,
                                      Event::kModify,
                                      Event::kDeviceOffer,
                                      Event::kDeviceOpened,
                                      Event::kDeviceRefused,
                                      Event::kDeviceClosed,
                                      Event::kDeviceRescinds,
                                      Event::kSuccessorRescinded};
  static const char* name(Event event) {
    static constexpr std::array kNames{"Contact",
                                       "RequestOffers",
                                       "Unload",
                                       "Lend",
                                       "LendHeader",
                                       "LendBody",
                                       "TearDown",
                                       "TearDownPieces",
                                       "Open",
                                       "OpenOnPieces",
                                       "Close",
                                       "Release",
                                       "ReleaseSuccessor",
                                       "Modify",
                                       "DeviceOffer",
                                       "DeviceOpened",
                                       "DeviceRefused",
                                       "DeviceClosed",
                                       "DeviceRescinds",
                                       "SuccessorRescinded"};
    return kNames[static_cast<std::size_t>(event)];
  }

  HostWorld() : host({.vp_count = 1, .memory_pages = 64}) {}

  bool enabled(Event) const { return true; }  // nothing keeps a guest from anything

  void apply(Event event) {
    const std::string before = fingerprint();
    emu::HostEffects effects;
    if (!act(event, effects)) post(event, effects);
    bool refused = !effects.empty();
    for (const emu::HostEffect& effect : effects) {
      refused = refused && std::holds_alternative<emu::Reject>(effect);
      observer.see(effect);
    }
    violation = observer.violation;
    if (refused && fingerprint() != before && violation.empty()) {
      violation = "what is refused changed the host";
    }
    for (const Relid relid : {kChannel, kSuccessor}) {
      if (const Channel* channel = host.channels().find(relid))
        states_seen.insert(channel->state());
    }
  }

  std::string fingerprint() const {
    std::string text;
    const auto add = [&](auto value) { text += std::to_string(value) + ' '; };
    add(host.connection().connected());
    add(offers_requested);
    for (const Relid relid : {kChannel, kSuccessor}) {
      const Channel* channel = host.channels().find(relid);
      add(channel == nullptr ? -1 : static_cast<int>(channel->state()));
      if (channel == nullptr || !channel->holds_rings()) continue;
      add(channel->request().ring_gpadl.value);
    }
    for (const GpadlId id : {kWhole, kPieces}) {
      add(host.gpadls().find_accepted(kChannel, id) != nullptr);
      add(host.gpadls().channel_of_incomplete(id).has_value());
    }
    add(host.gpadls().size());
    return text;
  }

  static inline std::set<Channel::State> states_seen;

  HostHalf host;
  HostObserver observer;
  bool offers_requested = false;
  std::string violation;

 private:
  // The device's events. A wrong answer of the device is its own error, and changes nothing.
  bool act(Event event, emu::HostEffects& effects) {
    switch (event) {
      case Event::kDeviceOffer:
        static_cast<void>(host.offer({.interface_id = kDevice}, effects));
        return true;
      case Event::kDeviceOpened:
        static_cast<void>(host.complete_open(kChannel, true, effects));
        return true;
      case Event::kDeviceRefused:
        static_cast<void>(host.complete_open(kChannel, false, effects));
        return true;
      case Event::kDeviceClosed:
        static_cast<void>(host.complete_close(kChannel, effects));
        return true;
      case Event::kDeviceRescinds:
        static_cast<void>(host.rescind(kChannel, effects));
        return true;
      case Event::kSuccessorRescinded:
        static_cast<void>(host.rescind(kSuccessor, effects));
        return true;
      case Event::kContact:
      case Event::kRequestOffers:
      case Event::kUnload:
      case Event::kLend:
      case Event::kLendHeader:
      case Event::kLendBody:
      case Event::kTearDown:
      case Event::kTearDownPieces:
      case Event::kOpen:
      case Event::kOpenOnPieces:
      case Event::kClose:
      case Event::kRelease:
      case Event::kReleaseSuccessor:
      case Event::kModify:
        return false;
    }
    return false;
  }

  // The guest's messages; REQUIRES: not a device's event.
  void post(Event event, emu::HostEffects& effects) {
    switch (event) {
      case Event::kContact:
        offers_requested = false;
        return send(proto::InitiateContact{.requested_version = 0x50003}, effects);
      case Event::kRequestOffers:
        offers_requested = host.connection().connected();
        return send(proto::RequestOffers{}, effects);
      case Event::kUnload:
        offers_requested = false;
        return send(proto::Unload{}, effects);
      case Event::kLend:
        return lend(kWhole, 4, 0, effects);
      case Event::kLendHeader:
        return lend(kPieces, 40, 0, effects);
      case Event::kLendBody:
        return lend(kPieces, 40, 1, effects);
      case Event::kTearDown:
        return tear_down(kWhole, effects);
      case Event::kTearDownPieces:
        return tear_down(kPieces, effects);
      case Event::kOpen:
        return open(kWhole, effects);
      case Event::kOpenOnPieces:
        return open(kPieces, effects);
      case Event::kClose:
        return send(proto::CloseChannel{.relid = kChannel}, effects);
      case Event::kRelease:
        return send(proto::RelidReleased{.relid = kChannel}, effects);
      case Event::kReleaseSuccessor:
        return send(proto::RelidReleased{.relid = kSuccessor}, effects);
      case Event::kModify:
        return send(proto::ModifyChannel{.relid = kChannel}, effects);
      case Event::kDeviceOffer:
      case Event::kDeviceOpened:
      case Event::kDeviceRefused:
      case Event::kDeviceClosed:
      case Event::kDeviceRescinds:
      case Event::kSuccessorRescinded:
        return;
    }
  }

  void send(const proto::Message& message, emu::HostEffects& effects) {
    send_bytes(proto::encode(message).bytes(), effects);
  }
  void send_bytes(std::span<const std::byte> bytes, emu::HostEffects& effects) {
    observer.guest_posts(host, bytes);
    host.receive(proto::kMessageConnection, bytes, effects);
  }
  // Message number `piece` of a GPADL of so many pages.
  void lend(GpadlId id, std::size_t pages, std::size_t piece, emu::HostEffects& effects) {
    std::vector<std::uint64_t> words(pages + 1);
    words[0] = pages * proto::kPageBytes;
    proto::GpadlMessages messages(kChannel, id, words, 1);
    auto message = messages.next();
    for (std::size_t i = 0; i < piece; ++i) message = messages.next();
    send_bytes(message->bytes(), effects);
  }
  void tear_down(GpadlId id, emu::HostEffects& effects) {
    send(proto::GpadlTeardown{.relid = kChannel, .gpadl_id = id}, effects);
  }
  void open(GpadlId rings, emu::HostEffects& effects) {
    send(proto::OpenChannel{.relid = kChannel, .ring_gpadl = rings, .downstream_page_offset = 2},
         effects);
  }
};

TEST(HostModel, KeepsItsRulesInEveryOrderOfEvents) {
  HostWorld::states_seen.clear();
  const Explored explored = explore<HostWorld>(32);
  RecordProperty("states", static_cast<int>(explored.states));
  RecordProperty("steps", static_cast<int>(explored.steps));
  EXPECT_TRUE(explored.complete) << explored.states << " states are not all";
  EXPECT_EQ(HostWorld::states_seen.size(), 7U) << "a state that no order of events reaches";
}

}  // namespace
}  // namespace vmbus::model
