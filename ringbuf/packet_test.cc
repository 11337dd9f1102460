#include "ringbuf/packet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>

#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = kPageBytes;

void put(const RingMemory& memory, std::uint32_t start, const PacketDescriptor& descriptor) {
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(descriptor);
  memory.store_word(start, words[0]);
  memory.store_word(memory.advance(start, 8), words[1]);
}

PacketDescriptor in_band(std::uint16_t length8) { return {6, 2, length8, 0, 0}; }

// A bare descriptor at 0, of which `available` bytes are published.
std::optional<RingError> parse_error(const PacketDescriptor& descriptor,
                                     std::uint32_t available = 256) {
  HeapRing ring(kSize);
  put(ring.memory(), 0, descriptor);
  return error_of(parse_packet(ring.memory(), 0, available));
}

PacketView lay_out_and_parse(const HeapRing& ring, std::uint32_t start, const PacketHeader& header,
                             const Bytes& payload) {
  const auto bytes = static_cast<std::uint32_t>(payload.size());
  copy_into(lay_out_packet(ring.memory(), start, header, bytes), payload);
  const auto total = static_cast<std::uint32_t>(packet_bytes(header.extension.size(), bytes));
  return *parse_packet(ring.memory(), start, total);
}

TEST(Packet, ComesBackAsItWasLaidOut) {
  HeapRing ring(kSize);
  const PacketHeader header{.type = PacketType::kCompletion, .transaction_id = 0x1122334455667788};
  const Bytes payload = testing::pattern(40);
  const PacketView view = lay_out_and_parse(ring, 64, header, payload);
  EXPECT_EQ(view.type, PacketType::kCompletion);
  EXPECT_EQ(view.raw_transaction_id, 0x1122334455667788U);
  EXPECT_EQ(view.start_index, 64U);
  EXPECT_EQ(view.payload_index, 80U);
  EXPECT_EQ(view.total_bytes, 64U);
  EXPECT_EQ(testing::copy_of(ring.memory(), view.payload_index, view.payload_bytes), payload);
}

// Row 21: descriptor, payload and trailer wrap
TEST(Packet, SurvivesTheWrapAtEveryPosition) {
  const Bytes payload = testing::pattern(24);
  for (std::uint32_t before_end = 8; before_end <= 64; before_end += 8) {
    HeapRing ring(kSize);
    const PacketHeader header{.transaction_id = 77};
    const PacketView view = lay_out_and_parse(ring, kSize - before_end, header, payload);
    EXPECT_EQ(view.raw_transaction_id, 77U);
    EXPECT_EQ(testing::copy_of(ring.memory(), view.payload_index, 24), payload);
  }
}

// Row 22: the trailer names the packet's start
TEST(Packet, TrailerHoldsZeroAndTheStart) {
  HeapRing ring(kSize);
  lay_out_and_parse(ring, 128, {}, testing::pattern(8));
  const auto trailer = std::bit_cast<Trailer>(ring.memory().load_word(128 + 24));
  EXPECT_EQ(trailer.reserved, 0U);
  EXPECT_EQ(trailer.start_index, 128U);
}

// Row 23: padding is zero
TEST(Packet, PaddingIsZeroedWhateverTheRingHeld) {
  HeapRing ring(kSize);
  std::ranges::fill(ring.data(), std::byte{0xEE});
  lay_out_and_parse(ring, 0, {}, testing::pattern(11, 5));
  EXPECT_EQ(testing::copy_of(ring.memory(), 16 + 11, 5), Bytes(5));
  EXPECT_EQ(testing::copy_of(ring.memory(), 16, 11), testing::pattern(11, 5));
}

// Row 24: length8 leaves the trailer out
TEST(Packet, LengthLeavesTheTrailerOut) {
  HeapRing ring(kSize);
  EXPECT_EQ(lay_out_and_parse(ring, 0, {}, testing::pattern(8)).total_bytes, 32U);
  const Bytes head = testing::copy_of(ring.memory(), 0, 8);
  const Bytes expected{std::byte{6}, {}, std::byte{2}, {}, std::byte{3}, {}, {}, {}};
  EXPECT_EQ(head, expected);
}

// Row 27: less than a descriptor
TEST(Packet, RefusesLessThanADescriptor) {
  EXPECT_EQ(parse_error(in_band(2), 8), RingError::kTooLittleData);
  EXPECT_EQ(parse_error(in_band(2), 24), std::nullopt);
}

