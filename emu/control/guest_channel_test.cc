// GuestHalf: offers and the life of a channel.
#include <gtest/gtest.h>

#include "emu/control/guest_half.h"
#include "tests/support/test_host.h"

namespace vmbus::emu {
namespace {

using proto::EventFlag;
using proto::Feature;
using proto::GpadlId;
using proto::Relid;
using enum proto::ProtocolVersion;

class GuestChannelLife : public ::testing::Test {
 protected:
  void SetUp() override { host.accept_contact(); }
  BusResult<void> close(Relid relid) { return host.guest.close(relid, host.effects); }
  void expect_teardown(Relid relid, GpadlId gpadl) {
    const auto teardown = host.expect_message<proto::GpadlTeardown>();
    EXPECT_EQ(teardown.relid, relid);
    EXPECT_EQ(teardown.gpadl_id, gpadl);
  }

  TestHost host;
};

TEST_F(GuestChannelLife, ReportsAnOfferOfAnHvsocket) {
  host.send(TestHost::offer_of(Relid{5}, 80));
  const auto offer = host.expect<ReportOffer>();
  EXPECT_EQ(offer.relid, Relid{5});
  EXPECT_EQ(offer.service, numbered(kService, 80));
  EXPECT_EQ(offer.endpoint, numbered(kEndpoint, 80));
  EXPECT_TRUE(offer.for_guest_accept);
}

TEST_F(GuestChannelLife, LeavesOtherDevicesAlone) {
  proto::OfferChannel other = TestHost::offer_of(Relid{5});
  other.flags = other.flags.without(proto::OfferFlag::kTlnpiProvider);
  host.send(other);
  host.expect_nothing();
  EXPECT_EQ(host.guest.open(Relid{5}, TestHost::pages(4), 2, host.effects).error(),
            BusError::kWrongState);
  host.rescind(Relid{5});
  host.expect_released(Relid{5});

  proto::OfferChannel own = TestHost::offer_of(Relid{6});
  own.user_defined[4] = std::byte{0};
  host.send(own);
  EXPECT_FALSE(host.expect<ReportOffer>().for_guest_accept);
}

TEST_F(GuestChannelLife, OpensWithItsGpadl) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  EXPECT_EQ(gpadl.value, 0xE1E10U);
  host.create(relid, gpadl);
  const auto open = host.expect_message<proto::OpenChannel>();
  EXPECT_EQ(open.relid, relid);
  EXPECT_EQ(open.ring_gpadl, gpadl);
  EXPECT_EQ(open.downstream_page_offset, 2U);
  EXPECT_EQ(open.target_vp, proto::VpIndex{0});
  host.answer_open(relid);
  EXPECT_TRUE(host.expect<ReportOpenResult>().ok);
  EXPECT_EQ(host.guest.signal_connection(relid), proto::ConnectionId{0x2001});
}

// Row 147: 26, 27, 54 and 55 pages
TEST_F(GuestChannelLife, SendsAsManyBodiesAsItsPagesNeed) {
  struct Case {
    std::size_t pages;
    std::size_t bodies;
  };
  std::uint32_t next = 1;
  for (const auto& [pages, bodies] : {Case{26, 0}, Case{27, 1}, Case{54, 1}, Case{55, 2}}) {
    const Relid relid = host.offer(Relid{next++});
    ASSERT_TRUE(host.guest.open(relid, TestHost::pages(pages), 2, host.effects).has_value());
    host.expect_message<proto::WithTail<proto::GpadlHeader>>();
    for (std::size_t i = 0; i < bodies; ++i) {
      host.expect_message<proto::WithTail<proto::GpadlBody>>();
    }
    host.expect_nothing();
  }
}

// Row 118: 0x8000FFFF fails, and the channel may be opened again
TEST_F(GuestChannelLife, MayOpenAgainAfterAFailure) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  host.create(relid, gpadl);
  host.expect_message<proto::OpenChannel>();
  host.answer_open(relid, proto::kStatusUnsuccessful);
  EXPECT_FALSE(host.expect<ReportOpenResult>().ok);
  expect_teardown(relid, gpadl);
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  host.expect<FreeRings>();
  host.open(relid);
}

// Row 137: a negative status of GPADL_CREATED is a failure
TEST_F(GuestChannelLife, FailsWithItsGpadl) {
  const Relid relid = host.offer();
  host.create(relid, host.let_open(relid), proto::kStatusUnsuccessful);
  host.expect<FreeRings>();
  EXPECT_FALSE(host.expect<ReportOpenResult>().ok);
  host.open(relid);
}

