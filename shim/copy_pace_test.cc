#include "shim/copy_pace.h"

#include <gtest/gtest.h>

namespace vmbus::shim {
namespace {

using ring::CopyWay;

constexpr std::size_t kPiece = 16 * 1024;

// Copies pieces that cost so much, each way, until `pace` wants no more time.
void settle(CopyPace& pace, std::int64_t cached_ns, std::int64_t past_cache_ns) {
  while (pace.is_timed()) {
    pace.note(kPiece, pace.way() == CopyWay::kCached ? cached_ns : past_cache_ns);
  }
}

void go_on(CopyPace& pace) {
  ASSERT_FALSE(pace.is_timed());
  for (std::size_t bytes = 0; bytes < CopyPace::kGoBytes; bytes += kPiece) pace.note(kPiece, 0);
}

TEST(CopyPaceTest, TakesTheFasterWay) {
  CopyPace pace;
  settle(pace, 2000, 1000);
  EXPECT_EQ(pace.way(), CopyWay::kPastCache);
}

TEST(CopyPaceTest, StaysWithoutReason) {
  for (const std::int64_t ns : {950, 1000, 3000}) {
    CopyPace pace;
    settle(pace, 1000, ns);
    EXPECT_EQ(pace.way(), CopyWay::kCached) << ns;
  }
}

TEST(CopyPaceTest, LooksAgain) {
  CopyPace pace;
  settle(pace, 2000, 1000);
  go_on(pace);
  EXPECT_TRUE(pace.is_timed());
  settle(pace, 500, 1000);
  EXPECT_EQ(pace.way(), CopyWay::kCached);
}

TEST(CopyPaceTest, KeepsToItsWayBetween) {
  CopyPace pace;
  settle(pace, 2000, 1000);
  pace.note(CopyPace::kGoBytes - 1, 0);
  EXPECT_FALSE(pace.is_timed());
  pace.note(1, 0);
  EXPECT_TRUE(pace.is_timed());
}

// What a thread is kept waiting for in the middle of a copy, and what the other way left in the ring.
TEST(CopyPaceTest, IgnoresOutliersAndTheFirstOfATrial) {
  CopyPace pace;
  std::size_t trial = 0;
  for (int lap = 0; pace.is_timed(); ++lap) {
    const bool is_trial = pace.way() == CopyWay::kPastCache;
    if (is_trial) trial += kPiece;
    const bool is_slow = is_trial ? trial <= CopyPace::kSettleBytes : lap % 3 == 0;
    pace.note(kPiece, is_slow ? 4'000'000 : is_trial ? 1000 : 2000);
  }
  EXPECT_EQ(pace.way(), CopyWay::kPastCache);
}

TEST(CopyPaceTest, ComparesBytesNotPieces) {
  CopyPace pace;
  while (pace.is_timed()) {
    const bool is_trial = pace.way() == CopyWay::kPastCache;
    pace.note(is_trial ? 4 * kPiece : kPiece, is_trial ? 2000 : 1000);
  }
  EXPECT_EQ(pace.way(), CopyWay::kPastCache);
}

TEST(CopyPaceTest, TimeThatStandsStillOrRunsBackwardsDoesNoHarm) {
  CopyPace pace;
  settle(pace, -1000, 0);
  EXPECT_EQ(pace.way(), CopyWay::kCached);
}

}  // namespace
}  // namespace vmbus::shim
