// HostHalf: offers and the life of a channel.
#include <gtest/gtest.h>

#include "emu/control/host_half.h"
#include "tests/support/test_guest.h"

namespace vmbus::emu {
namespace {

using enum proto::ProtocolVersion;
using proto::Feature;
using proto::FeatureFlags;
using proto::ProtocolVersion;
using proto::Relid;

class HostChannel : public ::testing::Test {
 protected:
  void SetUp() override { guest.connect(); }
  void complete_close(Relid relid) {
    EXPECT_TRUE(guest.host.complete_close(relid, guest.effects).has_value());
  }
  void rescind(Relid relid) { EXPECT_TRUE(guest.host.rescind(relid, guest.effects).has_value()); }
  // A channel whose device is still closing.
  Relid closing_channel() {
    const Relid relid = guest.be_offered();
    guest.open(relid);
    guest.post(proto::CloseChannel{.relid = relid});
    guest.expect<CloseDevice>();
    return relid;
  }

  TestGuest guest;
};

// Row 104: relid 1, connection 0x2001, dedicated interrupt, no monitor
TEST_F(HostChannel, OffersWithTheFieldsOfAChannel) {
  EXPECT_TRUE(
      guest.host.offer_hvsock(kService, kEndpoint, proto::HvsockInitiator::kHost, guest.effects)
          .has_value());
  const auto offer = guest.expect_message<proto::OfferChannel>();
  EXPECT_EQ(offer.relid, Relid{1});
  EXPECT_EQ(offer.connection_id.value, 0x2001U);
  EXPECT_EQ(offer.dedicated_interrupt, 1);
  EXPECT_EQ(offer.monitor_id, proto::kNoMonitor);
  EXPECT_EQ(offer.monitor_allocated, 0);
}

TEST_F(HostChannel, OffersNothingBeforeItIsAsked) {
  TestGuest silent;
  EXPECT_EQ(silent.host.offer({}, silent.effects).error(), BusError::kNotConnected);
  silent.post(TestGuest::contact_of(kV5_3));
  EXPECT_EQ(silent.host.offer({}, silent.effects).error(), BusError::kNotConnected);
}

// Row 108: an offer made late goes out at once, exactly once
TEST_F(HostChannel, OffersALateDeviceOnce) {
  const Relid first = guest.be_offered(1);
  const Relid second = guest.be_offered(2);
  guest.expect_nothing();
  EXPECT_NE(first, second);
}

// Row 109: offer, open, modify, close, rescind, release; the modify response from 5.3 on
TEST_F(HostChannel, LivesItsWholeLifeInEveryVersion) {
  for (const ProtocolVersion version : proto::kVersionsNewestFirst) {
    SCOPED_TRACE(proto::version_name(version));
    TestGuest each;
    each.connect(version);
    const Relid relid = each.be_offered();
    each.open(relid);
    EXPECT_TRUE(each.host.is_open(relid));
    each.post(proto::ModifyChannel{.relid = relid, .target_vp = proto::VpIndex{2}});
    if (version < kV4_1) {
      each.expect_only_reject(ProtocolError::kInvalidMessageType);
    } else {
      EXPECT_EQ(each.expect<RetargetSignals>().vp, proto::VpIndex{2});
    }
    if (version >= kV5_3) {
      EXPECT_TRUE(each.expect_message<proto::ModifyChannelResponse>().status.ok());
    }
    each.expect_nothing();

    EXPECT_TRUE(each.host.rescind(relid, each.effects).has_value());
    each.expect<DisconnectSignals>();
    each.expect<UnmapRings>();
    EXPECT_EQ(each.expect_message<proto::RescindChannelOffer>().relid, relid);
    each.post(proto::CloseChannel{.relid = relid});
    each.expect_nothing();
    each.post(proto::RelidReleased{.relid = relid});
    EXPECT_EQ(each.expect<ReleaseDevice>().relid, relid);
    each.expect<UnmapRings>();
    each.expect_nothing();
    EXPECT_EQ(each.host.channels().size(), 0U);
  }
}

// Row 110: flag 2 and connection 0x2002 count with the feature, and not without
TEST(HostChannelSignals, FollowTheGuestsWishWithTheFeatureOnly) {
  for (const bool granted : {true, false}) {
    TestGuest guest;
    guest.connect(kV6_0, granted ? Feature::kGuestSpecifiedSignalParameters
                                 : Feature::kChannelInterruptRedirection);
    const Relid relid = guest.be_offered();
    guest.lend_rings(relid);
    guest.post(proto::OpenChannel2{.open = TestGuest::open_of(relid),
                                   .connection_id = proto::ConnectionId{0x2002},
                                   .event_flag = proto::EventFlag{2},
                                   .flags = 0});
    const auto signals = guest.expect<ConnectSignals>();
    EXPECT_EQ(signals.from_guest.value, granted ? 0x2002U : 0x2001U);
    EXPECT_EQ(signals.flag.value, granted ? 2U : 1U);
  }
}

TEST(HostChannelSignals, RefuseWhatCannotBeHad) {
  TestGuest guest;
  guest.connect(kV6_0, Feature::kGuestSpecifiedSignalParameters);
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  const auto refuses = [&](std::uint32_t connection, std::uint16_t flag, std::uint32_t vp) {
    proto::OpenChannel2 open{.open = TestGuest::open_of(relid),
                             .connection_id = proto::ConnectionId{connection},
                             .event_flag = proto::EventFlag{flag},
                             .flags = 0};
    open.open.target_vp = proto::VpIndex{vp};
    guest.post(open);
    guest.expect_reject(ProtocolError::kBadSignalParameters);
    EXPECT_EQ(guest.expect_message<proto::OpenChannelResult>().status, proto::kStatusUnsuccessful);
    guest.expect_nothing();
  };
  refuses(0x2001, 2048, 0);
  refuses(0x2001, 0, 0);
  refuses(1, 1, 0);       // the connection for messages
  refuses(0x2001, 1, 4);  // no such processor
}

TEST(HostChannelSignals, AreNotSharedBetweenChannels) {
  TestGuest guest;
  guest.connect(kV6_0, Feature::kGuestSpecifiedSignalParameters);
  for (const std::uint32_t port : {1U, 2U}) {
    const Relid relid = guest.be_offered(port);
    guest.lend_rings(relid);
    guest.post(proto::OpenChannel2{.open = TestGuest::open_of(relid),
                                   .connection_id = proto::ConnectionId{0x2001},
                                   .event_flag = proto::EventFlag{1},
                                   .flags = 0});
    if (port == 1) {
      guest.expect<ConnectSignals>();
      guest.expect<OpenDevice>();
    }
  }
  guest.expect_reject(ProtocolError::kBadSignalParameters);
}

// Row 111: of 0xABC and 1, the one known bit counts
TEST(HostChannelSignals, GoWhereTheKnownOpenFlagSays) {
  for (const std::uint16_t flags : {std::uint16_t{0xABC}, std::uint16_t{1}}) {
    TestGuest guest;
    guest.connect(kV6_0, Feature::kChannelInterruptRedirection);
    const Relid relid = guest.be_offered();
    guest.lend_rings(relid);
    guest.post(proto::OpenChannel2{
        .open = TestGuest::open_of(relid), .connection_id = {}, .event_flag = {}, .flags = flags});
    const auto to_guest = guest.expect<ConnectSignals>().to_guest;
    ASSERT_TRUE(to_guest.has_value());
    EXPECT_EQ(to_guest->sint, flags == 1 ? kRedirectedSint : proto::kVmbusSint);
  }
}

TEST_F(HostChannel, SendsNoInterruptsWhereTheGuestWantsNone) {
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  proto::OpenChannel open = TestGuest::open_of(relid);
  open.target_vp = proto::kInterruptsDisabled;
  guest.post(open);
  EXPECT_FALSE(guest.expect<ConnectSignals>().to_guest.has_value());
  guest.expect<OpenDevice>();
  EXPECT_TRUE(guest.host.complete_open(relid, true, guest.effects).has_value());
  guest.expect_message<proto::OpenChannelResult>();

  guest.post(proto::ModifyChannel{.relid = relid, .target_vp = proto::VpIndex{0}});
  guest.expect_reject(ProtocolError::kInterruptsDisabled);
  EXPECT_FALSE(guest.expect_message<proto::ModifyChannelResponse>().status.ok());
}

// Row 112: ChannelAlreadyOpen, the first open unharmed
TEST_F(HostChannel, RefusesASecondOpen) {
  const Relid relid = guest.be_offered();
  guest.open(relid);
  guest.post(TestGuest::open_of(relid));
  guest.expect_only_reject(ProtocolError::kChannelAlreadyOpen);
  EXPECT_TRUE(guest.host.is_open(relid));
}

// Row 113: ChannelNotOpen
TEST_F(HostChannel, RefusesToCloseWhatIsNotOpen) {
  const Relid relid = guest.be_offered();
  guest.post(proto::CloseChannel{.relid = relid});
  guest.expect_only_reject(ProtocolError::kChannelNotOpen);
}

// Row 114: the second open is answered after the close
TEST_F(HostChannel, ReopensBehindTheClose) {
  const Relid relid = closing_channel();
  guest.post(TestGuest::open_of(relid));
  guest.expect_nothing();
  guest.post(TestGuest::open_of(relid));
  guest.expect_only_reject(ProtocolError::kChannelAlreadyOpen);
  complete_close(relid);
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  guest.expect<ConnectSignals>();
  EXPECT_EQ(guest.expect<OpenDevice>().relid, relid);
  EXPECT_TRUE(guest.host.complete_open(relid, true, guest.effects).has_value());
  EXPECT_TRUE(guest.expect_message<proto::OpenChannelResult>().status.ok());
}

// Row 115: no result, ever
TEST_F(HostChannel, LeavesAnOpenOfARescindedChannelUnanswered) {
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  rescind(relid);
  guest.expect_message<proto::RescindChannelOffer>();
  guest.post(TestGuest::open_of(relid));
  guest.expect_nothing();
}

TEST_F(HostChannel, LeavesAnOpenUnansweredWhenItIsRescindedMeanwhile) {
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  guest.post(TestGuest::open_of(relid));
  guest.effects.clear();
  rescind(relid);
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  guest.expect_message<proto::RescindChannelOffer>();
  EXPECT_EQ(guest.host.complete_open(relid, true, guest.effects).error(), BusError::kWrongState);
  guest.expect_nothing();
}

// Row 116: InvalidChannelState
TEST_F(HostChannel, RefusesTheReleaseOfAnOpenChannel) {
  const Relid relid = guest.be_offered();
  guest.open(relid);
  guest.post(proto::RelidReleased{.relid = relid});
  guest.expect_only_reject(ProtocolError::kInvalidChannelState);
  EXPECT_TRUE(guest.host.is_open(relid));
}

// Row 117: 0, 2048, 0xFFFFFFFF
TEST_F(HostChannel, RefusesRelidsThatAreNotThere) {
  for (const std::uint32_t value : {0U, 1U, 2048U, 0xFFFF'FFFFU}) {
    const Relid relid{value};
    guest.post(TestGuest::open_of(relid));
    guest.expect_only_reject(ProtocolError::kUnknownChannelId);
    guest.post(proto::CloseChannel{.relid = relid});
    guest.expect_only_reject(ProtocolError::kUnknownChannelId);
    guest.post(proto::RelidReleased{.relid = relid});
    guest.expect_only_reject(ProtocolError::kUnknownChannelId);
    guest.post(proto::GpadlTeardown{.relid = relid, .gpadl_id = TestGuest::kRings});
    guest.expect_only_reject(ProtocolError::kUnknownChannelId);
  }
}

TEST_F(HostChannel, MayBeOpenedAgainAfterTheDeviceSaidNo) {
  const Relid relid = guest.be_offered();
  guest.lend_rings(relid);
  guest.post(TestGuest::open_of(relid));
  guest.effects.clear();
  EXPECT_TRUE(guest.host.complete_open(relid, false, guest.effects).has_value());
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  const auto result = guest.expect_message<proto::OpenChannelResult>();
  EXPECT_EQ(result.status, proto::kStatusUnsuccessful);
  EXPECT_EQ(result.open_id, proto::OpenId{77});
  guest.post(TestGuest::open_of(relid));
  guest.expect<ConnectSignals>();
  guest.expect<OpenDevice>();
}

TEST_F(HostChannel, ReleasedWhileItsDeviceClosesIsGoneAtOnce) {
  const Relid relid = closing_channel();
  guest.post(proto::RelidReleased{.relid = relid});
  guest.expect<DisconnectSignals>();
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, relid);
  guest.expect<UnmapRings>();
  EXPECT_EQ(guest.host.complete_close(relid, guest.effects).error(), BusError::kUnknownChannel);
}

// Row 119: the relid is used again, after its release
TEST_F(HostChannel, GivesAReleasedRelidToTheNextOffer) {
  const Relid relid = guest.be_offered(1);
  EXPECT_NE(guest.be_offered(2), relid);
  guest.post(proto::RelidReleased{.relid = relid});
  guest.effects.clear();
  EXPECT_EQ(guest.be_offered(3), relid);
}

TEST_F(HostChannel, WithholdsADeviceUntilItsPredecessorIsReleased) {
  const Relid old = guest.be_offered();
  EXPECT_EQ(guest.host
                .offer_hvsock(numbered(kService, 1024), numbered(kEndpoint, 1024),
                              proto::HvsockInitiator::kHost, guest.effects)
                .error(),
            BusError::kWrongState);
  rescind(old);
  guest.expect_message<proto::RescindChannelOffer>();
  const auto again = guest.host.offer_hvsock(numbered(kService, 1024), numbered(kEndpoint, 1024),
                                             proto::HvsockInitiator::kHost, guest.effects);
  ASSERT_TRUE(again.has_value());
  guest.expect_nothing();
  guest.post(TestGuest::open_of(*again));
  guest.expect_only_reject(ProtocolError::kUnknownChannelId);

  guest.post(proto::RelidReleased{.relid = old});
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, old);
  guest.expect<UnmapRings>();
  EXPECT_EQ(guest.expect_message<proto::OfferChannel>().relid, *again);
}

TEST_F(HostChannel, RescindsAWithheldDeviceWithoutAWord) {
  const Relid old = guest.be_offered();
  rescind(old);
  guest.effects.clear();
  const auto again = guest.host.offer_hvsock(numbered(kService, 1024), numbered(kEndpoint, 1024),
                                             proto::HvsockInitiator::kHost, guest.effects);
  rescind(*again);
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, *again);
  guest.expect<UnmapRings>();
  guest.expect_nothing();
  guest.post(proto::RelidReleased{.relid = old});
  guest.expect<ReleaseDevice>();
  guest.expect<UnmapRings>();
  guest.expect_nothing();
}