// Row 28: payload inside the descriptor
TEST(Packet, RefusesADataOffsetBelowTwo) {
  EXPECT_EQ(parse_error({6, 1, 3, 0, 0}), RingError::kDataOffsetTooSmall);
  EXPECT_EQ(parse_error({6, 0, 3, 0, 0}), RingError::kDataOffsetTooSmall);
}

// Row 29: packet shorter than its own head
TEST(Packet, RefusesALengthBelowTheDataOffset) {
  EXPECT_EQ(parse_error({6, 3, 2, 0, 0}), RingError::kLengthBelowDataOffset);
  EXPECT_EQ(parse_error({6, 2, 0, 0, 0}), RingError::kLengthBelowDataOffset);
}

// Row 30: packet longer than what is published
TEST(Packet, RefusesALengthBeyondThePublishedData) {
  EXPECT_EQ(parse_error(in_band(5), 32), RingError::kLengthBeyondData);
  EXPECT_EQ(parse_error(in_band(0xFFFF), 4088), RingError::kLengthBeyondData);
}

// Row 31: trailer outside the published data
TEST(Packet, RefusesATrailerBeyondThePublishedData) {
  EXPECT_EQ(parse_error(in_band(4), 32), RingError::kTrailerBeyondData);
  EXPECT_EQ(parse_error(in_band(3), 32), std::nullopt);
}

// Row 32, 33: both extended types need their extension
TEST(Packet, RefusesAMissingExtension) {
  EXPECT_EQ(parse_error({9, 2, 4, 0, 0}), RingError::kMissingExtension);
  EXPECT_EQ(parse_error({7, 2, 4, 0, 0}), RingError::kMissingExtension);
}

// Row 34: unknown types
TEST(Packet, RefusesEveryTypeButFour) {
  for (std::uint16_t type = 0; type < 0x20; ++type) {
    const bool known = type == 6 || type == 7 || type == 9 || type == 0xB;
    if (known) continue;
    EXPECT_EQ(parse_error({type, 2, 4, 0, 0}), RingError::kUnknownPacketType) << type;
  }
  EXPECT_EQ(parse_error({0xFFFF, 2, 4, 0, 0}), RingError::kUnknownPacketType);
}

// Row 35: unknown flags
TEST(Packet, RefusesEveryFlagButCompletion) {
  EXPECT_EQ(parse_error({6, 2, 4, 1, 0}), std::nullopt);
  for (const std::uint16_t flags : std::to_array<std::uint16_t>({2, 3, 0x8000})) {
    EXPECT_EQ(parse_error({6, 2, 4, flags, 0}), RingError::kUnknownFlags) << flags;
  }
}

// Row 36: no ranges at all
TEST(Packet, RefusesGpaDirectWithoutRanges) {
  EXPECT_EQ(parse_error({9, 3, 4, 1, 0}), RingError::kNoGpaRanges);
}

// Row 37: when the transaction id means something
TEST(Packet, ShowsATransactionIdOnlyWhereItCounts) {
  HeapRing ring(kSize);
  const Bytes payload = testing::pattern(8);
  EXPECT_FALSE(lay_out_and_parse(ring, 0, {}, payload).has_transaction_id());
  EXPECT_TRUE(
      lay_out_and_parse(ring, 0, {.completion_requested = true}, payload).has_transaction_id());
  EXPECT_TRUE(
      lay_out_and_parse(ring, 0, {.type = PacketType::kCompletion}, payload).has_transaction_id());
}

// Row 38: the descriptor is read once
TEST(Packet, KeepsWhatItCheckedWhenThePeerRewritesTheDescriptor) {
  HeapRing ring(kSize);
  put(ring.memory(), 0, in_band(3));
  const auto view = parse_packet(ring.memory(), 0, 32);
  ASSERT_TRUE(view.ok());
  put(ring.memory(), 0, in_band(0x1FF));
  EXPECT_EQ(view->total_bytes, 32U);
  EXPECT_EQ(view->payload_bytes, 8U);
}

TEST(Packet, EmptyPayloadIsLegal) {
  HeapRing ring(kSize);
  const PacketView view = lay_out_and_parse(ring, 0, {}, {});
  EXPECT_EQ(view.payload_bytes, 0U);
  EXPECT_EQ(view.total_bytes, 24U);
}

}  // namespace
}  // namespace vmbus::ring
