#include "ringbuf/pipe_reader.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "ringbuf/pipe_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = 4 * kPageBytes;

Bytes after(std::ptrdiff_t offset, const Bytes& bytes) {
  return Bytes(bytes.begin() + offset, bytes.end());
}

class PipeReaderTest : public ::testing::Test {
 protected:
  PipeReaderTest() { open_at(0); }

  void open_at(std::uint32_t start) {
    ring_.start_at(start);
    writer_ = *PipeWriter::open(ring_.memory());
    reader_ = *PipeReader::open(ring_.memory());
  }

  void send(const Bytes& data, std::uint32_t max_packet_payload = 16384) {
    ASSERT_EQ(*writer_.write(data, max_packet_payload), data.size());
    static_cast<void>(writer_.commit());
  }

  void send_fin() {
    ASSERT_TRUE(writer_.write_fin().ok());
    static_cast<void>(writer_.commit());
  }

  // One packet of whatever type and pipe header.
  void send_raw(const PacketHeader& header, PipeHeader pipe) {
    RingWriter writer = *RingWriter::open(ring_.memory());
    Bytes payload(40);
    std::memcpy(payload.data(), &pipe, sizeof(pipe));
    ASSERT_TRUE(writer.write(header, payload).ok());
    static_cast<void>(writer.commit());
  }

  Bytes read(std::size_t max_bytes) {
    Bytes bytes(max_bytes);
    bytes.resize(*reader_.read(bytes));
    return bytes;
  }

  static Bytes content(std::span<const Span> spans) {
    Bytes bytes;
    for (const Span& span : spans) bytes.insert(bytes.end(), span.data, span.data + span.size);
    return bytes;
  }

  std::uint32_t read_index() const { return ring_.memory().read_index().load_relaxed(); }

  HeapRing ring_{kSize};
  PipeWriter writer_;
  PipeReader reader_;
  std::array<Span, PipeReader::kMaxBatchSpans> spans_;
  PipeReader::Gathered gathered_{};
};

// Row 52: nothing, then three bytes
TEST_F(PipeReaderTest, FindsNothingUntilDataCame) {
  EXPECT_EQ(read(10).size(), 0U);
  EXPECT_FALSE(reader_.at_fin());
  EXPECT_TRUE(*reader_.prepare_to_sleep());
  ASSERT_TRUE(writer_.write(testing::pattern(3), 16384).ok());
  EXPECT_TRUE(writer_.commit());
  EXPECT_EQ(read(10), testing::pattern(3));
}

