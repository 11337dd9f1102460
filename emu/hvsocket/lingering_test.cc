// Closes that wait until nothing is unsent.
#include <vector>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

constexpr std::uint32_t kPort = 7000;

class Lingering : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
    ASSERT_EQ(server.listen(), 0);
  }
  // Connected, and more was sent than the ring has room for.
  std::pair<TestSocket, TestSocket> full(const std::string& quirks = "linger=on") {
    auto pair = bus.connect_pair(bus.socket("guest", proto::kFamilyVsock, "default", quirks),
                                 server, vsock(kHostCid, kPort));
    const std::string block(65536, 'x');
    while (pair.first.send(block) != 0) continue;
    return pair;
  }
  static bool hung_up(const OwnedFd& line) {
    pollfd entry{line.get(), POLLRDHUP, 0};
    return ::poll(&entry, 1, 0) == 1;
  }

  TestBus bus;
  TestSocket server = bus.socket("host");
};

TEST_F(Lingering, NothingUnsentOrAnotherSystemIsNoReasonToWait) {
  auto [idle, host] =
      bus.connect_pair(bus.socket("guest", proto::kFamilyVsock, "default", "linger=on"), server,
                       vsock(kHostCid, kPort));
  EXPECT_FALSE(bus.sockets().linger(idle.state()));
  for (const char* other : {"", "linger=on,vintage=6.12"}) {
    const auto pair = full(other);
    EXPECT_FALSE(bus.sockets().linger(pair.first.state())) << other;
  }
}

TEST_F(Lingering, TheDaemonHangsUpOnceAllIsSent) {
  auto [guest, host] = full();
  const OwnedFd line = bus.sockets().linger(guest.state());
  ASSERT_TRUE(line);
  guest.close();
  ::shutdown(line.get(), SHUT_WR);
  bus.settle();
  EXPECT_FALSE(hung_up(line)) << "the peer does not read";
  host.recv();
  EXPECT_TRUE(hung_up(line));
}

// A liar has the masks of his guest's rings in his memory: no signal tells of the room that there is.
TEST_F(Lingering, WhoIsClosedGoesOnWithoutASignal) {
  auto [guest, host] = full();
  const ring::RingMemory ring = guest.state().stream->out.memory();
  guest.close();
  bus.settle();
  ring.pending_send_size().store_release(0);
  const std::size_t open = bus.open_sockets();
  bus.settle_until([&] {
    ring.pending_send_size().store_release(0);
    host.recv();
    return bus.open_sockets() < open;
  });
}

TEST_F(Lingering, ACloseThatWasNotTheLastDoesNotWait) {
  auto [guest, host] = full();
  const OwnedFd line = bus.sockets().linger(guest.state());
  ASSERT_TRUE(line);
  EXPECT_FALSE(hung_up(line));
  ::shutdown(line.get(), SHUT_WR);
  bus.settle();
  EXPECT_TRUE(hung_up(line));
}

TEST_F(Lingering, ThePlugOfAShutdownIsNotUnsent) {
  auto [guest, host] = full();
  ASSERT_EQ(guest.shutdown(SHUT_WR), 0);
  const OwnedFd line = bus.sockets().linger(guest.state());
  ASSERT_TRUE(line) << "bytes are, still";
  host.recv();
  EXPECT_TRUE(hung_up(line));
  EXPECT_FALSE(bus.sockets().linger(guest.state()));
}

TEST_F(Lingering, ThePeersEndEndsTheWait) {
  auto [guest, host] = full();
  const OwnedFd line = bus.sockets().linger(guest.state());
  ASSERT_TRUE(line);
  guest.close();
  ::shutdown(line.get(), SHUT_WR);
  host.close();
  bus.settle();
  EXPECT_TRUE(hung_up(line));
}

TEST_F(Lingering, LinesAreBounded) {
  auto [guest, host] = full();
  std::vector<OwnedFd> lines;
  while (OwnedFd line = bus.sockets().linger(guest.state())) {
    lines.push_back(std::move(line));
    ASSERT_LE(lines.size(), 16U);
  }
  lines.pop_back();  // gives up
  bus.settle();
  EXPECT_TRUE(bus.sockets().linger(guest.state()));
}

}  // namespace
}  // namespace vmbus::emu
