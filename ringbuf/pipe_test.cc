#include "ringbuf/pipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = kPageBytes;

// A packet whose payload is a pipe header and `data_bytes` of nothing, however wrong.
std::optional<RingError> parse_error(PipeHeader header, std::uint32_t data_bytes = 32,
                                     PipeKind kind = PipeKind::kByte) {
  HeapRing ring(8 * kPageBytes);
  lay_out_packet(ring.memory(), 0, {}, kPipeHeaderBytes + data_bytes);
  ring.memory().store_word(kDescriptorBytes, std::bit_cast<std::uint64_t>(header));
  const auto packet = parse_packet(ring.memory(), 0, ring.memory().capacity());
  return error_of(parse_pipe_packet(ring.memory(), *packet, kind));
}

std::uint32_t partial(std::uint32_t total, std::uint32_t taken) { return total | taken << 16; }

// Row 51: header bytes
TEST(Pipe, PayloadBeginsWithTypeAndLength) {
  HeapRing ring(kSize);
  lay_out_pipe_packet(ring.memory(), 0, 3);
  const Bytes expected{std::byte{1}, {}, {}, {}, std::byte{3}, {}, {}, {}};
  EXPECT_EQ(testing::copy_of(ring.memory(), 16, 8), expected);
}

TEST(Pipe, PacketLooksTheSameAsAPlainOne) {
  HeapRing plain(kSize);
  HeapRing pipe(kSize);
  for (const std::uint32_t start : {0U, kSize - 8, kSize - 24, kSize - 40}) {
    for (std::uint32_t size = 0; size < 20; ++size) {
      const Bytes data = testing::pattern(size);
      Bytes payload(8 + size);
      const PipeHeader header{1, size};
      std::memcpy(payload.data(), &header, 8);
      std::copy(data.begin(), data.end(), payload.begin() + 8);
      copy_into(lay_out_packet(plain.memory(), start, {}, 8 + size), payload);
      copy_into(pipe.memory().split(pipe.memory().advance(start, kPipePayloadOffset), size), data);
      lay_out_pipe_packet(pipe.memory(), start, size);
      EXPECT_TRUE(std::ranges::equal(plain.data(), pipe.data())) << start << " " << size;
    }
  }
}

// Row 58: a header that promises more than its packet holds
TEST(Pipe, RefusesALengthBeyondThePacket) {
  EXPECT_EQ(parse_error({1, 32}), std::nullopt);
  EXPECT_EQ(parse_error({1, 33}), RingError::kPipeLengthBeyondPacket);
  EXPECT_EQ(parse_error({2, partial(33, 1)}), RingError::kPipeLengthBeyondPacket);
}

// Row 176: more than 16 KiB in one packet is an error of the receiver.
TEST(Pipe, RefusesALengthAboveTheLimit) {
  EXPECT_EQ(parse_error({1, 16384}, 20000), std::nullopt);
  EXPECT_EQ(parse_error({1, 16385}, 20000), RingError::kPipeLengthAboveLimit);
  EXPECT_EQ(parse_error({1, 0xFFFFFFFF}, 20000), RingError::kPipeLengthAboveLimit);
  EXPECT_EQ(parse_error({2, partial(16385, 16000)}, 20000), RingError::kPipeLengthAboveLimit);
}

// Row 59: unknown pipe types
TEST(Pipe, RefusesUnknownTypes) {
  for (const std::uint32_t type : {0U, 3U, 4U, 5U, 9U, 0xFFFFFFFFU}) {
    EXPECT_EQ(parse_error({type, 8}), RingError::kUnknownPipeType) << type;
  }
}

TEST(Pipe, ReadsAPartialPacketFromWhereItWasLeft) {
  HeapRing ring(kSize);
  const Bytes data = testing::pattern(20);
  copy_into(ring.memory().split(kPipePayloadOffset, 20), data);
  lay_out_pipe_packet(ring.memory(), 0, 20);
  ring.memory().store_word(16, std::bit_cast<std::uint64_t>(PipeHeader{2, partial(20, 15)}));
  const auto packet = parse_packet(ring.memory(), 0, 56);
  const auto rest = parse_pipe_packet(ring.memory(), *packet, PipeKind::kByte);
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(testing::copy_of(ring.memory(), rest->data_index, rest->data_bytes),
            Bytes(data.begin() + 15, data.end()));
}