// Row 120: a protocol error, and the first offer stays
TEST_F(GuestChannelLife, RefusesTheOfferOfALiveRelid) {
  const Relid relid = host.offer();
  host.open(relid);
  host.send(TestHost::offer_of(relid, 99));
  host.expect_only_reject(ProtocolError::kDuplicateOffer);
  EXPECT_EQ(host.guest.find(relid)->offer().interface_id, numbered(kService, relid.value));
}

TEST_F(GuestChannelLife, GivesBackASecondOfferOfADevice) {
  host.send(TestHost::offer_of(Relid{1}, 80));
  host.expect<ReportOffer>();
  host.send(TestHost::offer_of(Relid{2}, 80));
  host.expect_reject(ProtocolError::kDuplicateOffer);
  host.expect_released(Relid{2});
}

TEST_F(GuestChannelLife, RefusesRelidsThatCannotBe) {
  for (const std::uint32_t value : {0U, 2048U, 0xFFFF'FFFFU}) {
    host.send(TestHost::offer_of(Relid{value}, 80));
    host.expect_only_reject(ProtocolError::kUnknownChannelId);
  }
}

// Row 121: CLOSE and teardown when the driver lets go; the release after the rescind
TEST_F(GuestChannelLife, ReleasesBehindTheRescind) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.open(relid);
  EXPECT_TRUE(close(relid).has_value());
  EXPECT_EQ(host.expect_message<proto::CloseChannel>().relid, relid);
  expect_teardown(relid, gpadl);
  host.expect_nothing();
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  EXPECT_EQ(host.expect<FreeRings>().relid, relid);
  host.expect_nothing();
  host.rescind(relid);
  host.expect_released(relid);
}

TEST_F(GuestChannelLife, KeepsItsRingsAfterARescindUntilItsDriverCloses) {
  const Relid relid = host.offer();
  host.open(relid);
  host.rescind(relid);
  EXPECT_EQ(host.expect<ReportRescind>().relid, relid);
  host.expect_nothing();
  EXPECT_TRUE(close(relid).has_value());
  host.expect_message<proto::CloseChannel>();  // no teardown: the host has let go
  host.expect<FreeRings>();
  host.expect_released(relid);
}

// Row 122: rescinded and dropped, in either order: one release
TEST_F(GuestChannelLife, IsReleasedOnce) {
  const Relid opened_never = host.offer(Relid{1});
  host.rescind(opened_never);
  host.expect<ReportRescind>();
  host.expect_released(opened_never);
  host.rescind(opened_never);
  host.expect_only_reject(ProtocolError::kUnknownChannelId);

  const Relid dropped = host.offer(Relid{2});
  EXPECT_TRUE(close(dropped).has_value());
  host.expect_nothing();
  EXPECT_EQ(close(dropped).error(), BusError::kUnknownChannel);
  host.rescind(dropped);
  host.expect_released(dropped);
}

// Row 123: nothing is sent for a channel that was rescinded
TEST_F(GuestChannelLife, OpensNothingAfterARescind) {
  const Relid relid = host.offer();
  host.rescind(relid);
  host.effects.clear();
  EXPECT_EQ(host.guest.open(relid, TestHost::pages(4), 2, host.effects).error(),
            BusError::kUnknownChannel);
  host.expect_nothing();
}

TEST_F(GuestChannelLife, RefusesAnOfferByReleasingIt) {
  const Relid relid = host.offer();
  EXPECT_TRUE(host.guest.refuse(relid, host.effects).has_value());
  host.expect_released(relid);
  host.rescind(relid);  // it crossed the refusal
  host.expect_nothing();
  host.rescind(relid);
  host.expect_only_reject(ProtocolError::kUnknownChannelId);
  const Relid open = host.offer();
  host.open(open);
  EXPECT_EQ(host.guest.refuse(open, host.effects).error(), BusError::kWrongState);
}

TEST_F(GuestChannelLife, FailsTheOpenWhenTheRescindIsTheAnswer) {
  const Relid relid = host.offer();
  host.create(relid, host.let_open(relid));
  host.expect_message<proto::OpenChannel>();
  host.rescind(relid);
  EXPECT_FALSE(host.expect<ReportOpenResult>().ok);
  host.expect<FreeRings>();
  host.expect_released(relid);
}