TEST_F(HostChannel, RescindsOnce) {
  const Relid relid = guest.be_offered();
  rescind(relid);
  guest.expect_message<proto::RescindChannelOffer>();
  EXPECT_EQ(guest.host.rescind(relid, guest.effects).error(), BusError::kWrongState);
  guest.expect_nothing();
}

TEST_F(HostChannel, RunsOutOfRelidsAt2047) {
  for (std::uint32_t i = 1; i <= proto::kMaxRelid.value; ++i) {
    EXPECT_EQ(guest.be_offered(i), Relid{i});
  }
  EXPECT_EQ(guest.host
                .offer_hvsock(numbered(kService, 5000), kEndpoint, proto::HvsockInitiator::kHost,
                              guest.effects)
                .error(),
            BusError::kNoRelid);
}

// Row 133: flags 0x2, 0x4 and 0x8 are clear without their features
TEST_F(HostChannel, ClearsOfferFlagsThatAreNotGranted) {
  proto::OfferChannel offer{.interface_id = kService, .instance_id = kEndpoint};
  offer.flags = proto::OfferFlags::from_bits(0x201F);
  EXPECT_TRUE(guest.host.offer(offer, guest.effects).has_value());
  EXPECT_EQ(guest.expect_message<proto::OfferChannel>().flags.bits, 0x2011);
}

