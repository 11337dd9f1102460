#include "ringbuf/ring_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::error_of;
using testing::HeapRing;

std::vector<std::size_t> offsets_of_nonzero_bytes(std::span<const std::byte> bytes) {
  std::vector<std::size_t> offsets;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != std::byte{0}) offsets.push_back(i);
  }
  return offsets;
}

// Row 1: the words of the control page
TEST(RingMemory, ControlWordsLieAtTheirOffsetsAndNowhereElse) {
  HeapRing ring(kPageBytes);
  const std::vector<std::pair<SharedWord, std::size_t>> words{
      {ring.memory().write_index(), 0},    {ring.memory().read_index(), 4},
      {ring.memory().interrupt_mask(), 8}, {ring.memory().pending_send_size(), 12},
      {ring.memory().feature_bits(), 64},
  };
  for (const auto& [word, offset] : words) {
    word.store_seq_cst(0x01010101);
    EXPECT_EQ(offsets_of_nonzero_bytes(ring.pages()),
              (std::vector<std::size_t>{offset, offset + 1, offset + 2, offset + 3}));
    word.store_relaxed(0);
  }
}

// Row 2: the data area is whole pages
TEST(RingMemory, RefusesPartOfAPage) {
  std::vector<std::uint64_t> words(3 * kPageBytes / kWordBytes);
  const auto bytes = std::as_writable_bytes(std::span(words));
  EXPECT_EQ(error_of(RingMemory::over(bytes.first(kPageBytes + 4095))),
            RingError::kDataNotWholePages);
  EXPECT_EQ(error_of(RingMemory::over(bytes.first(kPageBytes + 4097))),
            RingError::kDataNotWholePages);
  ASSERT_TRUE(RingMemory::over(bytes.first(kPageBytes + 4096)).ok());
  EXPECT_EQ(RingMemory::over(bytes.first(kPageBytes + 4096))->data_bytes(), 4096U);
}

// Row 3: a ring needs a data page
TEST(RingMemory, RefusesARingWithoutData) {
  std::vector<std::uint64_t> words(kPageBytes / kWordBytes);
  const auto bytes = std::as_writable_bytes(std::span(words));
  EXPECT_EQ(error_of(RingMemory::over(bytes)), RingError::kNoDataPages);
  EXPECT_EQ(error_of(RingMemory::over(bytes.first(0))), RingError::kNoDataPages);
}

TEST(RingMemory, RefusesMorePagesThanAGpadlLists) {
  // Never touched: only the length is looked at.
  alignas(8) static std::byte page[kPageBytes];
  const std::size_t largest = std::size_t{kMaxDataPages + 1} * kPageBytes;
  EXPECT_TRUE(RingMemory::over({page, largest}).ok());
  EXPECT_EQ(error_of(RingMemory::over({page, largest + kPageBytes})), RingError::kTooManyDataPages);
}

TEST(RingMemory, ZeroedControlPageIsAnEmptyRing) {
  HeapRing ring(kPageBytes);
  std::memset(ring.pages().data(), 0xEE, ring.pages().size());
  ring.memory().zero_control_page();
  EXPECT_TRUE(offsets_of_nonzero_bytes(ring.pages().first(kPageBytes)).empty());
  EXPECT_EQ(ring.data()[0], std::byte{0xEE});
  EXPECT_TRUE(load_indices(ring.memory()).ok());
}

TEST(RingMemory, SplitsOnlyWhatRunsPastTheEnd) {
  HeapRing ring(kPageBytes);
  const SplitSpan whole = ring.memory().split(4080, 16);
  EXPECT_EQ(whole.first.size, 16U);
  EXPECT_EQ(whole.second.size, 0U);
  const SplitSpan wrapped = ring.memory().split(4080, 20);
  EXPECT_EQ(wrapped.first.size, 16U);
  EXPECT_EQ(wrapped.second.size, 4U);
  EXPECT_EQ(wrapped.second.data, ring.data().data());
}

TEST(RingMemory, CopiesThroughTheEnd) {
  HeapRing ring(kPageBytes);
  const testing::Bytes sent = testing::pattern(100);
  copy_into(ring.memory().split(4040, 100), sent);
  EXPECT_EQ(testing::copy_of(ring.memory(), 4040, 100), sent);
  EXPECT_EQ(ring.data()[4095], sent[55]);
  EXPECT_EQ(ring.data()[0], sent[56]);
}

TEST(RingMemory, ChecksBothIndices) {
  HeapRing ring(kPageBytes);
  ring.memory().write_index().store_relaxed(4096);
  EXPECT_EQ(error_of(load_indices(ring.memory())), RingError::kWriteIndexOutOfRange);
  ring.memory().write_index().store_relaxed(12);
  EXPECT_EQ(error_of(load_indices(ring.memory())), RingError::kWriteIndexUnaligned);
  ring.memory().write_index().store_relaxed(16);
  ring.memory().read_index().store_relaxed(0xFFFFFFFF);
  EXPECT_EQ(error_of(load_indices(ring.memory())), RingError::kReadIndexOutOfRange);
  ring.memory().read_index().store_relaxed(1);
  EXPECT_EQ(error_of(load_indices(ring.memory())), RingError::kReadIndexUnaligned);
}

TEST(RingError, EachHasATextOfItsOwn) {
  std::set<std::string> texts;
  for (auto error = RingError::kEmpty; error <= RingError::kPositionInvalid;
       error = RingError(static_cast<int>(error) + 1)) {
    EXPECT_TRUE(texts.insert(describe(error)).second) << describe(error);
  }
  EXPECT_FALSE(peer_lied(RingError::kFull));
  EXPECT_FALSE(peer_lied(RingError::kExtensionBufferFull));
  EXPECT_TRUE(peer_lied(RingError::kWriteIndexOutOfRange));
  EXPECT_TRUE(peer_lied(RingError::kPositionInvalid));
}

}  // namespace
}  // namespace vmbus::ring