// Row 53: the second send waits for room; both arrive in order
TEST(PipeOrder, SendWaitsForRoomAndKeepsOrder) {
  HeapRing ring(kPageBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  PipeReader reader = *PipeReader::open(ring.memory());
  ASSERT_EQ(*writer.write(testing::pattern(4000, 1), 16384), 4000U);
  static_cast<void>(writer.commit());
  ASSERT_EQ(*writer.write(testing::pattern(4000, 2), 16384), 0U);
  EXPECT_FALSE(*writer.request_space(4000));
  Bytes buffer(4000);
  ASSERT_EQ(*reader.read(buffer), 4000U);
  EXPECT_EQ(buffer, testing::pattern(4000, 1));
  EXPECT_TRUE(reader.commit());
  ASSERT_EQ(*writer.write(testing::pattern(4000, 2), 16384), 4000U);
  static_cast<void>(writer.commit());
  ASSERT_EQ(*reader.read(buffer), 4000U);
  EXPECT_EQ(buffer, testing::pattern(4000, 2));
}

// Row 55: a long stream through one page
TEST(PipeOrder, TwentyThousandBytesPassAOnePageRing) {
  HeapRing ring(kPageBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  PipeReader reader = *PipeReader::open(ring.memory());
  const Bytes sent = testing::pattern(20000);
  Bytes received(20000);
  std::size_t written = 0;
  for (std::size_t done = 0; done < received.size();) {
    written += *writer.write(std::span(sent).subspan(written), 16384);
    static_cast<void>(writer.commit());
    done += *reader.read(std::span(received).subspan(done));
    static_cast<void>(reader.commit());
  }
  EXPECT_EQ(received, sent);
}

// Row 61: FIN, then end of stream for ever
TEST_F(PipeReaderTest, StreamEndsAfterItsDataForEver) {
  send(testing::pattern(10));
  send_fin();
  EXPECT_EQ(read(100), testing::pattern(10));
  ASSERT_TRUE(reader_.at_fin());
  EXPECT_FALSE(reader_.ended());
  reader_.consume_fin();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(reader_.ended());
    EXPECT_EQ(read(100).size(), 0U);
  }
}

TEST_F(PipeReaderTest, DataAfterTheFinIsNotLookedAt) {
  send_fin();
  send_raw({}, {1, 10});
  EXPECT_EQ(read(100).size(), 0U);
  ASSERT_TRUE(reader_.at_fin());
  reader_.consume_fin();
  EXPECT_EQ(read(100).size(), 0U);
  EXPECT_EQ(reader_.readable_bytes(), 0U);
}

// Row 62: FIN stays until somebody reads nothing
TEST_F(PipeReaderTest, FinStaysInTheRingWhenTheDataIsRead) {
  send(testing::pattern(10));
  send_fin();
  EXPECT_EQ(read(100).size(), 10U);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(10));
  EXPECT_FALSE(*reader_.prepare_to_sleep());
  reader_.consume_fin();
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(10) + kFinBytes);
}

// Row 63: progress within a packet is private
TEST_F(PipeReaderTest, PartialReadFreesTheRingWithItsLastByte) {
  send(testing::pattern(100));
  EXPECT_EQ(read(60).size(), 60U);
  EXPECT_FALSE(reader_.commit());
  EXPECT_EQ(read_index(), 0U);
  EXPECT_EQ(reader_.readable_bytes(), 40U);
  EXPECT_FALSE(*reader_.prepare_to_sleep()) << "the rest is still to be read";
  const Bytes rest = read(60);
  EXPECT_EQ(rest, after(60, testing::pattern(100)));
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(100));
}

TEST_F(PipeReaderTest, PartialReadKeepsItsPlaceWhenThePeerRewritesThePacket) {
  send(testing::pattern(100));
  EXPECT_EQ(read(60).size(), 60U);
  ring_.memory().store_word(0, 0);
  ring_.memory().store_word(16, std::bit_cast<std::uint64_t>(PipeHeader{1, 10}));
  EXPECT_EQ(read(60).size(), 40U);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(100));
}

TEST_F(PipeReaderTest, GathersOneSpanAPacket) {
  send(testing::pattern(5000), 2048);
  const auto batch = reader_.gather_batch(gathered_, spans_, 100000);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->span_count, 3U);
  EXPECT_EQ(batch->bytes, 5000U);
  EXPECT_EQ(content(std::span(spans_).first(3)), testing::pattern(5000));
  EXPECT_EQ(spans_[0].data, ring_.data().data() + kPipePayloadOffset) << "in place";
}

TEST_F(PipeReaderTest, GathersAWrappedPacketInTwoSpans) {
  open_at(kSize - 512);
  send(testing::pattern(1000));
  const auto batch = reader_.gather_batch(gathered_, spans_, 100000);
  EXPECT_EQ(batch->span_count, 2U);
  EXPECT_EQ(content(std::span(spans_).first(2)), testing::pattern(1000));
  const auto one_span = reader_.gather_batch(gathered_, std::span(spans_).first(1), 100000);
  EXPECT_EQ(one_span->bytes, 512U - kPipePayloadOffset);
}

