#include "ringbuf/ring_writer.h"

#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "ringbuf/ring_reader.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = 16384;

// Writer and reader of one ring; the reader starts unmasked, as if asleep on the empty ring.
class RingWriterTest : public ::testing::Test {
 protected:
  RingWriterTest() { EXPECT_TRUE(*reader_.prepare_to_sleep()); }

  bool write_and_commit(std::uint32_t payload_bytes) {
    EXPECT_TRUE(writer_.write({}, testing::pattern(payload_bytes)).ok());
    return writer_.commit();
  }

  void read_packets(int count) {
    for (int i = 0; i < count; ++i) reader_.release(*reader_.next());
    EXPECT_FALSE(reader_.commit()) << "no space was asked for";
  }

  const RingMemory& memory() const { return ring_.memory(); }

  HeapRing ring_{kSize};
  RingWriter writer_ = *RingWriter::open(ring_.memory());
  RingReader reader_ = *RingReader::open(ring_.memory());
};

// Row 7: what opening a writer stores
TEST(RingWriterOpen, SetsTheFeatureBitAndClearsPendingAndLeavesIndices) {
  HeapRing ring(kSize);
  ring.memory().write_index().store_relaxed(640);
  ring.memory().read_index().store_relaxed(320);
  ring.memory().pending_send_size().store_relaxed(4120);
  ASSERT_TRUE(RingWriter::open(ring.memory()).ok());
  EXPECT_EQ(ring.memory().feature_bits().load_relaxed(), 1U);
  EXPECT_EQ(ring.memory().pending_send_size().load_relaxed(), 0U);
  EXPECT_EQ(ring.memory().write_index().load_relaxed(), 640U);
  EXPECT_EQ(ring.memory().read_index().load_relaxed(), 320U);
}

TEST(RingWriterOpen, RefusesBadIndices) {
  HeapRing ring(kSize);
  ring.memory().read_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(RingWriter::open(ring.memory())), RingError::kReadIndexOutOfRange);
  ring.memory().read_index().store_relaxed(0);
  ring.memory().write_index().store_relaxed(3);
  EXPECT_EQ(error_of(RingWriter::open(ring.memory())), RingError::kWriteIndexUnaligned);
}

TEST_F(RingWriterTest, StagedPacketsAreInvisible) {
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  EXPECT_EQ(error_of(reader_.next()), RingError::kEmpty);
  EXPECT_TRUE(writer_.commit());
  EXPECT_TRUE(reader_.next().ok());
}

// Row 5: the mask silences the writer
TEST_F(RingWriterTest, SignalsOnlyAnUnmaskedReader) {
  reader_.mask_interrupts();
  EXPECT_FALSE(write_and_commit(8));
  read_packets(1);
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  EXPECT_TRUE(write_and_commit(8));
}

// Row 8: a second packet finds the ring non-empty
TEST_F(RingWriterTest, SignalsOnlyWhenRingWasEmpty) {
  EXPECT_TRUE(write_and_commit(8));
  EXPECT_FALSE(write_and_commit(8));
  read_packets(1);
  EXPECT_FALSE(write_and_commit(8));
}

// Row 9: one signal a batch
TEST_F(RingWriterTest, BatchSignalsOnce) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(writer_.write({}, testing::pattern(100)).ok());
  EXPECT_TRUE(writer_.commit());
  EXPECT_FALSE(writer_.commit());
}

// Row 10: the reader drained the ring while the batch was built
TEST_F(RingWriterTest, SignalsWhenTheReaderDrainedTheRingWithinTheBatch) {
  EXPECT_TRUE(write_and_commit(8));
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  read_packets(1);
  EXPECT_TRUE(writer_.commit());
}

// Row 11: nothing written, nothing stored
TEST_F(RingWriterTest, EmptyCommitStoresNothing) {
  memory().write_index().store_relaxed(0xABCD);
  EXPECT_FALSE(writer_.commit());
  EXPECT_FALSE(writer_.publish());
  EXPECT_EQ(memory().write_index().load_relaxed(), 0xABCDU);
}

// Row 12: fill to the limit
TEST_F(RingWriterTest, FillsToTheLimitAndThenSaysFull) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(writer_.write({}, testing::pattern(4000)).ok());
  EXPECT_EQ(error_of(writer_.write({}, testing::pattern(4000))), RingError::kFull);
  EXPECT_EQ(packet_bytes(0, 4000), 4024U);
  EXPECT_EQ(*writer_.room(4024), kSize - 8 - 4 * 4024);
}

// Row 15: rounded up in memory
TEST_F(RingWriterTest, PendingSendSizeIsRoundedUp) {
  ASSERT_TRUE(writer_.set_pending_send_size(9).ok());
  EXPECT_EQ(memory().pending_send_size().load_relaxed(), 16U);
}

