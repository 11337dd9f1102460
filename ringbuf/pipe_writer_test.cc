#include "ringbuf/pipe_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "ringbuf/pipe_reader.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = 4 * kPageBytes;

class PipeWriterTest : public ::testing::Test {
 protected:
  explicit PipeWriterTest(std::uint32_t start = 0) { open_at(start); }

  void open_at(std::uint32_t start) {
    ring_.start_at(start);
    writer_ = *PipeWriter::open(ring_.memory());
    reader_ = *PipeReader::open(ring_.memory());
  }

  // Fills the prepared spans from `data`, as readv would.
  static void fill(std::span<const Span> spans, const Bytes& data) {
    std::size_t done = 0;
    for (const Span& span : spans) {
      const std::size_t part = std::min(span.size, data.size() - done);
      std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(done), part, span.data);
      done += part;
    }
  }

  // Data lengths of the committed packets.
  std::vector<std::uint32_t> packet_sizes() {
    RingReader reader = *RingReader::open(ring_.memory());
    std::vector<std::uint32_t> sizes;
    for (auto packet = reader.next(); packet.ok(); packet = reader.next()) {
      sizes.push_back(
          parse_pipe_packet(ring_.memory(), *packet, PipeKind::kByte).value().data_bytes);
      reader.release(*packet);
    }
    return sizes;
  }

  Bytes read_all() {
    Bytes bytes(ring_.memory().data_bytes());
    bytes.resize(*reader_.read(bytes));
    static_cast<void>(reader_.commit());
    return bytes;
  }

  HeapRing ring_{kSize};
  PipeWriter writer_;
  PipeReader reader_;
  std::array<Span, 64> spans_;
  PipeReader::Gathered gathered_{};
};

// Row 64: cut at the packet limit
TEST_F(PipeWriterTest, CutsAtThePacketLimit) {
  EXPECT_EQ(*writer_.write(testing::pattern(5000), 2048), 5000U);
  EXPECT_FALSE(writer_.commit()) << "masked";
  EXPECT_EQ(packet_sizes(), (std::vector<std::uint32_t>{2048, 2048, 904}));
  EXPECT_EQ(read_all(), testing::pattern(5000));
}

// Row 65: a write of nothing is no FIN
TEST_F(PipeWriterTest, WriteOfNothingIsNoFin) {
  EXPECT_EQ(*writer_.write({}, 2048), 0U);
  const auto batch = writer_.prepare_batch(2048, 100, spans_);
  ASSERT_EQ(batch->bytes, 100U);
  writer_.finish_batch(0);
  EXPECT_FALSE(writer_.commit());
  EXPECT_EQ(ring_.memory().write_index().load_relaxed(), 0U);
}

TEST_F(PipeWriterTest, BatchLaysOneSpanOverEachPayload) {
  const auto batch = writer_.prepare_batch(4088, 10000, spans_);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->bytes, 10000U);
  ASSERT_EQ(batch->span_count, 3U);
  EXPECT_EQ(spans_[0].data, ring_.data().data() + 24);
  EXPECT_EQ(spans_[1].data, ring_.data().data() + 4120 + 24);
  EXPECT_EQ(spans_[2].size, 10000U - 2 * 4088);
}

TEST_F(PipeWriterTest, FinishedBatchEndsWithAShortPacket) {
  const auto batch = writer_.prepare_batch(4088, 10000, spans_);
  fill(std::span(spans_).first(batch->span_count), testing::pattern(5001));
  writer_.finish_batch(5001);
  static_cast<void>(writer_.commit());
  EXPECT_EQ(packet_sizes(), (std::vector<std::uint32_t>{4088, 913}));
  EXPECT_EQ(read_all(), testing::pattern(5001));
}