TEST_F(PipeReaderTest, GatheringAgainStartsAtTheSameByte) {
  send(testing::pattern(50));
  EXPECT_EQ(reader_.gather_batch(gathered_, spans_, 1000)->bytes, 50U);
  send(testing::pattern(20, 1));
  EXPECT_EQ(reader_.gather_batch(gathered_, spans_, 1000)->bytes, 70U);
}

TEST_F(PipeReaderTest, GathersNoMoreThanWanted) {
  send(testing::pattern(300), 100);
  const auto batch = reader_.gather_batch(gathered_, spans_, 150);
  EXPECT_EQ(batch->bytes, 150U);
  EXPECT_EQ(batch->span_count, 2U);
}

TEST_F(PipeReaderTest, ConsumesInPieces) {
  send(testing::pattern(300), 100);
  static_cast<void>(reader_.gather_batch(gathered_, spans_, 1000));
  reader_.consume(gathered_, 30);
  reader_.consume(gathered_, 80);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(100));
  const auto batch = reader_.gather_batch(gathered_, spans_, 1000);
  EXPECT_EQ(content(std::span(spans_).first(batch->span_count)), after(110, testing::pattern(300)));
  reader_.consume(gathered_, 190);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(read_index(), 3 * pipe_packet_bytes(100));
}

TEST_F(PipeReaderTest, ManyPacketsComeInSeveralBatches) {
  HeapRing ring(64 * kPageBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  PipeReader reader = *PipeReader::open(ring.memory());
  ASSERT_EQ(*writer.write(testing::pattern(1000), 1), 1000U);
  ASSERT_TRUE(writer.write_fin().ok());
  static_cast<void>(writer.commit());
  const auto first = reader.gather_batch(gathered_, spans_, 100000);
  EXPECT_EQ(first->bytes, PipeReader::kMaxBatchPackets);
  reader.consume(gathered_, first->bytes);
  EXPECT_FALSE(reader.at_fin());
  Bytes rest(1000);
  EXPECT_EQ(*reader.read(rest), 1000 - PipeReader::kMaxBatchPackets);
  EXPECT_TRUE(reader.at_fin());
}

TEST_F(PipeReaderTest, FinIsSeenTogetherWithTheDataBeforeIt) {
  send(testing::pattern(10));
  send_fin();
  EXPECT_EQ(reader_.gather_batch(gathered_, spans_, 10)->bytes, 10U);
  EXPECT_FALSE(reader_.at_fin());
  reader_.consume(gathered_, 9);
  EXPECT_FALSE(reader_.at_fin());
  reader_.consume(gathered_, 1);
  EXPECT_TRUE(reader_.at_fin());
}

// Row 58, 59, 60: a bad packet is reported after the good data before it
TEST_F(PipeReaderTest, ErrorIsReportedAfterTheDataBeforeIt) {
  struct Case {
    PacketHeader packet;
    PipeHeader pipe;
    RingError error;
  };
  for (const Case& bad :
       {Case{{}, {1, 33}, RingError::kPipeLengthBeyondPacket},
        Case{{}, {9, 8}, RingError::kUnknownPipeType},
        Case{{.type = PacketType::kCompletion}, {1, 8}, RingError::kUnexpectedPacketType}}) {
    open_at(0);
    send(testing::pattern(10));
    send_raw(bad.packet, bad.pipe);
    const auto batch = reader_.gather_batch(gathered_, spans_, 1000);
    ASSERT_TRUE(batch.ok());
    EXPECT_EQ(batch->bytes, 10U);
    EXPECT_EQ(reader_.readable_bytes(), 10U);
    reader_.consume(gathered_, 10);
    EXPECT_FALSE(reader_.at_fin());
    EXPECT_EQ(error_of(reader_.gather_batch(gathered_, spans_, 1000)), bad.error);
    Bytes buffer(8);
    EXPECT_EQ(error_of(reader_.read(buffer)), bad.error);
  }
}

TEST_F(PipeReaderTest, ReadDeliversGoodDataBeforeItReportsAnError) {
  send(testing::pattern(10));
  send_raw({}, {9, 8});
  EXPECT_EQ(read(100), testing::pattern(10));
  Bytes buffer(8);
  EXPECT_EQ(error_of(reader_.read(buffer)), RingError::kUnknownPipeType);
}

TEST_F(PipeReaderTest, BadWriteIndexIsReportedAtOnce) {
  ring_.memory().write_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(reader_.gather_batch(gathered_, spans_, 1000)),
            RingError::kWriteIndexOutOfRange);
  EXPECT_EQ(reader_.readable_bytes(), 0U);
}

