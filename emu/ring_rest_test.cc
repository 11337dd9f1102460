#include "emu/ring_rest.h"

#include <gtest/gtest.h>

#include <chrono>

namespace vmbus::emu {
namespace {

using std::chrono::milliseconds;

constexpr RingRest::Time kStart{std::chrono::hours(1)};
constexpr milliseconds kLong{2000};

TEST(RingRest, BeginsWithTheFirstLookAtAMark) {
  RingRest rest;
  EXPECT_FALSE(rest.rests(5, kStart, kLong));
  EXPECT_FALSE(rest.rests(5, kStart + milliseconds(1999), kLong));
  EXPECT_TRUE(rest.rests(5, kStart + milliseconds(2000), kLong));
}

TEST(RingRest, BeginsAnewWithEachMovement) {
  RingRest rest;
  for (int look = 0; look < 5; ++look) {
    const auto mark = static_cast<std::uint64_t>(look);
    EXPECT_FALSE(rest.rests(mark, kStart + look * kLong, kLong)) << look;
  }
  EXPECT_FALSE(rest.rests(4, kStart + 5 * kLong - milliseconds(1), kLong));
  EXPECT_TRUE(rest.rests(4, kStart + 5 * kLong, kLong));
}

TEST(RingRest, OfNoTimeIsAlwaysOver) {
  RingRest rest;
  EXPECT_TRUE(rest.rests(5, kStart, milliseconds(0)));
  EXPECT_TRUE(rest.rests(6, kStart, milliseconds(0)));
}

// Pages that a fresh ring took over from another one count, too.
TEST(RingRest, AFreshRingHasMoved) {
  RingRest rest;
  EXPECT_TRUE(rest.has_moved(0));
  rest.gave_back(0);
  EXPECT_FALSE(rest.has_moved(0));
  EXPECT_TRUE(rest.has_moved(1));
}

}  // namespace
}  // namespace vmbus::emu
