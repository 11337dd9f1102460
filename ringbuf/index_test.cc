#include "ringbuf/index.h"

#include <gtest/gtest.h>

namespace vmbus::ring {
namespace {

TEST(Index, AlignsToWords) {
  EXPECT_EQ(align8(0), 0U);
  EXPECT_EQ(align8(1), 8U);
  EXPECT_EQ(align8(8), 8U);
  EXPECT_EQ(align8_down(15), 8U);
}

TEST(Index, AdvanceWrapsExactlyAtTheEnd) {
  EXPECT_EQ(advance(4088, 8, 4096), 0U);
  EXPECT_EQ(advance(4088, 16, 4096), 8U);
  EXPECT_EQ(advance(0, 4096, 4096), 0U);
  EXPECT_EQ(advance(0, 4088, 4096), 4088U);
}

TEST(Index, DistanceIsCyclic) {
  EXPECT_EQ(distance(8, 8, 4096), 0U);
  EXPECT_EQ(distance(8, 24, 4096), 16U);
  EXPECT_EQ(distance(24, 8, 4096), 4080U);
}

TEST(Index, EveryPairOfValidIndicesLeavesOneWordFree) {
  constexpr std::uint32_t kSize = 64;
  for (std::uint32_t write = 0; write < kSize; write += 8) {
    for (std::uint32_t read = 0; read < kSize; read += 8) {
      EXPECT_EQ(free_bytes(write, read, kSize) + distance(read, write, kSize), kSize - 8);
    }
  }
}

TEST(Index, IsValidOnlyBelowSizeAndAligned) {
  EXPECT_TRUE(is_valid_index(0, 4096));
  EXPECT_TRUE(is_valid_index(4088, 4096));
  EXPECT_FALSE(is_valid_index(4096, 4096));
  EXPECT_FALSE(is_valid_index(4, 4096));
  EXPECT_FALSE(is_valid_index(0xFFFFFFF8, 4096));
}

TEST(Index, LargestRingDoesNotOverflow) {
  constexpr std::uint32_t kSize = kMaxDataPages * kPageBytes;
  EXPECT_EQ(advance(kSize - 8, kSize, kSize), kSize - 8);
  EXPECT_EQ(distance(kSize - 8, kSize - 16, kSize), kSize - 8);
}

}  // namespace
}  // namespace vmbus::ring
