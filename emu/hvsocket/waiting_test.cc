// Connections that wait for room at a listener: whoever gave up has left no trace in its queue.
#include <sys/resource.h>

#include <cerrno>
#include <vector>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

class Waiting : public testing::Test {
 protected:
  TestSocket listener(const std::string& partition, std::uint32_t port, int backlog = 0) {
    TestSocket made = bus.socket(partition);
    EXPECT_EQ(made.bind(vsock(partition == "host" ? kHostCid : kAnyCid, port)), 0);
    EXPECT_EQ(made.listen(backlog), 0);
    return made;
  }
  // Takes the only place that a listener with backlog 0 has.
  TestSocket fill(const std::string& partition, const proto::Address& target) {
    TestSocket first = bus.socket(partition);
    EXPECT_EQ(first.connect(target), 0);
    return first;
  }
  std::uint32_t channels() { return bus.guest().bus().status().channels; }
  static void expect_exchange(TestSocket& one, TestSocket& other) {
    EXPECT_EQ(one.send("there"), 5U);
    EXPECT_EQ(other.recv(), "there");
    EXPECT_EQ(other.send("back"), 4U);
    EXPECT_EQ(one.recv(), "back");
  }

  TestBus bus;
};

TEST_F(Waiting, AChannelThatWasGivenUpMayBelongToAnotherWhenTheListenerHasRoom) {
  TestSocket wedged = listener("guest", 5001);
  TestSocket first = fill("host", vsock(3, 5001));
  TestSocket second = bus.socket("host");
  ASSERT_EQ(second.connect(vsock(3, 5001)), EINPROGRESS);
  second.close();
  ASSERT_EQ(channels(), 1U) << "its relid is free";
  TestSocket server = listener("host", 7000, 8);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), server, vsock(kHostCid, 7000));

  EXPECT_TRUE(wedged.accept().valid());
  bus.settle();
  EXPECT_FALSE(wedged.accept().valid());
  expect_exchange(guest, host);
}

TEST_F(Waiting, ASocketThatConnectsElsewhereIsNotDeliveredToWhomItDialledFirst) {
  TestSocket wedged = listener("guest", 5001);
  TestSocket other = listener("guest", 5002);
  TestSocket first = fill("guest", vsock(1, 5001));
  TestSocket second = fill("guest", vsock(1, 5002));
  TestSocket dialer = bus.socket("guest");
  ASSERT_EQ(dialer.connect(vsock(1, 5001)), EINPROGRESS);
  ASSERT_EQ(bus.requests().cancel_connect(dialer.state()), 0);
  ASSERT_EQ(dialer.connect(vsock(1, 5002)), EINPROGRESS);

  EXPECT_TRUE(wedged.accept().valid());
  bus.settle();
  EXPECT_FALSE(wedged.accept().valid());
  EXPECT_EQ(dialer.state().state, EndpointState::kConnecting);
  EXPECT_TRUE(other.accept().valid());
  bus.settle_until([&] { return dialer.state().state == EndpointState::kConnected; });
}

// Row 170: the host answers an open at the latest after five seconds.
TEST_F(Waiting, AListenerThatNobodyServesHoldsNoChannelForLong) {
  TestSocket wedged = listener("host", 6000);
  TestSocket first = fill("guest", vsock(kHostCid, 6000));
  for (int i = 0; i < 3; ++i) {
    TestSocket dialer = bus.socket("guest");
    ASSERT_EQ(dialer.connect(vsock(kHostCid, 6000)), EINPROGRESS);
  }  // closed, with their opens under way
  bus.settle();
  EXPECT_EQ(channels(), 4U);
  bus.settle_until([&] { return channels() == 1; });
  EXPECT_TRUE(wedged.state().listener->waiting.empty());
}

// Row 171: the host withdraws an offer that nobody opens within its dialler's time limit.
TEST_F(Waiting, AHostThatIsTiredOfWaitingTakesItsOfferBack) {
  TestSocket wedged = listener("guest", 5001);
  TestSocket first = fill("host", vsock(3, 5001));
  TestSocket second = bus.socket("host");
  second.state().options.connect_timeout_us = 20'000;
  ASSERT_EQ(second.connect(vsock(3, 5001)), EINPROGRESS);
  EXPECT_EQ(channels(), 2U);
  bus.settle_until([&] { return second.state().state == EndpointState::kFailed; });
  EXPECT_EQ(second.state().so_error, ETIMEDOUT);
  bus.settle();
  EXPECT_EQ(channels(), 1U);
  EXPECT_TRUE(wedged.state().listener->waiting.empty());
}

TEST_F(Waiting, HasALimitThatLeavesChannelsForOthers) {
  constexpr std::size_t kMost = 512;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < 4 * kMost) GTEST_SKIP() << "only " << limit.rlim_max << " descriptors";
  limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, 4 * kMost);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);

  TestSocket wedged = listener("guest", 5001);
  TestSocket first = fill("host", vsock(3, 5001));
  std::vector<TestSocket> dialers;
  for (std::size_t i = 0; i < kMost; ++i) {
    dialers.push_back(bus.socket("host"));
    ASSERT_EQ(dialers.back().connect(vsock(3, 5001)), EINPROGRESS) << i;
  }
  TestSocket late = bus.socket("host");
  EXPECT_EQ(late.connect(vsock(3, 5001)), late.state().refusal());
  TestSocket nearby = bus.socket("guest");
  EXPECT_EQ(nearby.connect(vsock(1, 5001)), ECONNRESET);
}

}  // namespace
}  // namespace vmbus::emu
