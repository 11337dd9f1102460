// A guest that is paused, goes on, migrates or has its device reset.
#include <cerrno>
#include <vector>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

constexpr std::uint32_t kPort = 6000;
constexpr std::uint32_t kMessageRescind = 2;  // RESCIND_CHANNEL_OFFER

class Standstill : public testing::Test {
 protected:
  struct Pair {
    TestSocket guest;
    TestSocket host;
  };

  // The guest dialled.
  Pair connect(const std::string& guest_quirks, const std::string& host_quirks = "pause=stays",
               bool windows = false) {
    TestSocket server = bus.socket("host", windows ? proto::kFamilyHyperV : proto::kFamilyVsock,
                                   "default", host_quirks);
    const proto::Port port{next_port++};
    const proto::Address name =
        windows ? proto::hyperv_address(proto::kHvGuidWildcard, proto::service_id_of(port))
                : proto::vsock_address(proto::kCidHost, port);
    EXPECT_EQ(server.bind(name), 0);
    EXPECT_EQ(server.listen(), 0);
    auto [guest, host] =
        bus.connect_pair(bus.socket("guest", proto::kFamilyVsock, "default", guest_quirks), server,
                         vsock(kHostCid, port.value));
    return {std::move(guest), std::move(host)};
  }
  void pause() {
    bus.sockets().pause_guest(bus.guest());
    bus.settle();
  }
  void resume() {
    bus.requests().resume(bus.guest());
    bus.settle();
  }
  void migrate() {
    bus.sockets().migrate_guest(bus.guest());
    bus.settle();
  }
  // HVSOCKET_CONNECTED_SUSPEND
  bool asks_to_outlive_a_pause(const TestSocket& host) {
    const std::uint32_t on = 1;
    return bus.requests().set_option(host.state(), proto::kFamilyHyperV, 4,
                                     std::as_bytes(std::span(&on, 1))) == 0;
  }
  std::size_t count_rescinds() {
    std::size_t count = 0;
    for (const MessageLog::Record& record : bus.messages().snapshot()) {
      std::uint32_t number = 0;
      std::memcpy(&number, record.payload.data(), sizeof number);
      count += number == kMessageRescind ? 1 : 0;
    }
    return count;
  }
  static bool lives(Pair& pair) {
    pair.guest.send("ping");
    pair.host.send("pong");
    return pair.host.recv() == "ping" && pair.guest.recv() == "pong";
  }

  TestBus bus;
  std::uint32_t next_port = kPort;
};

TEST_F(Standstill, NothingOfAPausedGuestMoves) {
  Pair pair = connect("");
  pause();
  pair.guest.send("out");
  pair.host.send("in");
  EXPECT_EQ(pair.host.recv(), "");
  EXPECT_EQ(pair.guest.recv(), "");
  resume();
  EXPECT_EQ(pair.host.recv(), "out");
  EXPECT_EQ(pair.guest.recv(), "in");
}

TEST_F(Standstill, OtherGuestsGoOn) {
  bus.add_guest("second");
  TestSocket server = bus.socket("host");
  ASSERT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  pause();
  auto [client, accepted] = bus.connect_pair(bus.socket("second"), server, vsock(kHostCid, kPort));
  client.send("on");
  EXPECT_EQ(accepted.recv(), "on");
}

TEST_F(Standstill, TheHostFillsTheRingOfAPausedGuestAndNoMore) {
  Pair pair = connect("client-ring=24576");
  pause();
  const std::string block(65536, 'x');
  std::size_t sent = 0;
  for (std::size_t more = 1; more != 0; sent += more) more = pair.host.send(block);
  EXPECT_GT(sent, 24576U);
  EXPECT_LT(sent, 2'000'000U);
  resume();
  EXPECT_EQ(pair.guest.recv().size(), sent);
}

TEST_F(Standstill, ACloseInAPausedGuestIsHeardWhenItGoesOn) {
  Pair pair = connect("");
  pause();
  pair.guest.send("last");
  pair.guest.close();
  EXPECT_FALSE(pair.host.at_end());
  resume();
  EXPECT_EQ(pair.host.recv(), "last");
  EXPECT_TRUE(pair.host.at_end());
}

