#include "shim/fd_table.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace vmbus::shim {
namespace {

constexpr FdEntry kCarrier{7, 42, 1, kFdCarrier};

class FdTableTest : public testing::Test {
 protected:
  FdTableTest() { EXPECT_EQ(table_.reserve(), 0); }

  FdTable table_;
};

TEST(FdTableWithoutMemory, KnowsNoDescriptor) {
  FdTable table;
  EXPECT_FALSE(table.find(0).is_ours());
  EXPECT_FALSE(table.find(-1).is_ours());
  EXPECT_FALSE(table.find(1 << 30).is_ours());
}

TEST(FdTableWithoutMemory, ClearingIsHarmless) {
  FdTable table;
  table.clear(3);
  table.clear_range(0, ~0U);
  EXPECT_FALSE(table.find(3).is_ours());
}

TEST_F(FdTableTest, FindsWhatWasSet) {
  ASSERT_TRUE(table_.set(5, kCarrier));
  EXPECT_EQ(table_.find(5), kCarrier);
  EXPECT_FALSE(table_.find(4).is_ours());
  EXPECT_FALSE(table_.find(6).is_ours());
}

TEST_F(FdTableTest, ReservingTwiceKeepsEntries) {
  ASSERT_TRUE(table_.set(5, kCarrier));
  EXPECT_EQ(table_.reserve(), 0);
  EXPECT_EQ(table_.find(5), kCarrier);
}

TEST_F(FdTableTest, RefusesNumbersBeyondItself) {
  EXPECT_FALSE(table_.set(static_cast<int>(FdTable::kCapacity), kCarrier));
  EXPECT_FALSE(table_.set(-1, kCarrier));
  EXPECT_TRUE(table_.set(static_cast<int>(FdTable::kCapacity) - 1, kCarrier));
}

TEST_F(FdTableTest, ClearForgetsOneEntry) {
  table_.set(5, kCarrier);
  table_.set(6, kCarrier);
  table_.clear(5);
  EXPECT_FALSE(table_.find(5).is_ours());
  EXPECT_TRUE(table_.find(6).is_carrier());
}

TEST_F(FdTableTest, ClearRangeForgetsItsEndsToo) {
  for (int fd = 3; fd <= 7; ++fd) table_.set(fd, kCarrier);
  table_.clear_range(4, 6);
  EXPECT_TRUE(table_.find(3).is_ours());
  EXPECT_FALSE(table_.find(4).is_ours());
  EXPECT_FALSE(table_.find(6).is_ours());
  EXPECT_TRUE(table_.find(7).is_ours());
}

TEST_F(FdTableTest, ClearRangeToTheLastNumberEnds) {
  table_.set(3, kCarrier);
  table_.clear_range(3, ~0U);
  EXPECT_FALSE(table_.find(3).is_ours());
}

TEST_F(FdTableTest, AddsFlagsOnlyToTheSameEntry) {
  table_.set(5, kCarrier);
  table_.add_flags(5, kCarrier, kFdSendBufferRaised);
  EXPECT_EQ(table_.find(5).flags, kFdCarrier | kFdSendBufferRaised);

  const FdEntry other{8, 43, 1, kFdCarrier};
  table_.set(5, other);
  table_.add_flags(5, kCarrier, kFdSendBufferRaised);
  EXPECT_EQ(table_.find(5), other);
}

TEST_F(FdTableTest, ADeviceIsNoCarrier) {
  table_.set(5, FdEntry{0, 0, 0, kFdDevice});
  EXPECT_TRUE(table_.find(5).is_device());
  EXPECT_FALSE(table_.find(5).is_carrier());
}

// A search that finds descriptors 3 and 9, of a table that a test made.
FdTable* g_searched = nullptr;
int g_searches = 0;
unsigned find_three_and_nine() {
  ++g_searches;
  EXPECT_EQ(g_searched->reserve(), 0);
  g_searched->set_inherited(3, kCarrier);
  g_searched->set_inherited(9, kCarrier);
  return 10;
}

class FdTableSearch : public testing::Test {
 protected:
  FdTableSearch() {
    g_searched = &table_;
    g_searches = 0;
    table_.search_when_asked(find_three_and_nine);
  }

  FdTable table_;
};

TEST_F(FdTableSearch, HappensOnceWhenAskedFor) {
  EXPECT_EQ(g_searches, 0);
  EXPECT_TRUE(table_.find(3).is_carrier());
  EXPECT_TRUE(table_.find(9).is_carrier());
  EXPECT_FALSE(table_.find(4).is_ours());
  EXPECT_FALSE(table_.find(10).is_ours());
  EXPECT_EQ(g_searches, 1);
}

TEST_F(FdTableSearch, IsNotForAClose) {
  EXPECT_FALSE(table_.is_set(3));
  table_.clear(3);
  table_.clear_range(0, ~0U);
  EXPECT_EQ(g_searches, 0);
}

TEST_F(FdTableSearch, ComesBeforeTheFirstEntry) {
  ASSERT_EQ(table_.reserve(), 0);
  table_.set(4, kCarrier);
  EXPECT_EQ(g_searches, 1);
  EXPECT_TRUE(table_.find(9).is_carrier());
  EXPECT_TRUE(table_.find(4).is_carrier());
}

TEST_F(FdTableSearch, LooksAtNoNumberThatIsNone) {
  EXPECT_FALSE(table_.find(-1).is_ours());
  EXPECT_FALSE(table_.is_set(-1));
}

TEST_F(FdTableTest, ThreadsUseDifferentDescriptorsAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kEach; ++i) table_.set(i * kThreads + t, kCarrier);
    });
  }
  for (auto& thread : threads) thread.join();
  for (int fd = 0; fd < kThreads * kEach; ++fd) ASSERT_EQ(table_.find(fd), kCarrier) << fd;
}

}  // namespace
}  // namespace vmbus::shim
