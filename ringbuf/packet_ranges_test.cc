#include "ringbuf/packet_ranges.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <vector>

#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kStart = kPageBytes - 32;  // the extension wraps in every test

class PacketRanges : public ::testing::Test {
 protected:
  PacketView lay_out(PacketType type, std::span<const std::uint64_t> extension) {
    const PacketHeader header{.type = type, .completion_requested = true, .extension = extension};
    copy_into(lay_out_packet(ring_.memory(), kStart, header, 16), payload_);
    return *parse_packet(ring_.memory(), kStart, ring_.memory().capacity());
  }

  PacketView gpa_direct(std::span<const OutgoingGpaRange> ranges) {
    return lay_out(PacketType::kDataGpaDirect, *build_gpa_direct(ranges, words_));
  }

  // A GPA-direct extension as a hostile peer would write it.
  PacketView raw_gpa_direct(std::uint32_t range_count, std::vector<std::uint64_t> rest) {
    rest.insert(rest.begin(), std::bit_cast<std::uint64_t>(GpaDirectHeader{0, range_count}));
    return lay_out(PacketType::kDataGpaDirect, rest);
  }

  PacketView transfer_pages(std::span<const TransferRange> ranges) {
    return lay_out(PacketType::kDataTransferPages, *build_transfer_pages(7, ranges, words_));
  }

  std::optional<RingError> first_gpa_error(const PacketView& packet) {
    return error_of(GpaRanges::of(ring_.memory(), packet)->next());
  }

  HeapRing ring_{kPageBytes};
  testing::Bytes payload_ = testing::pattern(16);
  std::array<std::uint64_t, 32> words_{};
};

std::uint64_t range_word(std::uint32_t byte_count, std::uint32_t byte_offset) {
  return std::bit_cast<std::uint64_t>(GpaRangeHeader{byte_count, byte_offset});
}

// Row 40: GPA-direct ranges come back
TEST_F(PacketRanges, GpaDirectRangesAndPayloadComeBackEqual) {
  const std::array<std::uint64_t, 2> first{10, 11};
  const std::array<std::uint64_t, 1> second{99};
  const PacketView packet = gpa_direct(std::array<OutgoingGpaRange, 2>{
      OutgoingGpaRange{4096, 20, first}, OutgoingGpaRange{200, 0, second}});
  EXPECT_EQ(testing::copy_of(ring_.memory(), packet.payload_index, 16), payload_);

  auto ranges = *GpaRanges::of(ring_.memory(), packet);
  const auto one = ranges.next();
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->byte_count, 4096U);
  EXPECT_EQ(one->byte_offset, 20U);
  ASSERT_EQ(one->page_count, 2U);
  EXPECT_EQ(ranges.page_number(*one, 0), 10U);
  EXPECT_EQ(ranges.page_number(*one, 1), 11U);
  const auto two = ranges.next();
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->byte_count, 200U);
  EXPECT_EQ(ranges.page_number(*two, 0), 99U);
  EXPECT_TRUE(ranges.done());
}

// Row 41: an empty range costs the ranges, not the payload
TEST_F(PacketRanges, EmptyGpaRangeIsAnErrorWithThePayloadReadable) {
  const PacketView packet = raw_gpa_direct(1, {range_word(0, 0)});
  EXPECT_EQ(first_gpa_error(packet), RingError::kEmptyRange);
  EXPECT_EQ(testing::copy_of(ring_.memory(), packet.payload_index, 16), payload_);
}

// Row 44: the offset stays in the first page
TEST_F(PacketRanges, GpaOffsetOfAPageIsRefused) {
  EXPECT_EQ(first_gpa_error(raw_gpa_direct(1, {range_word(1, 4096), 5})),
            RingError::kRangeOffsetTooLarge);
  EXPECT_EQ(first_gpa_error(raw_gpa_direct(1, {range_word(1, 4095), 5})), std::nullopt);
}

TEST_F(PacketRanges, GpaRangeWithoutAllItsPagesIsRefused) {
  EXPECT_EQ(first_gpa_error(raw_gpa_direct(1, {range_word(4096, 1), 5})),
            RingError::kRangesBeyondExtension);
  EXPECT_EQ(first_gpa_error(raw_gpa_direct(1, {range_word(0xFFFFFFFF, 4095), 5})),
            RingError::kRangesBeyondExtension);
}

TEST_F(PacketRanges, MoreGpaRangesThanTheExtensionHoldsAreRefused) {
  const PacketView packet = raw_gpa_direct(0xFFFFFFFF, {range_word(8, 0), 5});
  auto ranges = *GpaRanges::of(ring_.memory(), packet);
  EXPECT_TRUE(ranges.next().ok());
  EXPECT_EQ(error_of(ranges.next()), RingError::kRangesBeyondExtension);
}