// Row 16: more than the ring can hold
TEST_F(RingWriterTest, PendingSendSizeBeyondTheRingIsRefused) {
  EXPECT_EQ(error_of(writer_.set_pending_send_size(kSize - 7)), RingError::kPacketTooLarge);
  EXPECT_EQ(error_of(writer_.request_space(kSize - 7)), RingError::kPacketTooLarge);
  EXPECT_EQ(memory().pending_send_size().load_relaxed(), 0U);
  EXPECT_TRUE(writer_.set_pending_send_size(kSize - 8).ok());
}

// Row 19: the largest packet
TEST_F(RingWriterTest, LargestPacketIsTheRingLessOneWord) {
  const std::uint32_t largest = kSize - 8 - 24;
  EXPECT_EQ(error_of(writer_.write({}, testing::pattern(largest + 1))), RingError::kPacketTooLarge);
  EXPECT_TRUE(write_and_commit(largest));
  const auto packet = reader_.next();
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->total_bytes, kSize - 8);
  EXPECT_EQ(testing::copy_of(memory(), packet->payload_index, largest), testing::pattern(largest));
  read_packets(1);
  EXPECT_TRUE(write_and_commit(largest)) << "from another start, wrapping";
  EXPECT_TRUE(reader_.next().ok());
}

TEST(RingWriterLimits, RefusesALengthThatTheDescriptorCannotSay) {
  HeapRing ring(1024 * 1024);
  RingWriter writer = *RingWriter::open(ring.memory());
  EXPECT_TRUE(writer.write({}, testing::pattern(0xFFFF * 8 - 16)).ok());
  EXPECT_EQ(error_of(writer.write({}, testing::pattern(0xFFFF * 8 - 15))),
            RingError::kPacketTooLarge);
  const std::vector<std::uint64_t> extension(0x10000);
  EXPECT_EQ(error_of(writer.reserve({.extension = extension}, 0)), RingError::kPacketTooLarge);
}

// Row 20: a full ring never looks empty
TEST_F(RingWriterTest, WritesNeverMakeTheIndicesEqual) {
  auto random = testing::seeded_random();
  for (int i = 0; i < 2000; ++i) {
    const auto size = testing::pick(random, 0, 3000);
    if (!writer_.write({}, testing::pattern(size)).ok()) {
      while (reader_.next().ok()) read_packets(1);
      continue;
    }
    static_cast<void>(writer_.commit());
    EXPECT_NE(memory().write_index().load_relaxed(), memory().read_index().load_relaxed());
  }
}

// Row 39: revert
TEST_F(RingWriterTest, RevertForgetsWhatWasNotCommitted) {
  EXPECT_TRUE(write_and_commit(8));
  const std::uint32_t index = memory().write_index().load_relaxed();
  ASSERT_TRUE(writer_.write({.transaction_id = 1}, testing::pattern(64, 1)).ok());
  writer_.revert();
  EXPECT_FALSE(writer_.commit());
  EXPECT_EQ(memory().write_index().load_relaxed(), index);
  ASSERT_TRUE(writer_.write({.transaction_id = 2}, testing::pattern(16, 2)).ok());
  EXPECT_FALSE(writer_.commit());
  read_packets(1);
  const auto packet = reader_.next();
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->start_index, index);
  EXPECT_EQ(packet->raw_transaction_id, 2U);
}

// Row 43: a full ring, a request, a read, room
TEST(RingWriterSpace, WaitsOnAFullRingAndGoesOnAfterARead) {
  HeapRing ring(kPageBytes);
  RingWriter writer = *RingWriter::open(ring.memory());
  RingReader reader = *RingReader::open(ring.memory());
  ASSERT_TRUE(writer.write({}, testing::pattern(4000)).ok());
  static_cast<void>(writer.commit());
  ASSERT_EQ(error_of(writer.write({}, testing::pattern(4000))), RingError::kFull);
  EXPECT_FALSE(*writer.request_space(4024));
  EXPECT_EQ(ring.memory().pending_send_size().load_relaxed(), 4024U);
  reader.release(*reader.next());
  EXPECT_TRUE(reader.commit()) << "the writer waits and must hear of it";
  EXPECT_TRUE(writer.write({}, testing::pattern(4000)).ok());
  EXPECT_EQ(ring.memory().pending_send_size().load_relaxed(), 0U);
}

// Row 48: ask for a quarter ring at least
TEST_F(RingWriterTest, AsksForAQuarterOfTheRingAtLeast) {
  EXPECT_TRUE(write_and_commit(kSize - 8 - 24));
  EXPECT_FALSE(*writer_.request_space(32));
  EXPECT_EQ(memory().pending_send_size().load_relaxed(), 4096U);
  EXPECT_FALSE(*writer_.request_space(8000));
  EXPECT_EQ(memory().pending_send_size().load_relaxed(), 8000U);
}

