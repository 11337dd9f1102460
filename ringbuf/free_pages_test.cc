#include "ringbuf/free_pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "ringbuf/layout.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

constexpr std::uint32_t kPages = 8;
constexpr auto kPage = static_cast<std::uint32_t>(kPageBytes);

class FreePages : public ::testing::Test {
 protected:
  void set_indices(std::uint32_t write, std::uint32_t read) {
    ring_.memory().write_index().store_relaxed(write);
    ring_.memory().read_index().store_relaxed(read);
  }
  // The data pages that are free, by number.
  std::vector<std::uint32_t> free() const {
    std::vector<std::uint32_t> pages;
    const auto found = free_pages(ring_.memory());
    EXPECT_TRUE(found.ok());
    for (const Span& span : {found->first, found->second}) {
      const auto start = static_cast<std::uint32_t>(span.data - ring_.memory().span_at(0));
      EXPECT_EQ(start % kPage, 0U);
      EXPECT_EQ(span.size % kPage, 0U);
      for (std::size_t i = 0; i < span.size / kPage; ++i) {
        pages.push_back(start / kPage + static_cast<std::uint32_t>(i));
      }
    }
    return pages;
  }

  testing::HeapRing ring_{kPages * kPageBytes};
};

using Numbers = std::vector<std::uint32_t>;

TEST_F(FreePages, OfAnEmptyRingAreAll) {
  const Numbers all = {0, 1, 2, 3, 4, 5, 6, 7};
  for (const std::uint32_t index : {0U, 8U, kPage, 3 * kPage + 40, 8 * kPage - 8}) {
    set_indices(index, index);
    EXPECT_EQ(free(), all) << index;
  }
}

TEST_F(FreePages, KeepThePagesWithOneUnreadWord) {
  set_indices(3 * kPage + 8, 3 * kPage);
  EXPECT_EQ(free(), (Numbers{4, 5, 6, 7, 0, 1, 2}));
  set_indices(3 * kPage, 3 * kPage - 8);
  EXPECT_EQ(free(), (Numbers{3, 4, 5, 6, 7, 0, 1}));
  set_indices(0, 8 * kPage - 8);
  EXPECT_EQ(free(), (Numbers{0, 1, 2, 3, 4, 5, 6}));
}

TEST_F(FreePages, KeepWhatWraps) {
  set_indices(kPage + 8, 6 * kPage + 16);
  EXPECT_EQ(free(), (Numbers{2, 3, 4, 5}));
  set_indices(2 * kPage, 6 * kPage);
  EXPECT_EQ(free(), (Numbers{2, 3, 4, 5}));
}

TEST_F(FreePages, OfAFullRingAreNone) {
  set_indices(3 * kPage + 8, 3 * kPage + 16);
  EXPECT_EQ(free(), Numbers{});
  set_indices(8 * kPage - 8, 0);
  EXPECT_EQ(free(), Numbers{});
  set_indices(0, 8);
  EXPECT_EQ(free(), Numbers{});
}

// Each page is free exactly if no used byte is in it.
TEST_F(FreePages, AreThoseWithoutAUsedByte) {
  const std::uint32_t size = kPages * kPage;
  for (std::uint32_t write = 0; write < size; write += 1000) {
    for (std::uint32_t read = 0; read < size; read += 1000) {
      set_indices(write, read);
      std::vector<bool> used(kPages);
      for (std::uint32_t at = read; at != write; at = (at + 8) % size) used[at / kPage] = true;
      std::vector<bool> kept(kPages, true);
      for (const std::uint32_t page : free()) kept[page] = false;
      ASSERT_EQ(kept, used) << write << ", " << read;
    }
  }
}

TEST_F(FreePages, AreUnknownOfANonsensicalRing) {
  set_indices(kPages * kPage, 0);
  EXPECT_FALSE(free_pages(ring_.memory()).ok());
  set_indices(0, 4);
  EXPECT_FALSE(free_pages(ring_.memory()).ok());
}

}  // namespace
}  // namespace vmbus::ring
