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

// ---- read, but not yet given back -----------------------------------------------------------------

// What lies between read_index and the place where a reader resumes is released, if it is in the used part.
TEST_F(RingReaderTest, ResumesAheadOfTheReadIndexWithinTheUsedPartAlone) {
  struct Row {
    const char* why;
    std::uint32_t read, write, index, expected;
  };
  for (const Row& row :
       {Row{"at the read index", 0x40, 0x140, 0x40, 0x40}, Row{"ahead", 0x40, 0x140, 0x80, 0x80},
        Row{"all is read", 0x40, 0x140, 0x140, 0x140}, Row{"beyond", 0x40, 0x140, 0x148, 0x40},
        Row{"stale", 0x40, 0x140, 0x38, 0x40}, Row{"misaligned", 0x40, 0x140, 0x84, 0x40},
        Row{"misaligned", 0x40, 0x140, 0x81, 0x40}, Row{"outside", 0x40, 0x140, kSize, 0x40},
        Row{"outside", 0x40, 0x140, 0xFFFFFFF8, 0x40}, Row{"empty", 0x40, 0x40, 0x48, 0x40},
        Row{"before the wrap", kSize - 64, 64, kSize - 8, kSize - 8},
        Row{"behind the wrap", kSize - 64, 64, 0, 0},
        Row{"all, behind the wrap", kSize - 64, 64, 64, 64},
        Row{"beyond, behind the wrap", kSize - 64, 64, 72, kSize - 64},
        Row{"stale, before the wrap", kSize - 64, 64, kSize - 72, kSize - 64}}) {
    memory().read_index().store_relaxed(row.read);
    memory().write_index().store_relaxed(row.write);
    memory().interrupt_mask().store_relaxed(0);
    auto reader = RingReader::resume_at(memory(), row.index);
    ASSERT_TRUE(reader.ok()) << row.why;
    EXPECT_EQ(reader->index(), row.expected) << row.why;
    EXPECT_EQ(reader->available_bytes(), distance(row.expected, row.write, kSize)) << row.why;
    EXPECT_EQ(reader->has_uncommitted(), row.expected != row.read) << row.why;
    EXPECT_EQ(memory().read_index().load_relaxed(), row.read) << "nothing is stored: " << row.why;
    EXPECT_EQ(memory().interrupt_mask().load_relaxed(), 0U) << row.why;
    static_cast<void>(reader->commit());
    EXPECT_EQ(memory().read_index().load_relaxed(), row.expected) << row.why;
  }
}

TEST_F(RingReaderTest, ResumeAheadRefusesBadIndices) {
  memory().write_index().store_relaxed(kSize);
  EXPECT_EQ(error_of(RingReader::resume_at(memory(), 0)), RingError::kWriteIndexOutOfRange);
  memory().write_index().store_relaxed(0);
  memory().read_index().store_relaxed(4);
  EXPECT_EQ(error_of(RingReader::resume_at(memory(), 0)), RingError::kReadIndexUnaligned);
}

TEST_F(RingReaderTest, WriteIndexInBytesReadBeforeTheResumeIsRefused) {
  write(2, 100);
  reader_.release(*reader_.next());
  auto reader = RingReader::resume_at(memory(), reader_.index());
  memory().write_index().store_relaxed(8);
  EXPECT_EQ(error_of(reader->refill()), RingError::kWriteIndexOverrun);
}

// What earlier readers held back counts: the whole step from read_index crosses the threshold.
TEST_F(RingReaderTest, CommitAfterAResumeAheadSignalsForTheWholeStep) {
  write(4, 4000);
  ASSERT_TRUE(writer_.set_pending_send_size(2 * 4024).ok());
  auto reader = RingReader::resume_at(memory(), 4024);
  ASSERT_TRUE(reader.ok());
  reader->release(*reader->next());
  EXPECT_TRUE(reader->commit());
  EXPECT_EQ(memory().read_index().load_relaxed(), 2U * 4024);
}

TEST(ReleaseRoom, SignalsWhenTheStepMakesTheRoomThatIsWanted) {
  constexpr std::uint32_t kBytes = 4096;
  struct Row {
    const char* why;
    std::uint32_t write, before, after, pending;
    bool signal;
  };
  for (const Row& row : {Row{"nobody waits", 2000, 1000, 1504, 0, false},
                         Row{"had that before", 2000, 1000, 1504, 3088, false},
                         Row{"one word more", 2000, 1000, 1504, 3096, true},
                         Row{"just enough", 2000, 1000, 1504, 3592, true},
                         Row{"low bits do not count", 2000, 1000, 1504, 3599, true},
                         Row{"one word short", 2000, 1000, 1504, 3600, false},
                         Row{"only low bits", 2000, 1000, 1504, 7, false},
                         Row{"the whole ring", 2000, 1000, 2000, 4088, true},
                         Row{"more than a ring holds", 2000, 1000, 2000, 4096, false},
                         Row{"nonsense", 2000, 1000, 2000, 0xFFFFFFFF, false},
                         Row{"over the wrap", 1000, 4000, 16, 3104, true},
                         Row{"over the wrap, one word short", 1000, 4000, 16, 3112, false},
                         Row{"over the wrap, had that before", 1000, 4000, 16, 2992, false},
                         Row{"no step", 2000, 1000, 1000, 3096, false},
                         Row{"bad write index", kBytes, 1000, 1504, 3096, false},
                         Row{"bad write index", 2001, 1000, 1504, 3096, false},
                         Row{"bad write index", 0xFFFFFFF8, 1000, 1504, 3096, false}}) {
    for (const std::uint32_t mask : {0U, 1U}) {  // is about data, not about space
      const HeapRing ring(kBytes);
      ring.memory().write_index().store_relaxed(row.write);
      ring.memory().read_index().store_relaxed(row.before);
      ring.memory().interrupt_mask().store_relaxed(mask);
      ring.memory().pending_send_size().store_relaxed(row.pending);
      EXPECT_EQ(release_room(ring.memory(), row.before, row.after), row.signal) << row.why;
      EXPECT_EQ(ring.memory().read_index().load_relaxed(), row.after) << row.why;
      EXPECT_EQ(ring.memory().write_index().load_relaxed(), row.write) << row.why;
      EXPECT_EQ(ring.memory().pending_send_size().load_relaxed(), row.pending) << row.why;
      EXPECT_EQ(ring.memory().interrupt_mask().load_relaxed(), mask) << row.why;
    }
  }
}

}  // namespace
}  // namespace vmbus::ring
