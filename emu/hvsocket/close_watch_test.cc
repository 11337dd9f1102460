#include "emu/hvsocket/close_watch.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <utility>
#include <vector>

#include "emu/hvsocket/carrier_end.h"

namespace vmbus::emu {
namespace {

class CloseWatchTest : public testing::TestWithParam<int> {
 protected:
  CarrierPair born() {
    auto carrier = make_carrier(GetParam());
    EXPECT_TRUE(carrier);
    EXPECT_EQ(watch_.add(carrier->a.get(), carrier->cookie), 0);
    return std::move(*carrier);
  }

  // What the daemon's loop waits for.
  static bool shows_hup(const CarrierPair& carrier) {
    pollfd end{carrier.b.get(), 0, 0};
    return ::poll(&end, 1, 0) == 1 && (end.revents & POLLHUP) != 0;
  }

  CloseWatch watch_;
};

TEST_P(CloseWatchTest, KnowsAClosedEndFromOneThatIsShut) {
  CarrierPair carrier = born();
  EXPECT_FALSE(shows_hup(carrier));
  ASSERT_EQ(::shutdown(carrier.a.get(), SHUT_WR), 0);
  EXPECT_FALSE(shows_hup(carrier));
  ASSERT_EQ(::shutdown(carrier.a.get(), SHUT_RD), 0);
  EXPECT_TRUE(shows_hup(carrier));
  EXPECT_TRUE(watch_.is_open(carrier.cookie));
  EXPECT_TRUE(watch_.is_open(carrier.cookie)) << "asking changes nothing";
  carrier.a.reset();
  EXPECT_TRUE(shows_hup(carrier));
  EXPECT_FALSE(watch_.is_open(carrier.cookie));
}

TEST_P(CloseWatchTest, AnEndThatIsClosedWithoutBeingShutIsClosed) {
  CarrierPair carrier = born();
  carrier.a.reset();
  EXPECT_TRUE(shows_hup(carrier));
  EXPECT_FALSE(watch_.is_open(carrier.cookie));
}

// Both shut by us, or one by each.
TEST_P(CloseWatchTest, TheOtherEndMayHaveShutIt) {
  for (const int by_program : std::array<int, 3>{-1, SHUT_RD, SHUT_WR}) {
    CarrierPair carrier = born();
    if (by_program >= 0) {
      ASSERT_EQ(::shutdown(carrier.a.get(), by_program), 0);
    }
    ASSERT_EQ(::shutdown(carrier.b.get(), SHUT_RDWR), 0);
    EXPECT_TRUE(shows_hup(carrier));
    EXPECT_TRUE(watch_.is_open(carrier.cookie)) << by_program;
    carrier.a.reset();
    EXPECT_FALSE(watch_.is_open(carrier.cookie)) << by_program;
  }
}

// Any descriptor counts, and none: it may be on its way to another process.
TEST_P(CloseWatchTest, TheLastDescriptorDecides) {
  CarrierPair carrier = born();
  ASSERT_EQ(::shutdown(carrier.a.get(), SHUT_RDWR), 0);
  std::array<int, 2> way{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, way.data()), 0);
  const OwnedFd near(way[0]);
  OwnedFd far(way[1]);
  ASSERT_EQ(send_accepted(near.get(), carrier.a.get()), 0);
  carrier.a.reset();
  EXPECT_TRUE(watch_.is_open(carrier.cookie));
  far.reset();
  EXPECT_FALSE(watch_.is_open(carrier.cookie));
}

TEST_P(CloseWatchTest, FindsOneAmongManyThatAreShut) {
  std::vector<CarrierPair> others;
  for (int i = 0; i < 100; ++i) {
    others.push_back(born());
    ASSERT_EQ(::shutdown(others.back().a.get(), SHUT_RDWR), 0);
  }
  CarrierPair carrier = born();
  ASSERT_EQ(::shutdown(carrier.a.get(), SHUT_RDWR), 0);
  EXPECT_TRUE(watch_.is_open(carrier.cookie));
  carrier.a.reset();
  EXPECT_FALSE(watch_.is_open(carrier.cookie));
  for (const CarrierPair& other : others) EXPECT_TRUE(watch_.is_open(other.cookie));
}

TEST_P(CloseWatchTest, WhatCannotBeWatchedIsRefused) { EXPECT_EQ(watch_.add(-1, 1), ENOMEM); }

INSTANTIATE_TEST_SUITE_P(Types, CloseWatchTest, testing::Values(SOCK_STREAM, SOCK_SEQPACKET));

}  // namespace
}  // namespace vmbus::emu
