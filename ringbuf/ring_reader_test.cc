#include "ringbuf/ring_reader.h"

#include <gtest/gtest.h>

#include "ringbuf/ring_snapshot.h"
#include "ringbuf/ring_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;

constexpr std::uint32_t kSize = 16384;

class RingReaderTest : public ::testing::Test {
 protected:
  void write(int count, std::uint32_t payload_bytes) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(writer_.write({}, testing::pattern(payload_bytes)).ok());
    }
    static_cast<void>(writer_.commit());
  }

  // Reads one packet and gives it back. True: the writer must be signalled.
  bool read_one() {
    reader_.release(*reader_.next());
    return reader_.commit();
  }

  const RingMemory& memory() const { return ring_.memory(); }

  HeapRing ring_{kSize};
  RingWriter writer_ = *RingWriter::open(ring_.memory());
  RingReader reader_ = *RingReader::open(ring_.memory());
};

// Row 4: round trip; the first packet signals, reading it does not
TEST_F(RingReaderTest, PayloadSurvivesAndReadingItSignalsNobody) {
  const Bytes payload = testing::pattern(8);
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  ASSERT_TRUE(writer_.write({}, payload).ok());
  EXPECT_TRUE(writer_.commit());
  const auto packet = reader_.next();
  ASSERT_TRUE(packet.ok());
  EXPECT_EQ(testing::copy_of(memory(), packet->payload_index, 8), payload);
  reader_.release(*packet);
  EXPECT_FALSE(reader_.commit());
}

// Row 6: a reader starts masked
TEST_F(RingReaderTest, StartsMasked) { EXPECT_EQ(memory().interrupt_mask().load_relaxed(), 1U); }

// Row 11: nothing read, nothing stored
TEST_F(RingReaderTest, EmptyCommitStoresNothing) {
  memory().read_index().store_relaxed(0xABCD);
  EXPECT_FALSE(reader_.commit());
  EXPECT_EQ(memory().read_index().load_relaxed(), 0xABCDU);
}

// Row 13: exactly the commit that crosses the threshold signals
TEST_F(RingReaderTest, SignalsExactlyWhenFreeSpaceCrossesThePendingSize) {
  write(4, 4000);
  ASSERT_TRUE(writer_.set_pending_send_size(2 * 4024).ok());
  EXPECT_FALSE(read_one());
  EXPECT_TRUE(read_one());
  EXPECT_FALSE(read_one());
}

// Row 14: nobody waits
TEST_F(RingReaderTest, SignalsNobodyWithoutAPendingSize) {
  write(4, 4000);
  EXPECT_FALSE(read_one());
}

// Row 15: a peer's size - 1 counts as size - 8
TEST_F(RingReaderTest, LowBitsOfThePendingSizeDoNotCount) {
  write(1, kSize - 8 - 24);
  memory().pending_send_size().store_relaxed(kSize - 1);
  EXPECT_TRUE(read_one());
  write(1, kSize - 8 - 24);
  memory().pending_send_size().store_relaxed(7);
  EXPECT_FALSE(read_one()) << "0 when rounded down";
}

TEST_F(RingReaderTest, PendingSizeBeyondTheRingIsNeverMet) {
  write(1, kSize - 8 - 24);
  memory().pending_send_size().store_relaxed(0xFFFFFFFF);
  EXPECT_FALSE(read_one());
}

// Row 17: the mask is about data, not about space
TEST_F(RingReaderTest, SignalForSpaceIgnoresTheInterruptMask) {
  for (const bool masked : {true, false}) {
    write(1, 4000);
    static_cast<void>(writer_.set_pending_send_size(kSize - 8));
    if (masked) {
      reader_.mask_interrupts();
    } else {
      EXPECT_FALSE(*reader_.prepare_to_sleep());
    }
    EXPECT_TRUE(read_one()) << masked;
  }
}

// Row 18: the Linux reader wants the feature bit
TEST_F(RingReaderTest, LinuxReaderSignalsOnlyWithTheFeatureBit) {
  reader_ = *RingReader::open(memory(), {.require_feature_bit = true});
  for (const std::uint32_t feature_bits : {0U, 2U, 1U, 3U}) {
    write(1, kSize - 8 - 24);
    memory().feature_bits().store_relaxed(feature_bits);
    memory().pending_send_size().store_relaxed(4120);
    EXPECT_EQ(read_one(), (feature_bits & 1) != 0) << feature_bits;
  }
}

TEST_F(RingReaderTest, OtherReadersSignalWithoutTheFeatureBit) {
  write(1, kSize - 8 - 24);
  memory().feature_bits().store_relaxed(0);
  memory().pending_send_size().store_relaxed(4120);
  EXPECT_TRUE(read_one());
}

TEST_F(RingReaderTest, SpaceComesBackOnlyAtCommit) {
  write(2, 4000);
  reader_.release(*reader_.next());
  reader_.release(*reader_.next());
  EXPECT_EQ(memory().read_index().load_relaxed(), 0U);
  EXPECT_EQ(error_of(reader_.next()), RingError::kEmpty);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(memory().read_index().load_relaxed(), 2U * 4024);
}

// One commit for several packets: the whole step counts, not the last packet's.
TEST_F(RingReaderTest, BatchOfReleasesCrossesTheThresholdAsOne) {
  write(4, 4000);
  ASSERT_TRUE(writer_.set_pending_send_size(2 * 4024).ok());
  for (int i = 0; i < 4; ++i) reader_.release(*reader_.next());
  EXPECT_TRUE(reader_.commit());
}