TEST_F(Standstill, ConnectsOfAPausedGuestWait) {
  TestSocket server = bus.socket("host");
  ASSERT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  TestSocket local = bus.socket("guest");
  ASSERT_EQ(local.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(local.listen(), 0);
  pause();
  TestSocket across = bus.socket("guest");
  TestSocket inside = bus.socket("guest");
  TestSocket refused = bus.socket("guest");
  EXPECT_EQ(across.connect(vsock(kHostCid, kPort)), EINPROGRESS);
  EXPECT_EQ(inside.connect(vsock(proto::kCidLocal.value, kPort)), EINPROGRESS);
  EXPECT_EQ(refused.connect(vsock(kHostCid, kPort + 1)), EINPROGRESS);
  bus.settle();
  EXPECT_EQ(across.state().state, EndpointState::kConnecting);
  EXPECT_EQ(inside.state().state, EndpointState::kConnecting);
  resume();
  EXPECT_EQ(across.state().state, EndpointState::kConnected);
  EXPECT_EQ(inside.state().state, EndpointState::kConnected);
  EXPECT_EQ(refused.state().so_error, ECONNRESET);
}

TEST_F(Standstill, AConnectThatIsGivenUpAndMadeAgainDialsOnce) {
  TestSocket server = bus.socket("host");
  ASSERT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  pause();
  TestSocket client = bus.socket("guest");
  ASSERT_EQ(client.connect(vsock(kHostCid, kPort)), EINPROGRESS);
  bus.requests().cancel_connect(client.state());
  ASSERT_EQ(client.connect(vsock(kHostCid, kPort)), EINPROGRESS);
  EXPECT_EQ(bus.guest().held_dials.size(), 1U);
  resume();
  EXPECT_EQ(client.state().state, EndpointState::kConnected);
  EXPECT_TRUE(server.accept().valid());
  EXPECT_FALSE(server.accept().valid());
}

TEST_F(Standstill, TheHostsConnectsToAPausedGuestWait) {
  TestSocket server = bus.socket("guest");
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  pause();  // before the guest was ever asked anything
  TestSocket client = bus.socket("host");
  EXPECT_EQ(client.connect(vsock(bus.guest().config().cid, kPort)), EINPROGRESS);
  bus.settle();
  EXPECT_EQ(client.state().state, EndpointState::kConnecting);
  resume();
  EXPECT_EQ(client.state().state, EndpointState::kConnected);
}

// Case 323
TEST_F(Standstill, APauseWithdrawsTheChannelsOfGuestsThatEnd) {
  Pair ends = connect("pause=ends");
  Pair stays = connect("pause=stays");
  ends.host.send("unread");
  const std::size_t before = count_rescinds();
  pause();
  EXPECT_EQ(count_rescinds(), before + 1);
  EXPECT_FALSE(ends.guest.state().has(proto::kEndedPeerGone)) << "it hears of it when it goes on";
  EXPECT_TRUE(ends.host.state().has(proto::kEndedReset));
  resume();
  EXPECT_EQ(ends.guest.recv(), "unread");
  EXPECT_TRUE(ends.guest.at_end());
  EXPECT_TRUE(ends.guest.state().has(proto::kEndedPeerGone));
  EXPECT_FALSE(ends.guest.state().has(proto::kEndedReset));
  EXPECT_EQ(ends.guest.state().so_error, 0);
  EXPECT_TRUE(lives(stays));
}

TEST_F(Standstill, TheHarsherOfBothEndsCounts) {
  Pair by_host = connect("pause=stays", "pause=ends");
  Pair reset = connect("pause=reset", "pause=ends");
  pause();
  resume();
  EXPECT_TRUE(by_host.guest.at_end());
  EXPECT_FALSE(by_host.guest.state().has(proto::kEndedReset));
  EXPECT_TRUE(reset.guest.state().has(proto::kEndedReset));
  EXPECT_EQ(reset.guest.state().so_error, ECONNRESET);
}

// Case 324, 326
TEST_F(Standstill, ConnectedSuspendOutlivesAPauseAndNoMigration) {
  Pair pair = connect("pause=ends", "pause=ends", true);
  ASSERT_TRUE(asks_to_outlive_a_pause(pair.host));
  pause();
  resume();
  EXPECT_TRUE(lives(pair));
  migrate();
  EXPECT_TRUE(pair.guest.at_end());
  Pair again = connect("pause=ends");
  EXPECT_TRUE(lives(again));
}

// A device that is reset asks no host's socket.
TEST_F(Standstill, ConnectedSuspendIsNothingToAReset) {
  Pair pair = connect("pause=reset", "", true);
  ASSERT_TRUE(asks_to_outlive_a_pause(pair.host));
  pause();
  resume();
  EXPECT_TRUE(pair.guest.state().has(proto::kEndedReset));
}

TEST_F(Standstill, AMigrationEndsWhatIsNotMadeYet) {
  TestSocket server = bus.socket("host");
  ASSERT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
  ASSERT_EQ(server.listen(0), 0);
  TestSocket first = bus.socket("guest");
  ASSERT_EQ(first.connect(vsock(kHostCid, kPort)), 0);
  TestSocket waits = bus.socket("guest", proto::kFamilyVsock, "default", "pause=ends");
  ASSERT_EQ(waits.connect(vsock(kHostCid, kPort)), EINPROGRESS);
  migrate();
  EXPECT_EQ(waits.state().state, EndpointState::kFailed);
  EXPECT_EQ(first.state().state, EndpointState::kConnected) << "pause=stays";
}

// Case 325
TEST_F(Standstill, AResetDeviceResetsEveryConnection) {
  Pair pair = connect("");
  TestSocket local = bus.socket("guest");
  ASSERT_EQ(local.bind(vsock(kAnyCid, kPort - 1)), 0);
  ASSERT_EQ(local.listen(), 0);
  auto [near, near_accepted] =
      bus.connect_pair(bus.socket("guest"), local, vsock(proto::kCidLocal.value, kPort - 1));
  bus.sockets().reset_device(bus.guest());
  bus.settle();
  EXPECT_TRUE(pair.guest.state().has(proto::kEndedReset));
  EXPECT_TRUE(pair.guest.at_end()) << "the carrier ends, the shim says ECONNRESET";
  EXPECT_EQ(pair.guest.state().so_error, ECONNRESET);
  EXPECT_TRUE(pair.host.state().has(proto::kEndedReset));
  near.send("not of the device");
  EXPECT_EQ(near_accepted.recv(), "not of the device");
  Pair again = connect("");
  EXPECT_TRUE(lives(again));
}

TEST_F(Standstill, WhatIsClosedInAPausedGuestKeepsNoDaemon) {
  Pair pair = connect("");
  pause();
  EXPECT_TRUE(bus.sockets().any_in_use());
  pair.guest.close();
  EXPECT_TRUE(bus.sockets().any_in_use()) << "the host's end is open";
  pair.host.close();
  EXPECT_NE(bus.open_sockets(), 0U);
  EXPECT_FALSE(bus.sockets().any_in_use());
  resume();
  bus.settle_until([&] { return bus.open_sockets() == 0; });
}

}  // namespace
}  // namespace vmbus::emu