// Row 42: transfer ranges map onto the pages of their set
TEST_F(PacketRanges, TransferRangesNameTheirPages) {
  const PacketView packet = transfer_pages(
      std::array<TransferRange, 2>{TransferRange{0x10, 0xFFF}, TransferRange{0x20, 0x1000}});
  EXPECT_EQ(packet.transfer_set_id, 7U);
  auto ranges = *TransferRanges::of(ring_.memory(), packet, 2 * kPageBytes);
  const auto across = ranges.next();
  ASSERT_TRUE(across.ok());
  EXPECT_EQ(across->byte_offset, 0xFFFU);
  EXPECT_EQ(pages_touched(across->byte_offset % kPageBytes, across->byte_count), 2U);
  const auto second_page = ranges.next();
  ASSERT_TRUE(second_page.ok());
  EXPECT_EQ(second_page->byte_offset / kPageBytes, 1U);
  EXPECT_EQ(pages_touched(second_page->byte_offset % kPageBytes, second_page->byte_count), 1U);
  EXPECT_TRUE(ranges.done());
}

TEST_F(PacketRanges, TransferRangeOutsideItsSetIsRefused) {
  const PacketView packet = transfer_pages(std::array<TransferRange, 1>{TransferRange{2, 4095}});
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), packet, 4096)->next()),
            RingError::kRangeOutsideSet);
  EXPECT_TRUE(TransferRanges::of(ring_.memory(), packet, 4097)->next().ok());
}

TEST_F(PacketRanges, TransferRangeCannotOverflowItsOffset) {
  const PacketView packet =
      transfer_pages(std::array<TransferRange, 1>{TransferRange{0xFFFFFFFF, 0xFFFFFFFF}});
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), packet, 4096)->next()),
            RingError::kRangeOutsideSet);
}

TEST_F(PacketRanges, EmptyTransferRangeIsRefused) {
  const PacketView packet = transfer_pages(std::array<TransferRange, 1>{TransferRange{0, 8}});
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), packet, 4096)->next()),
            RingError::kEmptyRange);
}

TEST_F(PacketRanges, TransferPagesWithoutRangesAreRefused) {
  const PacketView packet = transfer_pages({});
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), packet, 4096)),
            RingError::kNoTransferRanges);
}

TEST_F(PacketRanges, MoreTransferRangesThanTheExtensionHoldsAreRefused) {
  const std::array<std::uint64_t, 2> words{
      std::bit_cast<std::uint64_t>(TransferPagesHeader{7, 0, 0, 2}),
      std::bit_cast<std::uint64_t>(TransferRange{8, 0})};
  const PacketView packet = lay_out(PacketType::kDataTransferPages, words);
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), packet, 4096)),
            RingError::kRangesBeyondExtension);
}

TEST_F(PacketRanges, GarbageInReservedHeaderBytesDoesNotMatter) {
  const std::array<std::uint64_t, 2> words{
      std::bit_cast<std::uint64_t>(TransferPagesHeader{7, 0xEE, 0xEE, 1}),
      std::bit_cast<std::uint64_t>(TransferRange{8, 0})};
  const PacketView packet = lay_out(PacketType::kDataTransferPages, words);
  EXPECT_TRUE(TransferRanges::of(ring_.memory(), packet, 4096)->next().ok());
}

TEST_F(PacketRanges, EachTypeHasItsOwnKindOfRanges) {
  const PacketView gpa = raw_gpa_direct(1, {range_word(8, 0), 5});
  EXPECT_EQ(error_of(TransferRanges::of(ring_.memory(), gpa, 4096)), RingError::kWrongExternalData);
  const PacketView transfer = transfer_pages(std::array<TransferRange, 1>{TransferRange{8, 0}});
  EXPECT_EQ(error_of(GpaRanges::of(ring_.memory(), transfer)), RingError::kWrongExternalData);
}

TEST_F(PacketRanges, BuildersRefuseTooShortABuffer) {
  const std::array<std::uint64_t, 2> pages{1, 2};
  const std::array<OutgoingGpaRange, 1> gpa{OutgoingGpaRange{4097, 0, pages}};
  const std::span<std::uint64_t> words(words_);
  EXPECT_EQ(error_of(build_gpa_direct(gpa, words.first(0))), RingError::kExtensionBufferFull);
  EXPECT_EQ(error_of(build_gpa_direct(gpa, words.first(3))), RingError::kExtensionBufferFull);
  EXPECT_TRUE(build_gpa_direct(gpa, words.first(4)).ok());
  const std::array<TransferRange, 2> transfer{TransferRange{8, 0}, TransferRange{8, 8}};
  EXPECT_EQ(error_of(build_transfer_pages(1, transfer, words.first(2))),
            RingError::kExtensionBufferFull);
  EXPECT_TRUE(build_transfer_pages(1, transfer, words.first(3)).ok());
}

}  // namespace
}  // namespace vmbus::ring