TEST_F(RingWriterTest, RequestWithRoomLeavesNothingPending) {
  EXPECT_TRUE(*writer_.request_space(1000));
  EXPECT_EQ(memory().pending_send_size().load_relaxed(), 0U);
}

// The reader moved between the failed write and the request: the request itself must notice.
TEST_F(RingWriterTest, RequestSeesRoomThatAppearedMeanwhile) {
  EXPECT_TRUE(write_and_commit(kSize - 8 - 24));
  ASSERT_EQ(error_of(writer_.write({}, testing::pattern(8))), RingError::kFull);
  read_packets(1);
  EXPECT_TRUE(*writer_.request_space(32));
}

// One signal for several publishes: the reader took the first packet in between and fell asleep.
TEST_F(RingWriterTest, DeferredSignalCoversEveryPublishSinceTheLastAnswer) {
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  EXPECT_FALSE(writer_.publish());
  read_packets(1);
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  EXPECT_FALSE(writer_.publish());
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  EXPECT_TRUE(writer_.commit()) << "the batch it sleeps on is not the last one";
}

TEST_F(RingWriterTest, DeferredSignalIsNotOwedToAReaderThatIsAhead) {
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  EXPECT_FALSE(writer_.publish());
  read_packets(1);
  EXPECT_FALSE(writer_.commit()) << "it has read all there is";
}

TEST_F(RingWriterTest, DeferredSignalIsDueAfterAQuarterRing) {
  int unsignalled = 0;
  for (bool due = false; !due; ++unsignalled) {
    ASSERT_TRUE(writer_.write({}, testing::pattern(1000)).ok());
    due = writer_.publish();
  }
  EXPECT_EQ(unsignalled, 4);
  EXPECT_FALSE(writer_.commit()) << "answered already";
}

// The unannounced span may be longer than the ring when the reader keeps up: still no false answer.
TEST_F(RingWriterTest, DeferredSignalSurvivesASpanLongerThanTheRing) {
  ASSERT_TRUE(writer_.write({}, testing::pattern(4000)).ok());
  EXPECT_FALSE(writer_.publish());
  read_packets(1);
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  ASSERT_TRUE(writer_.write({}, testing::pattern(kSize - 8 - 24)).ok());
  EXPECT_TRUE(writer_.publish());
}

TEST_F(RingWriterTest, BadReadIndexIsReportedAndSignalsNobody) {
  EXPECT_TRUE(write_and_commit(kSize - 8 - 24));
  memory().read_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(writer_.write({}, testing::pattern(8))), RingError::kReadIndexOutOfRange);
  memory().read_index().store_relaxed(4);
  EXPECT_EQ(error_of(writer_.write({}, testing::pattern(8))), RingError::kReadIndexUnaligned);
  EXPECT_EQ(error_of(writer_.request_space(32)), RingError::kReadIndexUnaligned);
}

TEST_F(RingWriterTest, BadReadIndexDuringCommitSignalsNobody) {
  ASSERT_TRUE(writer_.write({}, testing::pattern(8)).ok());
  memory().read_index().store_relaxed(0xFFFFFFF8);
  EXPECT_FALSE(writer_.commit());
}

TEST_F(RingWriterTest, ReadIndexThatTakesSpaceBackIsRefused) {
  EXPECT_TRUE(write_and_commit(8000));
  read_packets(1);
  EXPECT_TRUE(write_and_commit(8000));
  ASSERT_TRUE(*writer_.room(9000) < 9000);
  memory().read_index().store_relaxed(0);
  EXPECT_EQ(error_of(writer_.room(9000)), RingError::kReadIndexMovedBack);
}

TEST_F(RingWriterTest, ReadIndexAheadOfThePublishedPacketsIsRefused) {
  EXPECT_TRUE(write_and_commit(8));
  ASSERT_TRUE(writer_.write({}, testing::pattern(100)).ok());
  memory().read_index().store_relaxed(64);
  EXPECT_EQ(error_of(writer_.write({}, testing::pattern(16300))), RingError::kReadIndexAhead);
}

TEST_F(RingWriterTest, ReservedPayloadIsFilledInPlace) {
  ring_.start_at(kSize - 24);
  RingWriter writer = *RingWriter::open(memory());
  RingReader reader = *RingReader::open(memory());
  const Bytes payload = testing::pattern(21);
  const auto slot = writer.reserve({.completion_requested = true, .transaction_id = 9}, 21);
  ASSERT_TRUE(slot.ok());
  EXPECT_EQ(slot->first.size, 8U);
  EXPECT_EQ(slot->second.size, 13U);
  copy_into(*slot, payload);
  static_cast<void>(writer.commit());
  const auto packet = reader.next();
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(packet->raw_transaction_id, 9U);
  EXPECT_EQ(testing::copy_of(memory(), packet->payload_index, 21), payload);
}

}  // namespace
}  // namespace vmbus::ring
