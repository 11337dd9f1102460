#include "emu/protocol/gpa_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace vmbus::proto {
namespace {

using Words = std::vector<std::uint64_t>;

constexpr std::uint64_t head(std::uint32_t byte_count, std::uint32_t byte_offset = 0) {
  return byte_count | std::uint64_t{byte_offset} << 32;
}

GpaRangeError error_of(const Words& words, std::size_t range_count = 1) {
  const auto result = validate_ranges(words, range_count);
  EXPECT_FALSE(result.ok());
  return result.ok() ? GpaRangeError{0xFF} : result.error();
}

Words whole_pages(std::size_t pages) {
  std::vector<Pfn> pfns(pages);
  for (std::size_t i = 0; i < pages; ++i) pfns[i] = Pfn{0x1000 + i};
  Words out(pages + 1);
  EXPECT_EQ(build_page_range(pfns, out).size(), out.size());
  return out;
}

TEST(GpaRange, TakesOffsetCountAndPages) {
  const Words words{head(4097, 4095), 7, 9, 0xEE};
  std::span<const std::uint64_t> rest = words;
  const auto range = take_range(rest);
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->byte_count, 4097u);
  EXPECT_EQ(range->byte_offset, 4095u);
  EXPECT_TRUE(std::ranges::equal(range->pfns, Words{7, 9})) << "8192 bytes: two pages";
  EXPECT_TRUE(std::ranges::equal(rest, Words{0xEE}));
}

TEST(GpaRange, WalksSeveralRanges) {
  const Words words{head(1), 5, head(4096, 1), 6, 7};
  std::span<const std::uint64_t> rest = words;
  ASSERT_TRUE(take_range(rest).ok());
  const auto second = take_range(rest);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->pfns.size(), 2u);
  EXPECT_TRUE(rest.empty());
  EXPECT_TRUE(validate_ranges(words, 2).ok());
}

TEST(GpaRange, MissingRangeIsEmptyRange) {
  EXPECT_EQ(error_of({}), GpaRangeError::kEmptyRange);
  EXPECT_EQ(error_of({head(1), 5}, 2), GpaRangeError::kEmptyRange);
}

TEST(GpaRange, NoBytesIsEmptyByteCount) {
  EXPECT_EQ(error_of({head(0), 5}), GpaRangeError::kEmptyByteCount);
}

// Row 139: bad range
TEST(GpaRange, OffsetOfAPageIsTooLarge) {
  EXPECT_EQ(error_of({head(1, 0x1000), 5, 6}), GpaRangeError::kOffsetTooLarge);
  EXPECT_TRUE(validate_ranges(Words{head(1, 0xFFF), 5}, 1).ok());
}