TEST_F(PipeReaderTest, ReadableBytesCountDataOnly) {
  EXPECT_EQ(reader_.readable_bytes(), 0U);
  send(testing::pattern(5001), 2048);
  EXPECT_EQ(reader_.readable_bytes(), 5001U);
  send_fin();
  EXPECT_EQ(reader_.readable_bytes(), 5001U);
}

TEST_F(PipeReaderTest, MaskingSilencesTheWriter) {
  EXPECT_TRUE(*reader_.prepare_to_sleep());
  reader_.mask_interrupts();
  ASSERT_TRUE(writer_.write(testing::pattern(3), 16384).ok());
  EXPECT_FALSE(writer_.commit());
}

// ---- a batch of so many packets -------------------------------------------------------------------

TEST_F(PipeReaderTest, GathersNoMorePacketsThanAskedFor) {
  for (int i = 0; i < 3; ++i) send(testing::pattern(100, static_cast<std::size_t>(i)));
  send_fin();
  for (const std::size_t packets : {0U, 1U, 2U, 3U, 4U}) {
    const auto batch = reader_.gather_batch(gathered_, spans_, 10000, packets);
    ASSERT_TRUE(batch.ok());
    EXPECT_EQ(batch->bytes, 100 * std::min<std::size_t>(packets, 3)) << packets;
    EXPECT_EQ(batch->span_count, std::min<std::size_t>(packets, 3)) << packets;
  }
}

TEST_F(PipeReaderTest, OnePacketThatWrapsTakesTwoSpans) {
  open_at(kSize - kPipePayloadOffset - 40);
  send(testing::pattern(100, 1));
  send(testing::pattern(100, 2));
  const auto batch = reader_.gather_batch(gathered_, std::span(spans_).first(2), 10000, 1);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->span_count, 2U);
  EXPECT_EQ(content(std::span(spans_).first(2)), testing::pattern(100, 1));
  reader_.consume(gathered_, batch->bytes);
  EXPECT_EQ(read(200), testing::pattern(100, 2));
}

// The end is seen by the batch that would begin with it, not by the one that stops before it.
TEST_F(PipeReaderTest, ABatchOfOnePacketDoesNotLookBehindIt) {
  send(testing::pattern(10));
  send_fin();
  ASSERT_EQ(reader_.gather_batch(gathered_, spans_, 10000, 1)->bytes, 10U);
  reader_.consume(gathered_, 10);
  EXPECT_FALSE(reader_.at_fin());
  ASSERT_EQ(reader_.gather_batch(gathered_, spans_, 10000, 1)->bytes, 0U);
  EXPECT_TRUE(reader_.at_fin());
}

TEST_F(PipeReaderTest, ABatchOfOnePacketGoesOnInAHalfReadOne) {
  send(testing::pattern(100));
  send(testing::pattern(50, 1));
  ASSERT_EQ(reader_.gather_batch(gathered_, spans_, 10000, 1)->bytes, 100U);
  reader_.consume(gathered_, 30);
  const auto batch = reader_.gather_batch(gathered_, spans_, 10000, 1);
  EXPECT_EQ(batch->bytes, 70U);
  EXPECT_EQ(content(std::span(spans_).first(batch->span_count)), after(30, testing::pattern(100)));
}

}  // namespace
}  // namespace vmbus::ring