// Row 134: to no processor, or to one that is not there
TEST_F(HostChannel, RefusesToMoveInterruptsToNowhere) {
  const Relid relid = guest.be_offered();
  guest.open(relid);
  for (const proto::VpIndex vp : {proto::kInterruptsDisabled, proto::VpIndex{4}}) {
    guest.post(proto::ModifyChannel{.relid = relid, .target_vp = vp});
    guest.expect_reject(ProtocolError::kInvalidTargetVp);
    EXPECT_FALSE(guest.expect_message<proto::ModifyChannelResponse>().status.ok());
  }
}

TEST_F(HostChannel, MovesInterruptsOfOpenChannelsOnly) {
  const Relid relid = guest.be_offered();
  guest.post(proto::ModifyChannel{.relid = relid, .target_vp = proto::VpIndex{0}});
  guest.expect_reject(ProtocolError::kInvalidChannelState);
  EXPECT_FALSE(guest.expect_message<proto::ModifyChannelResponse>().status.ok());
}

TEST_F(HostChannel, IsNeverReserved) {
  const Relid relid = guest.be_offered();
  guest.post(proto::OpenReservedChannel{.relid = relid,
                                        .target_vp = proto::VpIndex{1},
                                        .target_sint = 5,
                                        .ring_gpadl = TestGuest::kRings,
                                        .downstream_page_offset = 2});
  guest.expect_reject(ProtocolError::kChannelNotReserved);
  const auto answer = guest.expect<Deliver>();
  EXPECT_EQ(answer.target, (SintTarget{.vp = proto::VpIndex{1}, .sint = 5}));
  EXPECT_TRUE(answer.foreign);
  guest.post(proto::CloseReservedChannel{.relid = relid});
  guest.expect_only_reject(ProtocolError::kChannelNotReserved);
}

}  // namespace
}  // namespace vmbus::emu
