#include "emu/fd_reserve.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace vmbus::emu {
namespace {

// The descriptor table of this process has room for `more`, then is full, until this goes.
class RoomFor {
 public:
  explicit RoomFor(int more) {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const OwnedFd lowest(::dup(STDIN_FILENO));
    rlimit low = before_;
    low.rlim_cur = static_cast<rlim_t>(lowest.get() + more);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  ~RoomFor() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  RoomFor(const RoomFor&) = delete;
  RoomFor& operator=(const RoomFor&) = delete;

 private:
  rlimit before_{};
};

OwnedFd open_one() { return OwnedFd(::dup(STDIN_FILENO)); }

TEST(FdReserve, HoldsBackWhatItWasAskedTo) {
  const RoomFor room(6);  // the reserve needs one more to duplicate from
  const FdReserve reserve(5);
  EXPECT_EQ(reserve.held(), 5U);
  EXPECT_FALSE(open_one());
}

TEST(FdReserve, ALoanFreesOneNumberAndTakesItBack) {
  const RoomFor room(6);
  FdReserve reserve(5);
  {
    const FdReserve::Loan loan(reserve);
    EXPECT_TRUE(open_one());
  }
  EXPECT_EQ(reserve.held(), 5U);
  EXPECT_FALSE(open_one());
}

TEST(FdReserve, ALoanTakesBackWhatHasBecomeFreeBeforeItLends) {
  const RoomFor room(6);
  FdReserve reserve(5);
  ASSERT_TRUE(reserve.give_up_one());
  ASSERT_TRUE(reserve.give_up_one());
  const FdReserve::Loan loan(reserve);
  EXPECT_EQ(reserve.held(), 4U);
}

TEST(FdReserve, WhatWasGivenUpComesBackWhenThereIsRoom) {
  const RoomFor room(6);
  FdReserve reserve(5);
  ASSERT_TRUE(reserve.give_up_one());
  OwnedFd taken = open_one();
  ASSERT_TRUE(taken);
  reserve.refill();
  EXPECT_EQ(reserve.held(), 4U);
  taken.reset();
  reserve.refill();
  EXPECT_EQ(reserve.held(), 5U);
}

TEST(FdReserve, HasNothingToGiveWhenItIsEmpty) {
  FdReserve reserve(1);
  EXPECT_TRUE(reserve.give_up_one());
  EXPECT_FALSE(reserve.give_up_one());
}

TEST(FdReserve, IsAQuarterOfALowLimit) {
  EXPECT_EQ(reserve_size(1'000'000), 32U);
  EXPECT_EQ(reserve_size(128), 32U);
  EXPECT_EQ(reserve_size(kFewestDescriptors), 8U);
}

TEST(FdReserve, TakesWhatItGetsWhereTheLimitIsLow) {
  const RoomFor room(3);
  const FdReserve reserve(32);
  EXPECT_EQ(reserve.held(), 2U);
}

}  // namespace
}  // namespace vmbus::emu