TEST_F(PipeWriterTest, WrappedPayloadGetsTwoSpans) {
  open_at(kSize - 1024);
  const auto batch = writer_.prepare_batch(4088, 8000, spans_);
  ASSERT_EQ(batch->span_count, 3U);
  EXPECT_EQ(spans_[0].size, 1000U);
  EXPECT_EQ(spans_[1].data, ring_.data().data());
  EXPECT_EQ(spans_[1].size, 3088U);
  fill(std::span(spans_).first(3), testing::pattern(8000));
  writer_.finish_batch(8000);
  static_cast<void>(writer_.commit());
  EXPECT_EQ(packet_sizes(), (std::vector<std::uint32_t>{4088, 3912}));
  EXPECT_EQ(read_all(), testing::pattern(8000));
}

TEST_F(PipeWriterTest, LastSpanTakesOnlyThePartBeforeTheWrap) {
  open_at(kSize - 1024);
  const auto batch = writer_.prepare_batch(4088, 8000, std::span(spans_).first(1));
  EXPECT_EQ(batch->span_count, 1U);
  EXPECT_EQ(batch->bytes, 1000U);
  fill(std::span(spans_).first(1), testing::pattern(1000));
  writer_.finish_batch(1000);
  static_cast<void>(writer_.commit());
  EXPECT_EQ(read_all(), testing::pattern(1000));
}

TEST_F(PipeWriterTest, PreparingAgainForgetsTheBatchBefore) {
  static_cast<void>(writer_.prepare_batch(100, 1000, spans_));
  const auto batch = writer_.prepare_batch(4088, 50, spans_);
  ASSERT_EQ(batch->bytes, 50U);
  fill(std::span(spans_).first(1), testing::pattern(50));
  writer_.finish_batch(50);
  static_cast<void>(writer_.commit());
  EXPECT_EQ(packet_sizes(), (std::vector<std::uint32_t>{50}));
}

// Row 174: a ring that takes no more data still takes the 32 bytes of a FIN.
TEST_F(PipeWriterTest, FullRingHasStillRoomForTheFin) {
  std::size_t written = 0;
  while (const std::size_t part = *writer_.write(testing::pattern(500), 500)) written += part;
  static_cast<void>(writer_.commit());
  EXPECT_GT(written, kSize - 2000);
  EXPECT_EQ(writer_.prepare_batch(4088, 1, spans_)->bytes, 0U);
  EXPECT_TRUE(writer_.write_fin().ok());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(read_all().size(), written);
  EXPECT_EQ(reader_.gather_batch(gathered_, spans_, 1)->bytes, 0U);
  EXPECT_TRUE(reader_.at_fin());
}

TEST_F(PipeWriterTest, FinIsWrittenOnce) {
  EXPECT_FALSE(writer_.fin_written());
  ASSERT_TRUE(writer_.write_fin().ok());
  ASSERT_TRUE(writer_.write_fin().ok());
  EXPECT_TRUE(writer_.fin_written());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(ring_.memory().write_index().load_relaxed(), 32U);
  EXPECT_EQ(packet_sizes(), (std::vector<std::uint32_t>{0}));
}

TEST_F(PipeWriterTest, FinInAForeignFullRingSaysFull) {
  // Another writer, before us, kept no room for it.
  RingWriter other = *RingWriter::open(ring_.memory());
  ASSERT_TRUE(other.write({}, testing::pattern(kSize - 8 - 24)).ok());
  static_cast<void>(other.commit());
  PipeWriter writer = *PipeWriter::open(ring_.memory());
  EXPECT_EQ(error_of(writer.write_fin()), RingError::kFull);
  EXPECT_FALSE(writer.fin_written());
  EXPECT_EQ(writer.prepare_batch(4088, 100, spans_)->bytes, 0U);
}

