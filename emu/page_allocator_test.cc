#include "emu/page_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace vmbus::emu {
namespace {

bool overlap(const PageRun& a, const PageRun& b) {
  return a.first.value < b.first.value + b.count && b.first.value < a.first.value + a.count;
}

TEST(PageAllocator, TakesTheLowestBlock) {
  PageAllocator allocator(1024);
  const auto first = allocator.allocate(3);
  const auto second = allocator.allocate(3);
  EXPECT_EQ(first->first.value, 0U);
  EXPECT_EQ(second->first.value, 4U);
  allocator.free(*first);
  EXPECT_EQ(allocator.allocate(4)->first.value, 0U);
}

TEST(PageAllocator, SaysThatNothingIsFree) {
  PageAllocator allocator(16);
  EXPECT_FALSE(allocator.allocate(17).has_value());
  const auto all = allocator.allocate(16);
  ASSERT_TRUE(all.has_value());
  EXPECT_FALSE(allocator.allocate(1).has_value());
  allocator.free(*all);
  EXPECT_TRUE(allocator.allocate(16).has_value());
  EXPECT_FALSE(PageAllocator(1 << 16).allocate((1 << PageAllocator::kMaxOrder) + 1).has_value());
}

TEST(PageAllocator, UsesMemoryThatIsNoPowerOfTwo) {
  PageAllocator allocator(21);
  EXPECT_TRUE(allocator.allocate(16).has_value());
  EXPECT_TRUE(allocator.allocate(4).has_value());
  EXPECT_TRUE(allocator.allocate(1).has_value());
  EXPECT_FALSE(allocator.allocate(1).has_value());
}

TEST(PageAllocator, CountsPagesInUseAndPooled) {
  PageAllocator allocator(64);
  const auto run = allocator.allocate(5);
  EXPECT_EQ(allocator.pages_in_use(), 5U);
  EXPECT_EQ(allocator.pages_pooled(), 0U);
  allocator.free(*run);
  EXPECT_EQ(allocator.pages_in_use(), 0U);
  EXPECT_EQ(allocator.pages_pooled(), 5U);
  const auto reused = allocator.allocate(2);
  EXPECT_EQ(allocator.pages_pooled(), 3U);
  allocator.free(*reused);
  allocator.mark_dropped(*reused);
  EXPECT_EQ(allocator.pages_pooled(), 3U);
}

// Random sizes come and go; in the end the memory is one piece again.
TEST(PageAllocator, NeverOverlapsAndNeverFragmentsForGood) {
  const char* given = std::getenv("VMBUS_SEED");
  const auto seed = static_cast<std::uint32_t>(given != nullptr ? std::stoul(given) : 4711);
  SCOPED_TRACE("VMBUS_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  PageAllocator allocator(1 << PageAllocator::kMaxOrder);
  std::vector<PageRun> runs;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 == 0) {
      const auto run = allocator.allocate(1 + random() % 300);
      if (!run) continue;
      for (const PageRun& other : runs) ASSERT_FALSE(overlap(*run, other));
      runs.push_back(*run);
    } else if (!runs.empty()) {
      std::swap(runs[random() % runs.size()], runs.back());
      allocator.free(runs.back());
      runs.pop_back();
    }
  }
  for (const PageRun& run : runs) allocator.free(run);
  EXPECT_EQ(allocator.pages_in_use(), 0U);
  EXPECT_TRUE(allocator.allocate(1 << PageAllocator::kMaxOrder).has_value());
}

}  // namespace
}  // namespace vmbus::emu
