// HostHalf: contact, versions, features, pause, unload.
#include <gtest/gtest.h>

#include "emu/control/host_half.h"
#include "tests/support/test_guest.h"

namespace vmbus::emu {
namespace {

using enum proto::ProtocolVersion;
using proto::Feature;
using proto::FeatureFlags;
using proto::ProtocolVersion;

proto::VersionResponse refusal() { return {}; }

// Row 72: seven bytes are no message
TEST(HostContact, RefusesBytesShorterThanAHeader) {
  TestGuest guest;
  guest.connect();
  guest.post_bytes(bytes_of({0x10, 0, 0, 0, 0, 0, 0}));
  guest.expect_only_reject(ProtocolError::kMessageTooSmall);
  EXPECT_TRUE(guest.host.connection().connected());
}

// Row 73: an OPEN_CHANNEL of 100 bytes
TEST(HostContact, RefusesABodyShorterThanItsType) {
  TestGuest guest;
  guest.connect();
  const proto::Relid relid = guest.be_offered();
  guest.post_bytes(proto::encode(TestGuest::open_of(relid)).bytes().first(100));
  guest.expect_only_reject(ProtocolError::kMessageTooSmall);
}

// Row 74: a CLOSE_CHANNEL of 240 bytes closes
TEST(HostContact, IgnoresSurplusBytes) {
  TestGuest guest;
  guest.connect();
  const proto::Relid relid = guest.be_offered();
  guest.open(relid);
  proto::EncodedMessage message = proto::encode(proto::CloseChannel{.relid = relid});
  message.size = proto::kMaxMessageBytes;
  guest.post_bytes(message.bytes());
  EXPECT_EQ(guest.expect<CloseDevice>().relid, relid);
}

// Row 75: type 30
TEST(HostContact, RefusesATypeBeyondTheTable) {
  TestGuest guest;
  guest.connect();
  guest.post_bytes(bytes_of({30, 0, 0, 0, 0, 0, 0, 0}));
  guest.expect_only_reject(ProtocolError::kInvalidMessageType);
  EXPECT_TRUE(guest.host.connection().connected());
}

// Row 76: each message of the host, from the guest
TEST(HostContact, RefusesItsOwnMessagesFromTheGuest) {
  TestGuest guest;
  guest.connect(kV6_0, proto::kAllFeatures);
  for (const proto::MessageInfo& info : proto::kMessages) {
    if (info.direction != proto::Direction::kHostToGuest) continue;
    std::array<std::byte, proto::kMaxMessageBytes> bytes{};
    bytes[0] = static_cast<std::byte>(info.type);
    guest.post_bytes(bytes);
    guest.expect_only_reject(ProtocolError::kInvalidMessageType);
  }
}

// Row 77: REQUEST_OFFERS while disconnected
TEST(HostContact, RefusesMessagesBeforeTheFirstContact) {
  TestGuest guest;
  guest.post(proto::RequestOffers{});
  guest.expect_only_reject(ProtocolError::kInvalidMessageType);
}

// Row 78: 0xFFFFFFFF is not supported
TEST(HostContact, AnswersAnUnknownVersionWithNotSupported) {
  TestGuest guest;
  guest.post(proto::InitiateContact{.requested_version = 0xFFFF'FFFF});
  EXPECT_EQ(guest.expect_message<proto::VersionResponse>(), refusal());
  guest.expect_only_reject(ProtocolError::kUnsupportedVersion);
  EXPECT_FALSE(guest.host.connection().connected());
}

TEST(HostContact, GrantsNoVersionAboveItsNewest) {
  HostConfig config = TestGuest::default_config();
  config.newest = kV5_2;
  TestGuest guest(config);
  guest.post(TestGuest::contact_of(kV5_3));
  EXPECT_EQ(guest.expect_message<proto::VersionResponse>(), refusal());
  guest.expect_only_reject(ProtocolError::kUnsupportedVersion);
}

// Row 79: sixteen bytes, supported, the version repeated
TEST(HostContact, AcceptsWindows10) {
  TestGuest guest;
  guest.post(TestGuest::contact_of(kV4_0));
  const auto deliver = guest.expect<Deliver>();
  const auto bytes = deliver.message.bytes();
  EXPECT_EQ(std::vector(bytes.begin(), bytes.end()),
            bytes_of({15, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0}));
  guest.expect_nothing();
}

// Row 80, 81: the connection id from 5.0 on; twenty bytes at 6.0 alone
TEST(HostContact, AnswersEachVersionInItsLayout) {
  for (const ProtocolVersion version : proto::kVersionsNewestFirst) {
    SCOPED_TRACE(proto::version_name(version));
    TestGuest guest;
    guest.post(TestGuest::contact_of(version, FeatureFlags{Feature::kPauseResume}));
    if (version < kV2_4) guest.expect<UseInterruptPage>();
    const auto deliver = guest.expect<Deliver>();
    const auto decoded =
        proto::decode(deliver.message.bytes(), proto::Direction::kHostToGuest, std::nullopt);
    EXPECT_EQ(deliver.message.size, version == kV6_0 ? 20U : 16U);
    const auto& message = std::get<proto::Message>(decoded);
    const auto* longer = std::get_if<proto::VersionResponse2>(&message);
    const auto& response =
        longer != nullptr ? longer->response : std::get<proto::VersionResponse>(message);
    EXPECT_EQ(response.version_supported, 1);
    EXPECT_EQ(response.version_or_connection_id,
              version >= kV5_0 ? 1U : static_cast<std::uint32_t>(version));
  }
}

// Row 82: a contact for SINT 3 is refused there, and changes nothing; the plain port does not look
TEST(HostContact, RefusesAnotherSintOnTheMulticlientConnection) {
  TestGuest guest;
  guest.connect();
  proto::InitiateContact contact = TestGuest::contact_of(kV5_0);
  contact.target_info.sint = 3;
  guest.post(contact, proto::kMulticlientMessageConnection);
  const auto deliver = guest.expect<Deliver>();
  EXPECT_EQ(deliver.target, (SintTarget{.vp = proto::VpIndex{0}, .sint = 3}));
  EXPECT_TRUE(deliver.foreign);
  guest.expect_only_reject(ProtocolError::kForeignTarget);
  EXPECT_EQ(guest.host.connection().negotiated()->version, kV5_3);

  guest.post(contact);
  EXPECT_EQ(guest.expect_message<proto::VersionResponse>().version_supported, 1);
}

// Row 83: nobody lives at another trust level, so nobody answers
TEST(HostContact, LeavesAnotherVtlWithoutAnAnswer) {
  TestGuest guest;
  proto::InitiateContact contact = TestGuest::contact_of(kV5_1);
  contact.target_info.vtl = 2;
  guest.post(contact, proto::kMulticlientMessageConnection);
  guest.expect_only_reject(ProtocolError::kForeignTarget);
  EXPECT_FALSE(guest.host.connection().connected());

  guest.post(contact);
  EXPECT_EQ(guest.expect_message<proto::VersionResponse>().version_supported, 1);
}

// Row 84: unknown bits are dropped
TEST(HostContact, GrantsFeaturesThatBothKnow) {
  TestGuest guest;
  guest.post(TestGuest::contact_of(kV6_0, FeatureFlags::from_bits(0xF000'0001)));
  EXPECT_EQ(guest.expect_message<proto::VersionResponse2>().features.bits, 1U);
}

// Row 85: client id only with a message that has room for one
TEST(HostContact, WantsTheLongContactForAClientId) {
  TestGuest guest;
  const auto contact = TestGuest::contact_of(kV6_0, Feature::kClientId);
  guest.post(contact);
  guest.expect_only_reject(ProtocolError::kMessageTooSmall);

  guest.post(proto::InitiateContact2{.contact = contact, .client_id = kEndpoint});
  EXPECT_EQ(guest.expect_message<proto::VersionResponse2>().features, Feature::kClientId);
  EXPECT_EQ(guest.host.connection().client_id(), kEndpoint);
}

// Row 86: page pinning where the memory's owner promises it
TEST(HostContact, GrantsPinningWhereConfigured) {
  TestGuest without;
  without.post(TestGuest::contact_of(kV6_0, Feature::kGpaPinning));
  EXPECT_TRUE(without.expect_message<proto::VersionResponse2>().features.empty());

  HostConfig config = TestGuest::default_config();
  config.pins_memory = true;
  TestGuest with(config);
  with.post(TestGuest::contact_of(kV6_0, Feature::kGpaPinning));
  EXPECT_EQ(with.expect_message<proto::VersionResponse2>().features, Feature::kGpaPinning);
}

// Row 87: the interrupt page, below 2.4 only
TEST(HostContact, UsesTheInterruptPageOfOldVersions) {
  for (const ProtocolVersion version : {kV0_13, kV1_1, kV2_4}) {
    TestGuest guest;
    proto::InitiateContact contact{.requested_version = static_cast<std::uint32_t>(version)};
    contact.target_info = std::bit_cast<proto::TargetInfo>(std::uint64_t{0x5000});
    guest.post(contact);
    if (version < kV2_4) {
      EXPECT_EQ(guest.expect<UseInterruptPage>().page, proto::Pfn{5});
    }
    guest.expect_message<proto::VersionResponse>();
    guest.expect_nothing();
  }
}

TEST(HostContact, RefusesAnInterruptPageItCannotMap) {
  for (const std::uint64_t address : {std::uint64_t{0x5004}, std::uint64_t{1024} << 12}) {
    TestGuest guest;
    proto::InitiateContact contact{.requested_version = static_cast<std::uint32_t>(kV1_1)};
    contact.target_info = std::bit_cast<proto::TargetInfo>(address);
    guest.post(contact);
    EXPECT_EQ(guest.expect_message<proto::VersionResponse>(), refusal());
    guest.expect_only_reject(ProtocolError::kBadContact);
  }
}

// Row 88: target processor, from 3.0
TEST(HostContact, SendsToTheProcessorNamedFrom3_0) {
  for (const ProtocolVersion version : {kV2_4, kV3_0}) {
    TestGuest guest;
    proto::InitiateContact contact = TestGuest::contact_of(version);
    contact.target_vp = proto::VpIndex{3};
    guest.post(contact);
    EXPECT_EQ(guest.expect<Deliver>().target.vp.value, version >= kV3_0 ? 3U : 0U);
  }
}

TEST(HostContact, FailsForAProcessorThatIsNotThere) {
  TestGuest guest;
  proto::InitiateContact contact = TestGuest::contact_of(kV5_3);
  contact.target_vp = proto::VpIndex{4};
  guest.post(contact);
  const auto response = guest.expect_message<proto::VersionResponse>();
  EXPECT_EQ(response.connection_state, proto::ConnectionState::kFailedUnknown);
  guest.expect_only_reject(ProtocolError::kBadContact);
}

// Row 89: one monitor page of two
TEST(HostContact, FailsForHalfOfTheMonitorPages) {
  TestGuest guest;
  proto::InitiateContact contact = TestGuest::contact_of(kV4_0);
  contact.parent_to_child_page = proto::Gpa{0x3000};
  guest.post(contact);
  const auto response = guest.expect_message<proto::VersionResponse>();
  EXPECT_EQ(response.version_supported, 1);
  EXPECT_EQ(response.connection_state, proto::ConnectionState::kFailedUnknown);
  guest.expect_only_reject(ProtocolError::kBadContact);
  EXPECT_FALSE(guest.host.connection().connected());
}

// Row 93: no UNLOAD_COMPLETE, a new answer, the old channels gone
TEST(HostContact, StartsAfreshOnASecondContact) {
  TestGuest guest;
  guest.connect();
  const proto::Relid relid = guest.be_offered();
  guest.open(relid);
  guest.post(TestGuest::contact_of(kV5_2));
  EXPECT_EQ(guest.expect<DisconnectSignals>().relid, relid);
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, relid);
  EXPECT_EQ(guest.expect<UnmapRings>().relid, relid);
  EXPECT_EQ(guest.expect_message<proto::VersionResponse>().version_supported, 1);
  guest.expect_nothing();
  EXPECT_EQ(guest.host.connection().negotiated()->version, kV5_2);
  EXPECT_EQ(guest.host.channels().size(), 0U);
  EXPECT_EQ(guest.host.gpadls().size(), 0U);
}

// Row 94: one UNLOAD_COMPLETE
TEST(HostContact, UnloadsWithNothingOpen) {
  TestGuest guest;
  guest.connect();
  guest.post(proto::Unload{});
  guest.expect_message<proto::UnloadComplete>();
  guest.expect_nothing();
  guest.post(proto::Unload{});
  guest.expect_only_reject(ProtocolError::kInvalidMessageType);
}

// Row 95, 153: every channel and GPADL is let go of before UNLOAD_COMPLETE
TEST(HostContact, UnloadsBehindTheLastRelease) {
  TestGuest guest;
  guest.connect();
  const proto::Relid open = guest.be_offered(1);
  guest.open(open);
  const proto::Relid offered = guest.be_offered(2);
  guest.post(proto::Unload{});
  guest.expect<DisconnectSignals>();
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, open);
  EXPECT_EQ(guest.expect<UnmapRings>().relid, open);
  EXPECT_EQ(guest.expect<ReleaseDevice>().relid, offered);
  guest.expect<UnmapRings>();
  guest.expect_message<proto::UnloadComplete>();
  guest.expect_nothing();
  EXPECT_EQ(guest.host.gpadls().size(), 0U);
}

TEST(HostContact, HasNoUnloadCompleteIn0_13) {
  TestGuest guest;
  guest.connect(kV0_13);
  guest.post(proto::Unload{});
  EXPECT_FALSE(guest.expect<UseInterruptPage>().page.has_value());
  guest.expect_nothing();
  EXPECT_FALSE(guest.host.connection().connected());
}

// Row 101: a feature that is not granted has no messages
TEST(HostContact, HasNoModifyConnectionWithoutTheFeature) {
  TestGuest guest;
  guest.connect(kV6_0, proto::kAllFeatures);
  guest.post(proto::ModifyConnection{});
  guest.expect_only_reject(ProtocolError::kInvalidMessageType);
}

// Row 103: PAUSE_RESPONSE, then silence until RESUME
TEST(HostContact, KeepsItsOutputWhilePaused) {
  TestGuest guest;
  guest.connect(kV6_0, Feature::kPauseResume);
  const proto::Relid relid = guest.be_offered();
  guest.post(proto::Pause{});
  guest.expect_message<proto::PauseResponse>();
  EXPECT_TRUE(guest.host.rescind(relid, guest.effects).has_value());
  guest.expect_nothing();
  guest.post(proto::RelidReleased{.relid = relid});
  guest.expect_only_reject(ProtocolError::kPaused);

  guest.post(proto::Resume{});
  EXPECT_EQ(guest.expect_message<proto::RescindChannelOffer>().relid, relid);
  guest.expect_nothing();
}

TEST(HostContact, UnloadEndsThePause) {
  TestGuest guest;
  guest.connect(kV6_0, Feature::kPauseResume);
  guest.post(proto::Pause{});
  guest.expect_message<proto::PauseResponse>();
  guest.post(proto::Unload{});
  guest.expect_message<proto::UnloadComplete>();
}

// Row 107: OffersAlreadySent, no offers
TEST(HostContact, RefusesASecondRequestForOffers) {
  TestGuest guest;
  guest.connect();
  guest.post(proto::RequestOffers{});
  guest.expect_only_reject(ProtocolError::kOffersAlreadySent);
}

}  // namespace
}  // namespace vmbus::emu
