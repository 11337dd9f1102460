// Dialling where something of an earlier attempt or connection is left, and what keeps a socket from
// dialling at all.

#include <cerrno>

#include "emu/hvsocket/socket_requests.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

constexpr std::uint32_t kPort = 5000;

class Dialing : public testing::Test {
 protected:
  TestSocket listener(TestSocket listener, const proto::Address& address) {
    EXPECT_EQ(listener.bind(address), 0);
    EXPECT_EQ(listener.listen(8), 0);
    return listener;
  }
  TestSocket host_listener(std::uint32_t port = 6000) {
    return listener(bus.socket("host"), vsock(kHostCid, port));
  }
  TestSocket bound_guest() {
    TestSocket socket = bus.socket("guest");
    EXPECT_EQ(socket.bind(vsock(kAnyCid, kPort)), 0);
    return socket;
  }
  // In the guest, profile virtio, and reset a moment after its connect() came back.
  TestSocket reset_later() {
    TestSocket socket = bus.socket("guest", proto::kFamilyVsock, "virtio");
    EXPECT_EQ(socket.connect(vsock(kHostCid, 6001), true), EINPROGRESS);
    EXPECT_EQ(socket.state().so_error, ECONNRESET);
    return socket;
  }

  TestBus bus;
};

// Case 132. The host's end still has bytes in the ring, so the first channel is there yet.
TEST_F(Dialing, UnderTheNamesOfAClosedConnectionNeedNotWaitForItsReader) {
  TestSocket server = host_listener();
  auto [first, reader] = bus.connect_pair(bound_guest(), server, vsock(kHostCid, 6000));
  std::string sent;
  const std::string block(20'000, 'x');
  while (bus.sockets().find(reader.state().cookie)->b_writable) {
    ASSERT_EQ(first.send(block), block.size());
    sent += block;
  }
  first.close();
  bus.settle();
  ASSERT_NE(reader.state().stream, nullptr) << "the channel is still there";
  auto [second, other] = bus.connect_pair(bound_guest(), server, vsock(kHostCid, 6000));
  EXPECT_EQ(second.send("new"), 3U);
  EXPECT_EQ(other.recv(), "new");
  EXPECT_EQ(reader.recv(), sent);
  EXPECT_TRUE(reader.at_end());
}

// Case 126.
TEST_F(Dialing, WithZeroCopyAskedForIsRefusedByHvSock) {
  TestSocket server = host_listener();
  TestSocket client = bus.socket("guest");
  const int on = 1;
  ASSERT_EQ(bus.requests().set_option(client.state(), SOL_SOCKET, SO_ZEROCOPY,
                                      std::as_bytes(std::span(&on, 1))),
            0);
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000)), EOPNOTSUPP);
  EXPECT_EQ(client.state().state, EndpointState::kFresh) << "not bound either";
}

// Case 137.
TEST_F(Dialing, AfterALaterResetIsRefusedUntilABlockingCallCollectedIt) {
  TestSocket server = host_listener();
  TestSocket client = reset_later();
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000), true), EALREADY);
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000)), ECONNRESET);
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000)), 0);
}

TEST_F(Dialing, AfterALaterResetThatSoErrorToldWaitsInVain) {
  TestSocket client = reset_later();
  EXPECT_EQ(bus.requests().take_error(client.state()), ECONNRESET);
  client.state().options.connect_timeout_us = 1000;
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000)), EINPROGRESS) << "the shim waits";
  bus.settle_until([&] { return client.state().state == EndpointState::kFailed; });
  EXPECT_EQ(client.state().so_error, ETIMEDOUT);
}

// Case 146.
TEST_F(Dialing, FromAWslGuestReachesTheListenerOnItsOwnVmIdAlone) {
  GuestSpec spec{.name = "wsl", .cid = 9, .vm_id = {}, .flavour = Flavour::kWsl};
  const auto wsl = bus.sockets().guests().add(spec);
  ASSERT_TRUE(wsl.has_value());
  const proto::Guid service = proto::service_id_of(proto::Port{6000});
  TestSocket any = listener(bus.hyperv("host"), proto::hyperv_address(proto::kHvGuidZero, service));
  EXPECT_EQ(bus.socket("wsl").connect(vsock(kHostCid, 6000)), ECONNRESET);
  TestSocket own =
      listener(bus.hyperv("host"), proto::hyperv_address((*wsl)->config().vm_id, service));
  TestSocket client = bus.socket("wsl");
  EXPECT_EQ(client.connect(vsock(kHostCid, 6000)), 0);
  bus.settle();
  EXPECT_TRUE(own.accept().valid());
  EXPECT_FALSE(any.accept().valid());
}

}  // namespace
}  // namespace vmbus::emu