TEST_F(RingReaderTest, BadWriteIndexDuringCommitSignalsNobody) {
  write(1, kSize - 8 - 24);
  memory().pending_send_size().store_relaxed(4096);
  reader_.release(*reader_.next());
  memory().write_index().store_relaxed(kSize);
  EXPECT_FALSE(reader_.commit());
}

// Row 25: write index beyond the ring
TEST_F(RingReaderTest, WriteIndexOutOfRangeIsRefused) {
  memory().write_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(reader_.next()), RingError::kWriteIndexOutOfRange);
  EXPECT_EQ(error_of(reader_.prepare_to_sleep()), RingError::kWriteIndexOutOfRange);
}

// Row 26: write index between words
TEST_F(RingReaderTest, UnalignedWriteIndexIsRefused) {
  memory().write_index().store_relaxed(4);
  EXPECT_EQ(error_of(reader_.next()), RingError::kWriteIndexUnaligned);
}

// Row 27: not empty, but no descriptor fits
TEST_F(RingReaderTest, TooLittleDataIsRefused) {
  memory().write_index().store_relaxed(8);
  EXPECT_EQ(error_of(reader_.next()), RingError::kTooLittleData);
}

TEST_F(RingReaderTest, OpenRefusesBadIndices) {
  memory().write_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(RingReader::open(memory())), RingError::kWriteIndexOutOfRange);
}

TEST_F(RingReaderTest, WriteIndexThatUnwritesIsRefused) {
  write(2, 100);
  reader_.release(*reader_.next());
  static_cast<void>(reader_.commit());
  memory().write_index().store_relaxed(memory().read_index().load_relaxed());
  EXPECT_EQ(error_of(reader_.refill()), RingError::kWriteIndexMovedBack);
}

TEST_F(RingReaderTest, WriteIndexInUnreleasedBytesIsRefused) {
  write(2, 100);
  reader_.release(*reader_.next());
  memory().write_index().store_relaxed(8);
  EXPECT_EQ(error_of(reader_.refill()), RingError::kWriteIndexOverrun);
}

// Row 38: what was checked is what is released
TEST_F(RingReaderTest, ReleasesTheLengthThatWasChecked) {
  write(2, 100);
  const auto packet = reader_.next();
  memory().store_word(0, 0xFFFFFFFFFFFFFFFF);
  reader_.release(*packet);
  static_cast<void>(reader_.commit());
  EXPECT_EQ(memory().read_index().load_relaxed(), packet->total_bytes);
  EXPECT_TRUE(reader_.next().ok());
}

TEST_F(RingReaderTest, MaySleepOnlyOnAnEmptyRing) {
  EXPECT_TRUE(*reader_.prepare_to_sleep());
  write(1, 8);
  EXPECT_FALSE(*reader_.prepare_to_sleep());
  static_cast<void>(read_one());
  EXPECT_TRUE(*reader_.prepare_to_sleep());
}

TEST_F(RingReaderTest, MaskFollowsTheReader) {
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  EXPECT_EQ(memory().interrupt_mask().load_relaxed(), 0U);
  reader_.mask_interrupts();
  EXPECT_EQ(memory().interrupt_mask().load_relaxed(), 1U);
}

// Row 47: the peer masked us
TEST_F(RingReaderTest, ExternallyMaskedInterruptsAreReported) {
  ASSERT_TRUE(*reader_.prepare_to_sleep());
  memory().interrupt_mask().store_relaxed(1);
  EXPECT_EQ(error_of(reader_.prepare_to_sleep()), RingError::kInterruptsExternallyMasked);
}

// Row 49: who may be asleep for want of a signal
TEST_F(RingReaderTest, SnapshotTellsWhoNeedsASignal) {
  EXPECT_FALSE(snapshot(memory()).reader_needs_signal()) << "masked and empty";
  write(1, kSize - 8 - 24);
  EXPECT_FALSE(snapshot(memory()).reader_needs_signal()) << "masked";
  EXPECT_FALSE(*reader_.prepare_to_sleep());
  EXPECT_TRUE(snapshot(memory()).reader_needs_signal());
  EXPECT_FALSE(snapshot(memory()).writer_needs_signal()) << "nothing pending";
  EXPECT_FALSE(*writer_.request_space(100));
  EXPECT_FALSE(snapshot(memory()).writer_needs_signal()) << "pending, full";
  EXPECT_TRUE(read_one());
  EXPECT_TRUE(snapshot(memory()).writer_needs_signal());
  EXPECT_FALSE(snapshot(memory()).reader_needs_signal()) << "empty";
}

TEST_F(RingReaderTest, SnapshotShowsTheWordsAndTheFill) {
  write(1, 100);
  const RingSnapshot shot = snapshot(memory());
  EXPECT_TRUE(shot.valid);
  EXPECT_EQ(shot.used_bytes, 128U);
  EXPECT_EQ(shot.used_bytes + shot.free_bytes, kSize - 8);
  EXPECT_EQ(shot.feature_bits, 1U);
  EXPECT_EQ(shot.interrupt_mask, 1U);
  memory().read_index().store_relaxed(kSize + 8);
  EXPECT_FALSE(snapshot(memory()).valid);
  EXPECT_FALSE(snapshot(memory()).writer_needs_signal());
}

}  // namespace
}  // namespace vmbus::ring