TEST_F(PipeWriterTest, PacketsAreCutToSmallRings) {
  HeapRing ring(kPageBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  EXPECT_EQ(writer.prepare_batch(16384, 100000, spans_)->bytes, kPageBytes - 8 - 32 - 32);
  EXPECT_EQ(*writer.write(testing::pattern(10), 0), 10U) << "at least one byte a packet";
}

TEST_F(PipeWriterTest, PacketsAreCutToTheProtocolLimit) {
  HeapRing ring(64 * kPageBytes);
  PipeWriter writer = *PipeWriter::open(ring.memory());
  EXPECT_EQ(writer.prepare_batch(1 << 20, 20000, spans_)->bytes, 20000U);
  EXPECT_EQ(spans_[0].size, 16384U);
}

TEST_F(PipeWriterTest, LyingReaderIsReported) {
  ASSERT_TRUE(writer_.write(testing::pattern(16000), 4088).ok());
  static_cast<void>(writer_.commit());
  ring_.memory().read_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(writer_.prepare_batch(4088, 4088, spans_)), RingError::kReadIndexOutOfRange);
  EXPECT_EQ(error_of(writer_.write(testing::pattern(8000), 4088)), RingError::kReadIndexOutOfRange);
  EXPECT_EQ(error_of(writer_.write_message(testing::pattern(8000))),
            RingError::kReadIndexOutOfRange);
  EXPECT_EQ(error_of(writer_.request_space(1)), RingError::kReadIndexOutOfRange);
}

TEST_F(PipeWriterTest, WaitingForSpaceCountsTheFinIn) {
  ASSERT_TRUE(writer_.write(testing::pattern(16000), 16384).ok());
  static_cast<void>(writer_.commit());
  EXPECT_FALSE(*writer_.request_space(8192));
  EXPECT_EQ(ring_.memory().pending_send_size().load_relaxed(), 8192U + 32 + 32);
  read_all();
  EXPECT_TRUE(*writer_.request_space(8192));
  EXPECT_TRUE(*writer_.request_space(0xFFFFFFFF)) << "cut to what a packet can be";
}

// ---- room, in bytes of the ring -------------------------------------------------------------------

TEST_F(PipeWriterTest, RoomThatIsThereIsNotWaitedFor) {
  EXPECT_TRUE(*writer_.request_room(1));
  EXPECT_TRUE(*writer_.request_room(ring_.memory().capacity()));
  EXPECT_TRUE(*writer_.request_room(0xFFFFFFFF)) << "cut to what the ring can hold";
  EXPECT_EQ(ring_.memory().pending_send_size().load_relaxed(), 0U);
}

TEST_F(PipeWriterTest, WaitsForTheRoomAskedForAndAtLeastAQuarter) {
  struct Row {
    std::uint32_t asked, pending;
  };
  const std::uint32_t capacity = ring_.memory().capacity();
  for (const Row row : {Row{1, align8(capacity / 4)}, Row{kSize / 2, kSize / 2},
                        Row{capacity, capacity}, Row{kSize, capacity}, Row{0xFFFFFFFF, capacity}}) {
    open_at(0);
    ring_.memory().write_index().store_relaxed(capacity);
    writer_ = *PipeWriter::resume(ring_.memory());
    EXPECT_FALSE(*writer_.request_room(row.asked)) << row.asked;
    EXPECT_EQ(ring_.memory().pending_send_size().load_relaxed(), row.pending) << row.asked;
    EXPECT_FALSE(release_room(ring_.memory(), 0, row.pending - 8)) << row.asked;
    EXPECT_TRUE(release_room(ring_.memory(), row.pending - 8, row.pending)) << row.asked;
  }
}

TEST_F(PipeWriterTest, TheNextPacketTakesARequestForRoomBack) {
  ASSERT_NE(*writer_.write(testing::pattern(20000), 16384), 20000U);
  static_cast<void>(writer_.commit());
  ASSERT_FALSE(*writer_.request_room(kSize / 2));
  EXPECT_NE(ring_.memory().pending_send_size().load_relaxed(), 0U);
  static_cast<void>(read_all());
  ASSERT_EQ(*writer_.write(testing::pattern(10), 16384), 10U);
  EXPECT_EQ(ring_.memory().pending_send_size().load_relaxed(), 0U);
}

TEST_F(PipeWriterTest, RoomInARingThatLiesIsAnError) {
  ring_.memory().read_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(writer_.request_room(1)), RingError::kReadIndexOutOfRange);
}

}  // namespace
}  // namespace vmbus::ring
