// TestHost: a host in a test's hand. It sends any bytes to a GuestHalf, and looks at what the guest
// does, one effect after the other.
//
//   TestHost host;
//   host.accept_contact();
//   const Relid relid = host.offer();
//   host.guest.open(relid, ...);
//   host.expect_message<GpadlHeader>();
#ifndef VMBUS_TESTS_SUPPORT_TEST_HOST_H_
#define VMBUS_TESTS_SUPPORT_TEST_HOST_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "emu/control/effect.h"
#include "emu/control/guest_half.h"
#include "emu/protocol/hvsock_offer.h"
#include "emu/protocol/messages.h"
#include "tests/support/test_guest.h"

namespace vmbus::emu {

class TestHost {
 public:
  explicit TestHost(GuestConfig config = {}) : guest(config) {}

  // ---- the host speaks
  void send_bytes(std::span<const std::byte> bytes) { guest.receive(bytes, effects); }
  void send(const proto::Message& message) { send_bytes(proto::encode(message).bytes()); }
  static proto::VersionResponse yes(std::uint32_t version_or_connection_id = 1) {
    return {.version_supported = 1, .version_or_connection_id = version_or_connection_id};
  }
  // Contact with the first version the guest asks for, and no offers.
  void accept_contact(proto::FeatureFlags features = {}) {
    guest.contact(effects);
    expect<Post>();
    send(proto::VersionResponse2{.response = yes(), .features = features});
    expect_message<proto::RequestOffers>();
    send(proto::AllOffersDelivered{});
    EXPECT_TRUE(expect<ReportContact>().connected);
    expect_nothing();
  }
  static proto::OfferChannel offer_of(proto::Relid relid, std::uint32_t port = 0) {
    const std::uint32_t number = port != 0 ? port : relid.value;
    proto::OfferChannel offer =
        proto::make_hvsock_offer(relid, numbered(kService, number), numbered(kEndpoint, number),
                                 {.initiator = proto::HvsockInitiator::kHost});
    offer.connection_id = proto::event_connection(relid);
    return offer;
  }
  proto::Relid offer(proto::Relid relid = proto::Relid{1}) {
    send(offer_of(relid));
    EXPECT_EQ(expect<ReportOffer>().relid, relid);
    return relid;
  }
  // The guest opens; the host has its GPADL, and has not answered.
  proto::GpadlId let_open(proto::Relid relid) {
    EXPECT_TRUE(guest.open(relid, pages(4), 2, effects).has_value());
    return expect_message<proto::WithTail<proto::GpadlHeader>>().fixed.gpadl_id;
  }
  void create(proto::Relid relid, proto::GpadlId gpadl,
              proto::Status status = proto::kStatusSuccess) {
    send(proto::GpadlCreated{.relid = relid, .gpadl_id = gpadl, .status = status});
  }
  void answer_open(proto::Relid relid, proto::Status status = proto::kStatusSuccess) {
    send(proto::OpenChannelResult{
        .relid = relid, .open_id = proto::OpenId{relid.value}, .status = status});
  }
  proto::GpadlId open(proto::Relid relid) {
    const proto::GpadlId gpadl = let_open(relid);
    create(relid, gpadl);
    expect<Post>();  // OPEN_CHANNEL, in either layout
    answer_open(relid);
    EXPECT_TRUE(expect<ReportOpenResult>().ok);
    return gpadl;
  }
  void rescind(proto::Relid relid) { send(proto::RescindChannelOffer{.relid = relid}); }
  static std::vector<proto::Pfn> pages(std::size_t count) {
    std::vector<proto::Pfn> result(count);
    for (std::size_t i = 0; i < count; ++i) result[i].value = i;
    return result;
  }

  // ---- what the guest did
  template <typename Effect>
  Effect expect() {
    if (effects.empty()) {
      ADD_FAILURE() << "the guest did nothing more";
      return {};
    }
    const GuestEffect effect = std::move(effects.front());
    effects.pop_front();
    const auto* typed = std::get_if<Effect>(&effect);
    if (typed == nullptr) ADD_FAILURE() << "another effect: number " << effect.index();
    return typed == nullptr ? Effect{} : *typed;
  }
  template <typename Struct>
  Struct expect_message() {
    last_post = expect<Post>();
    const auto decoded = proto::decode(last_post.message.bytes(), proto::Direction::kGuestToHost,
                                       guest.negotiated().value_or(kEverything));
    const auto* message = std::get_if<proto::Message>(&decoded);
    const auto* typed = message == nullptr ? nullptr : std::get_if<Struct>(message);
    if (typed == nullptr) ADD_FAILURE() << "another message";
    return typed == nullptr ? Struct{} : *typed;
  }
  void expect_released(proto::Relid relid) {
    EXPECT_EQ(expect_message<proto::RelidReleased>().relid, relid);
    expect_nothing();
    EXPECT_EQ(guest.find(relid), nullptr);
  }
  void expect_reject(ProtocolError error) {
    EXPECT_EQ(static_cast<int>(expect<Reject>().error), static_cast<int>(error));
  }
  // The host's mistake has no other consequence.
  void expect_only_reject(ProtocolError error) {
    expect_reject(error);
    expect_nothing();
  }
  void expect_nothing() {
    EXPECT_TRUE(effects.empty()) << "effect number " << effects.front().index();
    effects.clear();
  }

  GuestHalf guest;
  GuestEffects effects;
  Post last_post;  // what expect_message() looked at
};

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_TEST_HOST_H_
