// GuestHalf: contact, versions, features, connects, unload.
#include <gtest/gtest.h>

#include <cstring>

#include "emu/control/guest_half.h"
#include "tests/support/test_host.h"

namespace vmbus::emu {
namespace {

using enum proto::ProtocolVersion;
using proto::Feature;
using proto::ProtocolVersion;
using proto::Relid;

// Row 96: from the newest down, shorter and without features below 6.0; down to 2.4, as Linux
TEST(GuestContact, AsksForOneVersionAfterTheOther) {
  TestHost host({.newest = kV6_0, .client_id = kEndpoint});
  host.guest.contact(host.effects);
  for (const ProtocolVersion version : proto::kVersionsNewestFirst) {
    if (version < kV2_4) continue;
    SCOPED_TRACE(proto::version_name(version));
    const Post post = host.expect<Post>();
    EXPECT_EQ(post.message.size, version == kV6_0 ? 56U : 40U);
    EXPECT_EQ(post.connection,
              version >= kV5_0 ? proto::kMulticlientMessageConnection : proto::kMessageConnection);
    proto::InitiateContact contact;
    std::memcpy(&contact, post.message.storage.data(), sizeof contact);
    EXPECT_EQ(contact.requested_version, static_cast<std::uint32_t>(version));
    EXPECT_EQ(contact.target_info.features.empty(), version != kV6_0);
    EXPECT_EQ(contact.target_info.sint, version >= kV5_0 ? proto::kVmbusSint : 0);
    host.send(proto::VersionResponse{});
  }
  EXPECT_FALSE(host.expect<ReportContact>().connected);
  host.expect_nothing();
  EXPECT_EQ(host.guest.state(), GuestHalf::State::kDisconnected);
}

TEST(GuestContact, TakesAFailedConnectionStateForANo) {
  TestHost host;
  host.guest.contact(host.effects);
  host.expect<Post>();
  proto::VersionResponse failed = TestHost::yes();
  failed.connection_state = proto::ConnectionState::kFailedUnknown;
  host.send(failed);
  EXPECT_EQ(host.expect_message<proto::InitiateContact>().requested_version,
            static_cast<std::uint32_t>(kV5_2));
}

TEST(GuestContact, PostsWhereTheAnswerSaysFrom5_0) {
  TestHost host;
  host.guest.contact(host.effects);
  host.expect<Post>();
  host.send(TestHost::yes(9));
  EXPECT_EQ(host.expect<Post>().connection, proto::ConnectionId{9});

  TestHost older({.newest = kV4_1});
  older.guest.contact(older.effects);
  older.expect<Post>();
  older.send(TestHost::yes(static_cast<std::uint32_t>(kV4_1)));
  EXPECT_EQ(older.expect<Post>().connection, proto::kMessageConnection);
}

// Row 97: OpenChannel2 with the feature, OpenChannel without; what nobody asked for is not used
TEST(GuestContact, UsesTheFeaturesItWasGranted) {
  for (const bool granted : {true, false}) {
    TestHost host({.newest = kV6_0});
    host.accept_contact(granted ? Feature::kGuestSpecifiedSignalParameters
                                : Feature::kChannelInterruptRedirection);
    EXPECT_EQ(host.guest.negotiated()->features.empty(), !granted);
    const Relid relid = host.offer();
    host.create(relid, host.let_open(relid));
    EXPECT_EQ(host.expect<Post>().message.size, granted ? 156U : 148U);
  }
}

// Row 98: the client id at byte 40
TEST(GuestContact, NamesItself) {
  TestHost host({.newest = kV6_0, .client_id = kEndpoint});
  host.guest.contact(host.effects);
  const Post post = host.expect<Post>();
  EXPECT_EQ(std::memcmp(post.message.storage.data() + 40, &kEndpoint, sizeof kEndpoint), 0);
}

// Row 99: one contact at a time
TEST(GuestContact, IsMadeOnce) {
  TestHost host;
  host.guest.contact(host.effects);
  host.expect<Post>();
  host.guest.contact(host.effects);
  host.expect_nothing();
  host.send(TestHost::yes());
  host.expect<Post>();
  host.guest.contact(host.effects);
  host.send(proto::AllOffersDelivered{});
  host.expect<ReportContact>();
  host.guest.contact(host.effects);
  host.expect_nothing();
}

TEST(GuestContact, RefusesAnswersWithoutAQuestion) {
  TestHost host;
  host.send(TestHost::yes());
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.accept_contact();
  host.send(TestHost::yes());
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.send(proto::AllOffersDelivered{});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.send(proto::UnloadComplete{});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
  host.send(proto::ModifyChannelResponse{});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
}

TEST(GuestContact, RefusesWhatDoesNotParse) {
  TestHost host;
  host.accept_contact();
  host.send_bytes(bytes_of({1, 0, 0, 0}));
  host.expect_only_reject(ProtocolError::kMessageTooSmall);
  host.send_bytes(bytes_of({5, 0, 0, 0, 0, 0, 0, 0}));
  host.expect_only_reject(ProtocolError::kInvalidMessageType);
}

// Row 161: the request, and the refusal for who asked
TEST(GuestContact, ReportsARefusedConnect) {
  TestHost host;
  host.accept_contact();
  ASSERT_TRUE(host.guest.tl_connect(kEndpoint, kService, host.effects).has_value());
  const auto request = host.expect_message<proto::TlConnectRequest>();
  EXPECT_EQ(request.endpoint_id, kEndpoint);
  EXPECT_EQ(request.service_id, kService);
  host.send(proto::TlConnectResult{
      .endpoint_id = kEndpoint, .service_id = kService, .status = proto::kStatusConnectionRefused});
  const auto report = host.expect<ReportConnectResult>();
  EXPECT_EQ(report.endpoint, kEndpoint);
  EXPECT_EQ(report.service, kService);
  EXPECT_EQ(report.status, proto::kStatusConnectionRefused);
}

TEST(GuestContact, RefusesAConnectResultThatSaysSuccess) {
  TestHost host;
  host.accept_contact();
  host.send(proto::TlConnectResult{.endpoint_id = kEndpoint, .service_id = kService});
  host.expect_only_reject(ProtocolError::kUnexpectedMessage);
}

TEST(GuestContact, ConnectsNothingWhereItCannot) {
  TestHost host({.newest = kV3_0});
  EXPECT_EQ(host.guest.tl_connect(kEndpoint, kService, host.effects).error(),
            BusError::kNotConnected);
  host.accept_contact();
  EXPECT_EQ(host.guest.tl_connect(kEndpoint, kService, host.effects).error(),
            BusError::kWrongState);
}

TEST(GuestUnload, FreesEverythingWithTheAnswer) {
  TestHost host;
  host.accept_contact();
  const Relid relid = host.offer();
  host.open(relid);
  host.guest.unload(host.effects);
  host.expect_message<proto::Unload>();
  host.rescind(relid);  // on its way while the guest left
  host.expect_nothing();
  EXPECT_EQ(host.guest.close(relid, host.effects).error(), BusError::kNotConnected);
  host.send(proto::UnloadComplete{});
  EXPECT_EQ(host.expect<FreeRings>().relid, relid);
  host.expect<ReportUnloaded>();
  host.expect_nothing();
  EXPECT_EQ(host.guest.channel_count(), 0U);
  host.accept_contact();
}

TEST(GuestUnload, WaitsForTheContactUnderWay) {
  TestHost host;
  host.guest.contact(host.effects);
  host.expect<Post>();
  host.guest.unload(host.effects);
  host.expect_nothing();
  host.send(TestHost::yes());
  host.expect_message<proto::Unload>();
}

TEST(GuestUnload, IsDoneWhereThereIsNoConnection) {
  TestHost host;
  host.guest.unload(host.effects);
  host.expect<ReportUnloaded>();
  host.guest.contact(host.effects);
  host.expect<Post>();
  host.guest.unload(host.effects);
  host.send(proto::VersionResponse{});
  EXPECT_FALSE(host.expect<ReportContact>().connected);
  host.expect<ReportUnloaded>();
}

TEST(GuestUnload, RefusesContactUntilItIsComplete) {
  TestHost host;
  host.accept_contact();
  host.guest.unload(host.effects);
  host.expect<Post>();
  host.guest.contact(host.effects);
  EXPECT_FALSE(host.expect<ReportContact>().connected);
}

}  // namespace
}  // namespace vmbus::emu
