// SO_RCVLOWAT that shapes poll (quirk low-water-poll): bytes below the mark stay with the daemon.

#include <cerrno>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

class LowWater : public testing::Test {
 protected:
  // A guest's end that keeps to it, and the host's.
  std::pair<TestSocket, TestSocket> pair() {
    TestSocket host = bus.socket("host");
    EXPECT_EQ(host.bind(vsock(kHostCid, 6000)), 0);
    EXPECT_EQ(host.listen(), 0);
    return bus.connect_pair(bus.socket("guest", proto::kFamilyVsock, "virtio"), host,
                            vsock(kHostCid, 6000));
  }
  void set_mark(TestSocket& socket, int mark) {
    const auto value = std::as_bytes(std::span(&mark, 1));
    ASSERT_EQ(bus.requests().set_option(socket.state(), SOL_SOCKET, SO_RCVLOWAT, value), 0);
    bus.requests().take_back(socket.state(), socket.a());
    bus.settle();
  }
  void send(TestSocket& from, std::string_view bytes) {
    ASSERT_EQ(from.send(bytes), bytes.size());
    bus.settle();
  }
  static bool shows_in(const TestSocket& socket) { return (socket.readiness() & POLLIN) != 0; }

  TestBus bus;
};

TEST_F(LowWater, HidesWhatIsBelowTheMark) {
  auto [guest, host] = pair();
  set_mark(guest, 5);
  send(host, "1234");
  EXPECT_FALSE(shows_in(guest));
  send(host, "5");
  EXPECT_TRUE(shows_in(guest));
  EXPECT_EQ(guest.recv(), "12345");
}

TEST_F(LowWater, HidesWhatWasThereBeforeTheMark) {
  auto [guest, host] = pair();
  send(host, "12");
  ASSERT_TRUE(shows_in(guest));
  set_mark(guest, 4);
  EXPECT_FALSE(shows_in(guest));
  send(host, "34");
  EXPECT_EQ(guest.recv(), "1234");
}

TEST_F(LowWater, ALowerMarkShowsWhatWaits) {
  auto [guest, host] = pair();
  set_mark(guest, 5);
  send(host, "123");
  set_mark(guest, 1);
  EXPECT_EQ(guest.recv(), "123");
  send(host, "4");
  EXPECT_EQ(guest.recv(), "4");
}

TEST_F(LowWater, AReceiveGetsWhatIsHeldBack) {
  auto [guest, host] = pair();
  set_mark(guest, 5);
  send(host, "12");
  bus.sockets().begin_receive(guest.state());
  EXPECT_EQ(guest.recv(), "12");
  send(host, "3");
  EXPECT_EQ(guest.recv(), "3");
  Sockets::end_receive(guest.state());
  send(host, "4");
  EXPECT_FALSE(shows_in(guest));
}

TEST_F(LowWater, TheEndComesWithWhateverIsLeft) {
  auto [guest, host] = pair();
  set_mark(guest, 5);
  send(host, "12");
  EXPECT_EQ(host.shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_TRUE(shows_in(guest));
  EXPECT_EQ(guest.recv(), "12");
  EXPECT_TRUE(guest.at_end());
}

}  // namespace
}  // namespace vmbus::emu
