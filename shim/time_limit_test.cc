#include "shim/time_limit.h"

#include <gtest/gtest.h>

#include <limits>

namespace vmbus::shim {
namespace {

TEST(TimeLimitTest, NoneAndNowNeverRun) {
  for (TimeLimit limit : {TimeLimit::of_ms(-1), TimeLimit::of(nullptr)}) {
    EXPECT_EQ(limit.left_ns(), TimeLimit::kNone);
    EXPECT_FALSE(limit.is_running());
  }
  const timespec now{0, 0};
  for (TimeLimit limit : {TimeLimit::of_ms(0), TimeLimit::of(&now)}) {
    EXPECT_EQ(limit.left_ns(), 0);
    EXPECT_FALSE(limit.is_running());
  }
}

TEST(TimeLimitTest, StartsWhenItIsFirstAsked) {
  TimeLimit limit = TimeLimit::of_ms(60'000);
  EXPECT_FALSE(limit.is_running());
  const std::int64_t first = limit.left_ns();
  EXPECT_EQ(first, 60 * TimeLimit::kSecondNs);
  EXPECT_TRUE(limit.is_running());
  const std::int64_t then = monotonic_ns();
  while (monotonic_ns() == then) {
  }
  EXPECT_LT(limit.left_ns(), first);
}

TEST(TimeLimitTest, EndsAndStaysSo) {
  const timespec shortest{0, 1};
  TimeLimit limit = TimeLimit::of(&shortest);
  while (limit.left_ns() != 0) {
  }
  EXPECT_EQ(limit.left_ns(), 0);
  EXPECT_EQ(limit.left_ms(), 0);
}

TEST(TimeLimitTest, RoundsMillisecondsUp) {
  const timespec brief{0, 1'500'000};
  TimeLimit limit = TimeLimit::of(&brief);
  EXPECT_EQ(limit.left_ms(), 2);
}

TEST(TimeLimitTest, TheLongestAreNone) {
  constexpr time_t kMost = std::numeric_limits<time_t>::max();
  const timespec most{kMost, 999'999'999};
  EXPECT_EQ(TimeLimit::of(&most).left_ns(), TimeLimit::kNone);
  const timespec ages{kMost / TimeLimit::kSecondNs, 0};
  TimeLimit limit = TimeLimit::of(&ages);
  EXPECT_GT(limit.left_ns(), 0) << "the end is not in the past";
  EXPECT_GT(limit.left_ns(), 0);
}

TEST(TimeLimitTest, KnowsWhatTheKernelRefuses) {
  for (const timespec limit : {timespec{-1, 0}, timespec{0, -1}, timespec{0, 1'000'000'000}}) {
    EXPECT_FALSE(TimeLimit::is_legal(&limit));
  }
  const timespec most{std::numeric_limits<time_t>::max(), 999'999'999};
  EXPECT_TRUE(TimeLimit::is_legal(&most));
  EXPECT_TRUE(TimeLimit::is_legal(nullptr));
}

}  // namespace
}  // namespace vmbus::shim