TEST(Pipe, RefusesAPartialPacketWithNothingLeft) {
  EXPECT_EQ(parse_error({2, partial(8, 8)}), RingError::kPartialOffsetTooLarge);
  EXPECT_EQ(parse_error({2, partial(8, 9)}), RingError::kPartialOffsetTooLarge);
  EXPECT_EQ(parse_error({2, 0}), RingError::kPartialOffsetTooLarge);
  EXPECT_EQ(parse_error({2, partial(8, 7)}), std::nullopt);
}

TEST(Pipe, MessagePipeKnowsNoPartialPackets) {
  EXPECT_EQ(parse_error({2, partial(8, 1)}, 32, PipeKind::kMessage), RingError::kUnknownPipeType);
}

TEST(Pipe, RefusesAPacketWithoutAHeader) {
  HeapRing ring(kSize);
  lay_out_packet(ring.memory(), 0, {}, 0);
  const auto packet = parse_packet(ring.memory(), 0, 24);
  EXPECT_EQ(error_of(parse_pipe_packet(ring.memory(), *packet, PipeKind::kByte)),
            RingError::kPipeHeaderMissing);
}

// Row 60: only in-band data belongs on a pipe
TEST(Pipe, RefusesACompletionPacket) {
  HeapRing ring(kSize);
  lay_out_packet(ring.memory(), 0, {.type = PacketType::kCompletion}, 16);
  const auto packet = parse_packet(ring.memory(), 0, 40);
  EXPECT_EQ(error_of(parse_pipe_packet(ring.memory(), *packet, PipeKind::kByte)),
            RingError::kUnexpectedPacketType);
}

class MessagePipe : public ::testing::Test {
 protected:
  HeapRing ring_{kSize};
  PipeWriter writer_ = *PipeWriter::open(ring_.memory());
  PipeReader reader_ = *PipeReader::open(ring_.memory());
  Bytes buffer_ = Bytes(20000);
};

TEST_F(MessagePipe, KeepsMessagesApartAndKnowsEmptyOnes) {
  for (const std::size_t size : {5U, 0U, 17U}) {
    ASSERT_TRUE(writer_.write_message(testing::pattern(size)).ok());
  }
  static_cast<void>(writer_.commit());
  for (const std::size_t size : {5U, 0U, 17U}) {
    EXPECT_EQ(*reader_.read_message(buffer_), size);
    EXPECT_TRUE(std::ranges::equal(std::span(buffer_).first(size), testing::pattern(size)));
  }
  EXPECT_EQ(error_of(reader_.read_message(buffer_)), RingError::kEmpty);
}

// Row 56: the largest message
TEST_F(MessagePipe, RefusesAMessageAboveTheLimit) {
  const std::uint32_t limit = kSize - 40;
  EXPECT_EQ(error_of(writer_.write_message(testing::pattern(limit + 1))),
            RingError::kMessageTooLarge);
  ASSERT_TRUE(writer_.write_message(testing::pattern(limit)).ok());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(*reader_.read_message(buffer_), limit);

  HeapRing large(64 * kPageBytes);
  PipeWriter writer = *PipeWriter::open(large.memory());
  EXPECT_TRUE(writer.write_message(testing::pattern(16384)).ok());
  EXPECT_EQ(error_of(writer.write_message(testing::pattern(16385))), RingError::kMessageTooLarge);
}

// Row 57: the message waits for a larger buffer
TEST_F(MessagePipe, BufferTooSmallLeavesTheMessage) {
  ASSERT_TRUE(writer_.write_message(testing::pattern(100)).ok());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(error_of(reader_.read_message(std::span(buffer_).first(99))),
            RingError::kBufferTooSmall);
  EXPECT_EQ(*reader_.read_message(std::span(buffer_).first(100)), 100U);
}

TEST_F(MessagePipe, SaysFullWhenTheMessageHasNoRoomNow) {
  ASSERT_TRUE(writer_.write_message(testing::pattern(3000)).ok());
  EXPECT_EQ(error_of(writer_.write_message(testing::pattern(3000))), RingError::kFull);
}

TEST_F(MessagePipe, ReportsWhatThePeerDidWrong) {
  ASSERT_TRUE(writer_.write_message(testing::pattern(8)).ok());
  static_cast<void>(writer_.commit());
  ring_.memory().store_word(16, std::bit_cast<std::uint64_t>(PipeHeader{1, 9}));
  EXPECT_EQ(error_of(reader_.read_message(buffer_)), RingError::kPipeLengthBeyondPacket);
}

}  // namespace
}  // namespace vmbus::ring
