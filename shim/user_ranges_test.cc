#include "shim/user_ranges.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <thread>

#include "shim/parts.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kPage = 4096;

// Pages of which every second may not be touched.
class UserRanges : public testing::Test {
 protected:
  static constexpr std::size_t kPages = 16;

  UserRanges()
      : pages_(static_cast<std::byte*>(::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    for (std::size_t i = 1; i < kPages; i += 2) ::mprotect(page(i), kPage, PROT_NONE);
    forget_ranges();
  }
  ~UserRanges() override { ::munmap(pages_, kPages * kPage); }
  void SetUp() override {
    if (!may_touch(page(0), 1, Access::kRead)) GTEST_SKIP() << "this kernel cannot populate";
    forget_ranges();
  }

  std::byte* page(std::size_t number) const { return pages_ + number * kPage; }

  std::byte* pages_;
};

TEST_F(UserRanges, NothingIsKnownBeforeTheKernelWasAsked) {
  EXPECT_FALSE(knows_range(page(0), 1, Access::kRead));
  EXPECT_FALSE(knows_range(page(0), 1, Access::kWrite));
}

TEST_F(UserRanges, WholePagesAreKnownAfterwards) {
  ASSERT_TRUE(may_touch(page(2) + 100, 10, Access::kRead));
  EXPECT_TRUE(knows_range(page(2), kPage, Access::kRead));
  EXPECT_TRUE(knows_range(page(2) + kPage - 1, 1, Access::kRead));
  EXPECT_FALSE(knows_range(page(2), kPage + 1, Access::kRead)) << "one byte beyond";
  EXPECT_FALSE(knows_range(page(2) - 1, 2, Access::kRead)) << "one byte before";
  EXPECT_FALSE(knows_range(page(2), 10, Access::kWrite)) << "reading says nothing of writing";
}

TEST_F(UserRanges, WritingSaysNothingOfReading) {
  ASSERT_TRUE(may_touch(page(2), 10, Access::kWrite));
  EXPECT_TRUE(knows_range(page(2), 10, Access::kWrite));
  EXPECT_FALSE(knows_range(page(2), 10, Access::kRead));
}

TEST_F(UserRanges, ARefusalIsNotRemembered) {
  EXPECT_FALSE(may_touch(page(1), 1, Access::kRead));
  EXPECT_FALSE(may_touch(page(0), kPage + 1, Access::kRead)) << "only the first page is good";
  EXPECT_FALSE(knows_range(page(0), 1, Access::kRead));
  EXPECT_FALSE(knows_range(page(1), 1, Access::kRead));
  ASSERT_EQ(::mprotect(page(0), kPage, PROT_READ), 0);
  EXPECT_FALSE(may_touch(page(0), 1, Access::kWrite));
  EXPECT_TRUE(may_touch(page(0), 1, Access::kRead));
}

TEST_F(UserRanges, LengthsThatAreNoneOrBeyondAllMemoryAreNotKnown) {
  ASSERT_TRUE(may_touch(page(2), kPage, Access::kRead));
  EXPECT_FALSE(knows_range(page(2) + 8, SIZE_MAX, Access::kRead));
  EXPECT_FALSE(knows_range(page(2) + 8, SIZE_MAX - 7, Access::kRead));
  EXPECT_FALSE(knows_range(page(2) + 8, 0, Access::kRead));
  EXPECT_FALSE(knows_range(nullptr, 1, Access::kRead));
  EXPECT_FALSE(may_touch(page(2) + 8, SIZE_MAX, Access::kRead));
  EXPECT_TRUE(may_touch(page(1), 0, Access::kRead)) << "nothing to touch";
}

TEST_F(UserRanges, AChangeOfTheMappingsVoidsAll) {
  ASSERT_TRUE(may_touch(page(0), 1, Access::kRead));
  ASSERT_TRUE(may_touch(page(2), 1, Access::kWrite));
  forget_ranges();
  EXPECT_FALSE(knows_range(page(0), 1, Access::kRead));
  EXPECT_FALSE(knows_range(page(2), 1, Access::kWrite));
}

TEST_F(UserRanges, AThreadKnowsOnlyWhatItHasAsked) {
  ASSERT_TRUE(may_touch(page(0), 1, Access::kRead));
  bool known = true;
  std::thread([&] { known = knows_range(page(0), 1, Access::kRead); }).join();
  EXPECT_FALSE(known);
}

TEST_F(UserRanges, TheOldestOfFourGivesWay) {
  for (const std::size_t number : {0U, 2U, 4U, 6U}) {
    ASSERT_TRUE(may_touch(page(number), 1, Access::kRead));
  }
  for (const std::size_t number : {0U, 2U, 4U, 6U}) {
    EXPECT_TRUE(knows_range(page(number), 1, Access::kRead)) << number;
  }
  ASSERT_TRUE(may_touch(page(8), 1, Access::kRead));
  EXPECT_FALSE(knows_range(page(0), 1, Access::kRead));
  for (const std::size_t number : {2U, 4U, 6U, 8U}) {
    EXPECT_TRUE(knows_range(page(number), 1, Access::kRead)) << number;
  }
}

// ---- vectors of buffers ---------------------------------------------------------------------------

TEST_F(UserRanges, OfAVectorOnlyTheFirstBytesAreJudged) {
  const std::array<iovec, 3> vector{iovec{page(0), 10}, iovec{page(1), 0}, iovec{page(1), 10}};
  const Parts parts{vector.data(), vector.size(), 20};
  EXPECT_TRUE(may_touch(parts, 0, Access::kWrite));
  EXPECT_TRUE(may_touch(parts, 10, Access::kWrite));
  EXPECT_FALSE(may_touch(parts, 11, Access::kWrite));
}

class CursorTest : public testing::Test {
 protected:
  // "abc", "", "defgh", "", "ij"
  std::array<char, 10> bytes_{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'};
  std::array<iovec, 5> vector_{iovec{bytes_.data(), 3}, iovec{nullptr, 0},
                               iovec{bytes_.data() + 3, 5}, iovec{nullptr, 0},
                               iovec{bytes_.data() + 8, 2}};
  Parts parts_{vector_.data(), vector_.size(), 10};

  static std::string text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

TEST_F(CursorTest, WalksOverEmptyParts) {
  Cursor cursor(parts_, 0);
  for (const char* expected : {"abc", "defgh", "ij", ""}) {
    const auto piece = cursor.piece();
    EXPECT_EQ(text(piece), expected);
    cursor.advance(piece.size());
  }
  EXPECT_TRUE(cursor.piece().empty()) << "and stays at the end";
}

TEST_F(CursorTest, SkipsToAnywhere) {
  const std::string all = "abcdefghij";
  for (std::size_t skip = 0; skip <= 10; ++skip) {
    Cursor cursor(parts_, skip);
    std::string rest;
    while (!cursor.piece().empty()) {
      rest += text(cursor.piece().first(1));
      cursor.advance(1);
    }
    EXPECT_EQ(rest, all.substr(skip)) << skip;
  }
}

TEST_F(CursorTest, CopiesAcrossTheBoundsOfBothSides) {
  for (std::size_t first = 0; first <= 9; ++first) {
    std::string target(9, '?');
    auto* data = reinterpret_cast<std::byte*>(target.data());
    const std::array<ring::Span, 3> spans{ring::Span{data, first}, ring::Span{data, 0},
                                          ring::Span{data + first, 9 - first}};
    Cursor cursor(parts_, 1);
    cursor.copy_into(spans);
    EXPECT_EQ(target, "bcdefghij") << first;
    EXPECT_TRUE(cursor.piece().empty());
  }
}

TEST_F(CursorTest, AVectorOfNothingIsAtItsEnd) {
  const Parts none{nullptr, 0, 0};
  EXPECT_TRUE(Cursor(none, 0).piece().empty());
  const Parts empty{vector_.data() + 1, 1, 0};
  EXPECT_TRUE(Cursor(empty, 0).piece().empty());
}

}  // namespace
}  // namespace vmbus::shim
