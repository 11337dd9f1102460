// HostHalf: hvsocket connects.
#include <gtest/gtest.h>

#include "emu/control/host_half.h"
#include "tests/support/test_guest.h"

namespace vmbus::emu {
namespace {

using enum proto::ProtocolVersion;
using proto::HvsockInitiator;
using proto::Relid;

constexpr proto::TlConnectRequest kRequest{.endpoint_id = kEndpoint, .service_id = kService};

void dial(TestGuest& guest) {
  guest.post(kRequest);
  const auto ask = guest.expect<AskListener>();
  EXPECT_EQ(ask.endpoint, kEndpoint);
  EXPECT_EQ(ask.service, kService);
}

// Row 154: at 4.0 a refusal has no message
TEST(HostHvsock, RefusesSilentlyAt4_0) {
  TestGuest guest;
  guest.connect(kV4_0);
  dial(guest);
  guest.host.refuse_connect(kEndpoint, kService, guest.effects);
  guest.expect_nothing();
}

TEST(HostHvsock, HasNoConnectsBefore4_0) {
  TestGuest guest;
  guest.connect(kV3_0);
  guest.post(kRequest);
  guest.expect_only_reject(ProtocolError::kInvalidMessageType);
}

// Row 155: from 4.1 it is TL_CONNECT_RESULT 0xC0000236
TEST(HostHvsock, RefusesWithAResultFrom4_1) {
  TestGuest guest;
  guest.connect(kV4_1);
  dial(guest);
  guest.host.refuse_connect(kEndpoint, kService, guest.effects);
  const auto result = guest.expect_message<proto::TlConnectResult>();
  EXPECT_EQ(result.endpoint_id, kEndpoint);
  EXPECT_EQ(result.service_id, kService);
  EXPECT_EQ(result.status.value, 0xC000'0236U);
}

// Row 156: both layouts at 5.2
TEST(HostHvsock, TakesBothLayoutsAt5_2) {
  TestGuest guest;
  guest.connect(kV5_2);
  dial(guest);
  guest.post(proto::TlConnectRequest2{.request = kRequest, .silo_id = kService});
  EXPECT_EQ(guest.expect<AskListener>().endpoint, kEndpoint);
}

// Row 157: success is the offer, and nothing else
TEST(HostHvsock, AnswersWithAnOfferAlone) {
  TestGuest guest;
  guest.connect();
  dial(guest);
  EXPECT_TRUE(guest.host.offer_hvsock(kService, kEndpoint, HvsockInitiator::kGuest, guest.effects));
  guest.expect_message<proto::OfferChannel>();
  guest.expect_nothing();
}

// Row 158: flags 0x2011; area bytes 0..3 zero, 4 says who dials, 6..9 the version
TEST(HostHvsock, OffersByteByByte) {
  for (const HvsockInitiator initiator : {HvsockInitiator::kHost, HvsockInitiator::kGuest}) {
    TestGuest guest;
    guest.connect();
    if (initiator == HvsockInitiator::kGuest) dial(guest);
    ASSERT_TRUE(guest.host.offer_hvsock(kService, kEndpoint, initiator, guest.effects));
    const auto bytes = guest.expect<Deliver>().message.storage;
    EXPECT_EQ(bytes[56], std::byte{0x11});
    EXPECT_EQ(bytes[57], std::byte{0x20});
    const bool host_dials = initiator == HvsockInitiator::kHost;
    for (std::size_t i = 0; i < proto::kUserDefinedBytes; ++i) {
      const unsigned expected = i == 4 ? (host_dials ? 1U : 0U) : (i == 6 ? 1U : 0U);
      EXPECT_EQ(std::to_integer<unsigned>(bytes[60 + i]), expected) << "area byte " << i;
    }
  }
}

TEST(HostHvsock, OffersWithoutSilosBefore5_2) {
  TestGuest guest;
  guest.connect(kV5_1);
  ASSERT_TRUE(guest.host.offer_hvsock(kService, kEndpoint, HvsockInitiator::kHost, guest.effects));
  EXPECT_EQ(guest.expect<Deliver>().message.storage[66], std::byte{0});
}

TEST(HostHvsock, AnswersOnlyWhatWasAsked) {
  TestGuest guest;
  guest.connect();
  EXPECT_EQ(
      guest.host.offer_hvsock(kService, kEndpoint, HvsockInitiator::kGuest, guest.effects).error(),
      BusError::kWrongState);
  guest.host.refuse_connect(kEndpoint, kService, guest.effects);
  guest.expect_nothing();
}

TEST(HostHvsock, ForgetsRequestsOfAConnectionThatEnded) {
  TestGuest guest;
  guest.connect();
  dial(guest);
  guest.post(proto::Unload{});
  guest.expect_message<proto::UnloadComplete>();
  guest.connect();
  guest.host.refuse_connect(kEndpoint, kService, guest.effects);
  guest.expect_nothing();
}

TEST(HostHvsock, ReadsNoMoreMessagesWhileSixteenRequestsWait) {
  TestGuest guest;
  guest.connect();
  for (std::uint32_t i = 0; i < HostHalf::kMaxConnectRequests; ++i) {
    EXPECT_TRUE(guest.host.accepts_messages());
    guest.post(
        proto::TlConnectRequest{.endpoint_id = numbered(kEndpoint, i), .service_id = kService});
  }
  EXPECT_FALSE(guest.host.accepts_messages());
  guest.host.refuse_connect(numbered(kEndpoint, 3), kService, guest.effects);
  EXPECT_TRUE(guest.host.accepts_messages());
}

// Row 172: OPEN_RESULT 0x8000FFFF, then RESCIND
TEST(HostHvsock, FailsTheOpenWhenTheListenerHasGone) {
  TestGuest guest;
  guest.connect();
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  guest.post(TestGuest::open_of(relid));
  guest.effects.clear();
  EXPECT_TRUE(guest.host.complete_open(relid, false, guest.effects).has_value());
  EXPECT_TRUE(guest.host.rescind(relid, guest.effects).has_value());
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  EXPECT_EQ(guest.expect_message<proto::OpenChannelResult>().status, proto::kStatusUnsuccessful);
  EXPECT_EQ(guest.expect_message<proto::RescindChannelOffer>().relid, relid);
}

// Row 173: RESCIND does not wait for CLOSE; a late CLOSE passes silently; also after a CLOSE
TEST(HostHvsock, RescindsWithOrWithoutAClose) {
  TestGuest guest;
  guest.connect();
  const Relid without = guest.be_offered(1);
  guest.open(without);
  EXPECT_TRUE(guest.host.rescind(without, guest.effects).has_value());
  guest.effects.clear();
  guest.post(proto::CloseChannel{.relid = without});
  guest.expect_nothing();

  const Relid with = guest.be_offered(2);
  guest.open(with);
  guest.post(proto::CloseChannel{.relid = with});
  guest.expect<CloseDevice>();
  EXPECT_TRUE(guest.host.complete_close(with, guest.effects).has_value());
  guest.effects.clear();
  EXPECT_TRUE(guest.host.rescind(with, guest.effects).has_value());
  EXPECT_EQ(guest.expect_message<proto::RescindChannelOffer>().relid, with);
}

}  // namespace
}  // namespace vmbus::emu