TEST(GpaRange, SumBeyond32BitsIsOverflow) {
  EXPECT_EQ(error_of({head(0xFFFF'FFFF), 5}), GpaRangeError::kOverflow);
  EXPECT_EQ(error_of({head(0xFFFF'F001), 5}), GpaRangeError::kOverflow);
  EXPECT_EQ(error_of({head(0xFFFF'F000, 1), 5}), GpaRangeError::kOverflow);
  EXPECT_EQ(error_of({head(0xFFFF'F000), 5}), GpaRangeError::kRangeTooSmall) << "fits, just";
}

TEST(GpaRange, MissingPageNumbersAreRangeTooSmall) {
  EXPECT_EQ(error_of({head(4097), 5}), GpaRangeError::kRangeTooSmall);
  EXPECT_EQ(error_of({head(1)}), GpaRangeError::kRangeTooSmall);
}

TEST(GpaRange, FailureLeavesTheWordsAlone) {
  const Words words{head(4097), 5};
  std::span<const std::uint64_t> rest = words;
  EXPECT_FALSE(take_range(rest).ok());
  EXPECT_EQ(rest.size(), 2u);
}

TEST(GpaRange, NoRangesAreGoodAndSurplusIsIgnored) {
  EXPECT_TRUE(validate_ranges({}, 0).ok());
  EXPECT_TRUE(validate_ranges(Words{head(1), 5, 6, 7}, 1).ok());
}

// Row 152: ring shape
TEST(RingPages, SplitAtTheDownstreamPage) {
  const Words words = whole_pages(7);
  const auto rings = ring_pages(words, 1, 3);
  ASSERT_TRUE(rings.ok());
  EXPECT_TRUE(std::ranges::equal(rings->guest_to_host, Words{0x1000, 0x1001, 0x1002}));
  EXPECT_TRUE(std::ranges::equal(rings->host_to_guest, Words{0x1003, 0x1004, 0x1005, 0x1006}));
}

struct BadShape {
  const char* what;
  Words words;
  std::size_t range_count;
  std::uint32_t downstream;
  RingShapeError error;
};

// Row 152: ring shape
TEST(RingPages, RefusesEveryOtherShape) {
  const Words four = whole_pages(4);
  const std::vector<BadShape> table = {
      {"two ranges", {head(4096), 1, head(4096), 2}, 2, 1, RingShapeError::kNotOneRange},
      {"no range", {}, 0, 1, RingShapeError::kNotOneRange},
      {"bad range", {head(0)}, 1, 1, RingShapeError::kBadRange},
      {"offset 1", {head(4 * 4096 - 1, 1), 1, 2, 3, 4}, 1, 2, RingShapeError::kNotPageAligned},
      {"part of a page", {head(4 * 4096 - 1), 1, 2, 3, 4}, 1, 2, RingShapeError::kNotPageAligned},
      {"downstream at 0", four, 1, 0, RingShapeError::kDownstreamOutside},
      {"downstream at the end", four, 1, 4, RingShapeError::kDownstreamOutside},
      {"downstream far away", four, 1, 0xFFFF'FFFF, RingShapeError::kDownstreamOutside},
      {"no data upstream", four, 1, 1, RingShapeError::kRingTooSmall},
      {"no data downstream", four, 1, 3, RingShapeError::kRingTooSmall},
  };
  for (const BadShape& row : table) {
    const auto rings = ring_pages(row.words, row.range_count, row.downstream);
    ASSERT_FALSE(rings.ok()) << row.what;
    EXPECT_EQ(rings.error(), row.error) << row.what;
  }
}

// The host's side of a split: the messages of `words`, decoded and put together again.
struct Reassembled {
  std::vector<GpadlHeader> headers{};
  std::size_t bodies = 0;
  Words words{};
};

Reassembled send_through_messages(const Words& words, std::uint16_t range_count = 1) {
  constexpr Negotiated kNegotiated{.version = ProtocolVersion::kV5_3};
  Reassembled result{.words = Words(words.size())};
  std::span<std::uint64_t> missing = result.words;
  GpadlMessages messages(Relid{5}, GpadlId{0xE1E10}, words, range_count);
  while (const auto encoded = messages.next()) {
    const DecodeResult decoded = decode(encoded->bytes(), Direction::kGuestToHost, kNegotiated);
    const auto* message = std::get_if<Message>(&decoded);
    if (message == nullptr) break;
    std::span<const std::byte> tail;
    if (const auto* header = std::get_if<WithTail<GpadlHeader>>(message)) {
      result.headers.push_back(header->fixed);
      tail = header->tail;
    } else if (const auto* body = std::get_if<WithTail<GpadlBody>>(message)) {
      EXPECT_EQ(body->fixed.gpadl_id, GpadlId{0xE1E10});
      result.bodies += 1;
      tail = body->tail;
    }
    missing = missing.subspan(copy_words(tail, missing));
  }
  EXPECT_TRUE(missing.empty());
  return result;
}

// Row 147: split boundaries
TEST(GpadlMessages, SplitAt26And28PageNumbers) {
  const std::vector<std::pair<std::size_t, std::size_t>> bodies_by_pages = {
      {1, 0}, {26, 0}, {27, 1}, {54, 1}, {55, 2}, {kMaxRangePages, 292}};
  for (const auto& [pages, bodies] : bodies_by_pages) {
    const Words words = whole_pages(pages);
    const Reassembled result = send_through_messages(words);
    EXPECT_EQ(result.bodies, bodies) << pages;
    EXPECT_EQ(result.words, words) << pages;
    ASSERT_EQ(result.headers.size(), 1u) << pages;
    EXPECT_EQ(result.headers[0].relid, Relid{5});
    EXPECT_EQ(result.headers[0].range_buffer_bytes, words.size() * 8);
    EXPECT_EQ(result.headers[0].range_count, 1);
  }
}

TEST(GpadlMessages, EmptyGpadlIsOneHeader) {
  const Reassembled result = send_through_messages({}, 0);
  ASSERT_EQ(result.headers.size(), 1u);
  EXPECT_EQ(result.headers[0].range_buffer_bytes, 0);
  EXPECT_EQ(result.bodies, 0u);
}

// Row 146: surplus body data
TEST(CopyWords, TakesWholeWordsThatAreMissing) {
  std::array<std::byte, 23> tail;
  tail.fill(std::byte{0x11});
  Words missing(5);
  EXPECT_EQ(copy_words(tail, missing), 2u) << "23 bytes are two words";
  EXPECT_EQ(missing, (Words{0x1111'1111'1111'1111, 0x1111'1111'1111'1111, 0, 0, 0}));
  Words last(1);
  EXPECT_EQ(copy_words(tail, last), 1u) << "the rest is surplus";
  EXPECT_EQ(copy_words(tail, {}), 0u);
  EXPECT_EQ(copy_words({}, missing), 0u);
}

}  // namespace
}  // namespace vmbus::proto