// Row 151: the pending creation fails, the release waits for its answer
TEST_F(GuestChannelLife, WaitsForItsGpadlAfterARescind) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  host.rescind(relid);
  EXPECT_FALSE(host.expect<ReportOpenResult>().ok);
  host.expect_nothing();
  EXPECT_EQ(close(relid).error(), BusError::kUnknownChannel);
  host.create(relid, gpadl);
  host.expect<FreeRings>();
  host.expect_released(relid);
}

TEST_F(GuestChannelLife, WaitsForItsTeardownAfterARescind) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.open(relid);
  EXPECT_TRUE(close(relid).has_value());
  host.effects.clear();
  host.rescind(relid);
  host.expect_nothing();
  host.rescind(relid);
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  host.expect<FreeRings>();
  host.expect_released(relid);
}

TEST_F(GuestChannelLife, ReportsTheRescindOfAChannelThatCouldNotBeOpened) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  host.create(relid, gpadl);
  host.expect_message<proto::OpenChannel>();
  host.answer_open(relid, proto::kStatusUnsuccessful);
  host.effects.clear();
  host.rescind(relid);
  EXPECT_EQ(host.expect<ReportRescind>().relid, relid);
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  host.expect<FreeRings>();
  host.expect_released(relid);
}

TEST_F(GuestChannelLife, LetsGoWhileItsGpadlIsUnderWay) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  EXPECT_TRUE(close(relid).has_value());
  host.expect_nothing();
  host.create(relid, gpadl);
  expect_teardown(relid, gpadl);
  host.expect_nothing();
}

TEST_F(GuestChannelLife, LetsGoWhileItIsOpening) {
  const Relid relid = host.offer();
  const GpadlId gpadl = host.let_open(relid);
  host.create(relid, gpadl);
  host.expect_message<proto::OpenChannel>();
  EXPECT_TRUE(close(relid).has_value());
  host.answer_open(relid);
  host.expect_message<proto::CloseChannel>();
  expect_teardown(relid, gpadl);
  host.expect_nothing();
}

TEST_F(GuestChannelLife, RefusesAnswersThatDoNotFit) {
  const Relid relid = host.offer();
  const GpadlId gpadl{0xE1E10};
  host.answer_open(relid);
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.create(relid, gpadl);
  host.expect_only_reject(ProtocolError::kUnknownGpadlId);
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  host.expect_only_reject(ProtocolError::kUnknownGpadlId);
  EXPECT_EQ(host.let_open(relid), gpadl);
  host.send(proto::GpadlTorndown{.gpadl_id = gpadl});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.create(Relid{7}, gpadl);
  host.expect_only_reject(ProtocolError::kUnknownGpadlId);
  host.create(relid, gpadl);
  host.expect_message<proto::OpenChannel>();
  host.create(relid, gpadl);
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.send(proto::OpenChannelResult{.relid = relid, .open_id = proto::OpenId{99}});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.answer_open(Relid{7});
  host.expect_only_reject(ProtocolError::kUnknownChannelId);
}

TEST_F(GuestChannelLife, IsSignalledThroughTheFlagOfItsRelid) {
  const Relid relid = host.offer(Relid{5});
  EXPECT_FALSE(host.guest.open_channel_of(EventFlag{5}).has_value());
  host.open(relid);
  EXPECT_EQ(host.guest.open_channel_of(EventFlag{5}), relid);
  EXPECT_TRUE(close(relid).has_value());
  EXPECT_FALSE(host.guest.open_channel_of(EventFlag{5}).has_value());
  EXPECT_FALSE(host.guest.signal_connection(relid).has_value());
}

// Row 129: flags 1..5, and the same again after a close
TEST(GuestEventFlags, AreReused) {
  TestHost host({.newest = kV6_0});
  host.accept_contact(Feature::kGuestSpecifiedSignalParameters);
  const auto open = [&](Relid relid) {
    host.offer(relid);
    host.create(relid, host.let_open(relid));
    const auto message = host.expect_message<proto::OpenChannel2>();
    EXPECT_EQ(message.connection_id, proto::event_connection(relid));
    host.answer_open(relid);
    host.expect<ReportOpenResult>();
    return message.event_flag.value;
  };
  for (std::uint16_t i = 1; i <= 5; ++i) EXPECT_EQ(open(Relid{i + 100U}), i);
  const Relid third{103};
  ASSERT_TRUE(host.guest.close(third, host.effects).has_value());
  host.effects.clear();
  host.send(proto::GpadlTorndown{.gpadl_id = GpadlId{0xE1E12}});
  host.effects.clear();
  EXPECT_EQ(open(Relid{200}), 3);
}

}  // namespace
}  // namespace vmbus::emu
