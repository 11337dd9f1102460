#include "ringbuf/read_turn.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::HeapRing;

constexpr bool kAnyPackets = false;
constexpr bool kOnePacket = true;

class ReadTurnTest : public ::testing::Test {
 protected:
  ReadTurnTest() : writer_(*PipeWriter::open(heap_.memory())) {}

  void write(std::string_view text) {
    ASSERT_EQ(*writer_.write(std::as_bytes(std::span(text)), kMaxPipePayloadBytes), text.size());
    static_cast<void>(writer_.commit());
  }

  // One turn by itself, finished.
  std::string read(std::size_t room, bool one_packet = kAnyPackets) {
    auto turn = ReadTurn::begin(heap_.memory(), position_);
    EXPECT_TRUE(turn.ok());
    std::string text(room, '?');
    const auto length = turn->read(std::as_writable_bytes(std::span(text)), one_packet);
    EXPECT_TRUE(length.ok());
    position_ = turn->position();
    static_cast<void>(turn->commit());
    return text.substr(0, *length);
  }

  // The same, but room is given back only if nothing is left.
  std::string read_and_keep(std::size_t room, bool one_packet) {
    auto turn = ReadTurn::begin(heap_.memory(), position_);
    EXPECT_TRUE(turn.ok());
    std::string text(room, '?');
    const auto length = turn->read(std::as_writable_bytes(std::span(text)), one_packet);
    EXPECT_TRUE(length.ok());
    position_ = turn->position();
    signalled_ = turn->commit_if_drained();
    return text.substr(0, *length);
  }

  std::uint32_t read_index() const { return heap_.memory().read_index().load_relaxed(); }

  HeapRing heap_{4096};
  PipeWriter writer_;
  ReadPosition position_;
  bool signalled_ = false;
};

TEST_F(ReadTurnTest, GoesOnInAHalfReadPacket) {
  write("hello world");
  EXPECT_EQ(read(4), "hell");
  EXPECT_EQ(read(4), "o wo");
  EXPECT_EQ(read(40), "rld");
  EXPECT_EQ(read(40), "");
}

TEST_F(ReadTurnTest, TakesManyPacketsOrOne) {
  write("one");
  write("two");
  write("three");
  EXPECT_EQ(read(40, kOnePacket), "one");
  EXPECT_EQ(read(40), "twothree");
}

TEST_F(ReadTurnTest, OneThatIsNotFinishedHasNotHappened) {
  write("peeked at");
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  std::string text(6, '?');
  ASSERT_EQ(*turn->read(std::as_writable_bytes(std::span(text)), kAnyPackets), 6U);
  EXPECT_EQ(read(40), "peeked at");
}

TEST_F(ReadTurnTest, StopsAtTheEndOfTheStream) {
  write("last");
  ASSERT_TRUE(writer_.write_fin().ok());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(read(40), "last");
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  std::byte byte{};
  EXPECT_EQ(*turn->read(std::span(&byte, 1), kAnyPackets), 0U);
  EXPECT_TRUE(turn->at_fin());
}

TEST_F(ReadTurnTest, APipeReaderGoesOnWhereATurnStopped) {
  auto reader = PipeReader::open(heap_.memory());
  write("shared");
  EXPECT_EQ(read(2), "sh");
  ASSERT_TRUE(reader->resume(position_).ok());
  std::string text(40, '?');
  EXPECT_EQ(*reader->read(std::as_writable_bytes(std::span(text)).first(3)), 3U);
  EXPECT_EQ(text.substr(0, 3), "are");
  static_cast<void>(reader->commit());
  position_ = reader->position();
  EXPECT_EQ(read(40), "d");
}

TEST_F(ReadTurnTest, APositionElsewhereSaysNothing) {
  write("text");
  position_ = {.index = 4000, .taken_bytes = 3};
  EXPECT_EQ(read(40), "text");
}

TEST_F(ReadTurnTest, APositionBeyondThePacketIsRefused) {
  write("text");
  const auto turn = ReadTurn::begin(heap_.memory(), {.index = 0, .taken_bytes = 4});
  ASSERT_FALSE(turn.ok());
  EXPECT_EQ(turn.error(), RingError::kPositionInvalid);
}

TEST_F(ReadTurnTest, APositionInAnEmptyRingIsRefused) {
  const auto turn = ReadTurn::begin(heap_.memory(), {.index = 0, .taken_bytes = 1});
  ASSERT_FALSE(turn.ok());
  EXPECT_EQ(turn.error(), RingError::kPositionInvalid);
}

TEST_F(ReadTurnTest, ABadPacketBehindGoodOnesIsTheNextTurnsToReport) {
  write("good");
  write("bad");
  heap_.memory().store_word(pipe_packet_bytes(4), 0);
  EXPECT_EQ(read(40), "good");
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  std::byte byte{};
  EXPECT_FALSE(turn->read(std::span(&byte, 1), kAnyPackets).ok());
}

TEST_F(ReadTurnTest, CountsWhatCouldBeRead) {
  write("hello");
  write("world");
  EXPECT_EQ(read(2), "he");
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->readable_bytes(), 8U);
}

TEST_F(ReadTurnTest, SaysWhetherAnythingIsThere) {
  EXPECT_FALSE(*ReadTurn::begin(heap_.memory(), position_)->has_data());
  write("x");
  EXPECT_TRUE(*ReadTurn::begin(heap_.memory(), position_)->has_data());
}

// ---- one packet at a time -------------------------------------------------------------------------

TEST_F(ReadTurnTest, StepsOverThePacketAtHandWhateverIsTakenOfIt) {
  for (const std::size_t taken : {0U, 3U}) {
    write("stepped over");
    write("next");
    EXPECT_EQ(read(taken).size(), taken);
    auto turn = ReadTurn::begin(heap_.memory(), position_);
    ASSERT_TRUE(turn->skip_packet().ok());
    EXPECT_EQ(turn->position().taken_bytes, 0U);
    EXPECT_EQ(turn->packet_bytes_left(), 4U);
    position_ = turn->position();
    static_cast<void>(turn->commit());
    EXPECT_EQ(read(40), "next");
  }
}

TEST_F(ReadTurnTest, StepsOverNothingInAnEmptyRing) {
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  const auto skipped = turn->skip_packet();
  ASSERT_FALSE(skipped.ok());
  EXPECT_EQ(skipped.error(), RingError::kPositionInvalid);
  EXPECT_FALSE(turn->commit());
  EXPECT_EQ(read_index(), 0U);
}

TEST_F(ReadTurnTest, DoesNotStepOverNonsense) {
  write("bad");
  heap_.memory().store_word(0, 0);
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  EXPECT_FALSE(turn->skip_packet().ok());
  EXPECT_EQ(turn->packet_bytes_left(), 0U);
  heap_.memory().write_index().store_relaxed(4);
  EXPECT_FALSE(turn->skip_packet().ok());
  EXPECT_EQ(turn->packet_bytes_left(), 0U);
}

TEST_F(ReadTurnTest, CountsWhatIsLeftOfThePacketAtHandAlone) {
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->packet_bytes_left(), 0U) << "empty";
  write("hello");
  write("more");
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->packet_bytes_left(), 5U);
  EXPECT_EQ(read(2), "he");
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->packet_bytes_left(), 3U);
  EXPECT_EQ(read(40), "llomore");
  ASSERT_TRUE(writer_.write_fin().ok());
  static_cast<void>(writer_.commit());
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->packet_bytes_left(), 0U) << "FIN";
}

// ---- positions ahead of read_index ----------------------------------------------------------------

// Linux' hv_sock gives room back when it has drained the ring, so its turns leave their positions ahead.
TEST_F(ReadTurnTest, GivesRoomBackOnlyOnceNothingIsLeftIfToldSo) {
  write("one");
  write("two");
  write("three");
  heap_.memory().pending_send_size().store_relaxed(heap_.memory().capacity());
  for (const char* text : {"one", "two"}) {
    EXPECT_EQ(read_and_keep(40, kOnePacket), text);
    EXPECT_EQ(read_index(), 0U);
  }
  EXPECT_EQ(position_.index, 2 * pipe_packet_bytes(3));
  write("four");
  EXPECT_EQ(read_and_keep(40, kAnyPackets), "threefour");
  EXPECT_TRUE(signalled_) << "the whole step counts";
  EXPECT_EQ(read_index(), heap_.memory().write_index().load_relaxed());
}

TEST_F(ReadTurnTest, KeepsTheRoomOfAHalfReadPacketAndOfAllBeforeIt) {
  write("one");
  write("half read");
  EXPECT_EQ(read_and_keep(7, kAnyPackets), "onehalf");
  EXPECT_EQ(position_.index, pipe_packet_bytes(3));
  EXPECT_EQ(position_.taken_bytes, 4U);
  EXPECT_EQ(read_index(), 0U);
  EXPECT_EQ(ReadTurn::begin(heap_.memory(), position_)->readable_bytes(), 5U);
  EXPECT_EQ(read_and_keep(40, kAnyPackets), " read");
  EXPECT_EQ(read_index(), heap_.memory().write_index().load_relaxed());
}

TEST_F(ReadTurnTest, NeverGivesRoomBackWhenTheWriterLies) {
  write("one");
  auto turn = ReadTurn::begin(heap_.memory(), position_);
  ASSERT_TRUE(turn->skip_packet().ok());
  heap_.memory().write_index().store_relaxed(8);
  EXPECT_FALSE(turn->commit_if_drained());
  EXPECT_EQ(read_index(), 0U);
}

TEST_F(ReadTurnTest, ATurnThatCommitsGivesBackWhatOthersKept) {
  write("one");
  write("two");
  EXPECT_EQ(read_and_keep(40, kOnePacket), "one");
  EXPECT_EQ(read(40, kOnePacket), "two");
  EXPECT_EQ(read_index(), 2 * pipe_packet_bytes(3));
}

TEST_F(ReadTurnTest, APositionAheadCountsOnlyWithinTheUsedPart) {
  write("one");
  write("two");
  const std::uint32_t second = pipe_packet_bytes(3);
  struct Row {
    ReadPosition position;
    const char* text;
  };
  for (const Row& row :
       {Row{{second, 0}, "two"}, Row{{second, 1}, "wo"}, Row{{2 * second, 0}, ""},
        Row{{2 * second + 8, 0}, "onetwo"}, Row{{4088, 2}, "onetwo"},
        Row{{second + 4, 0}, "onetwo"}, Row{{4096, 1}, "onetwo"}, Row{{0xFFFFFFF8, 1}, "onetwo"}}) {
    auto turn = ReadTurn::begin(heap_.memory(), row.position);
    ASSERT_TRUE(turn.ok()) << row.position.index;
    std::string text(40, '?');
    const auto length = turn->read(std::as_writable_bytes(std::span(text)), kAnyPackets);
    ASSERT_TRUE(length.ok()) << row.position.index;
    EXPECT_EQ(text.substr(0, *length), row.text) << row.position.index;
  }
}

TEST_F(ReadTurnTest, APositionAheadInsideOfAPacketIsNonsenseThere) {
  write("a packet whose middle is no packet");
  auto turn = ReadTurn::begin(heap_.memory(), {.index = 24, .taken_bytes = 0});
  ASSERT_TRUE(turn.ok());
  std::byte byte{};
  EXPECT_FALSE(turn->read(std::span(&byte, 1), kAnyPackets).ok());
  EXPECT_FALSE(ReadTurn::begin(heap_.memory(), {.index = 24, .taken_bytes = 1}).ok());
}

TEST_F(ReadTurnTest, APipeReaderGoesOnAheadOfTheReadIndex) {
  auto reader = PipeReader::open(heap_.memory());
  write("one");
  write("shared");
  EXPECT_EQ(read_and_keep(5, kAnyPackets), "onesh");
  ASSERT_TRUE(reader->resume(position_).ok());
  EXPECT_EQ(reader->position().index, pipe_packet_bytes(3));
  EXPECT_EQ(reader->position().taken_bytes, 2U);
  EXPECT_EQ(reader->readable_bytes(), 4U);
  std::string text(40, '?');
  EXPECT_EQ(*reader->read(std::as_writable_bytes(std::span(text))), 4U);
  EXPECT_EQ(text.substr(0, 4), "ared");
  EXPECT_EQ(read_index(), 0U);
  static_cast<void>(reader->commit());
  EXPECT_EQ(read_index(), pipe_packet_bytes(3) + pipe_packet_bytes(6));
}

TEST_F(ReadTurnTest, APipeReaderAheadOfNothingStartsAtTheReadIndex) {
  auto reader = PipeReader::open(heap_.memory());
  write("text");
  for (const std::uint32_t index : {8U * 100, 4U, 4096U, 0xFFFFFFF8U}) {
    ASSERT_TRUE(reader->resume({index, 2}).ok()) << index;
    EXPECT_EQ(reader->position().index, 0U) << index;
    EXPECT_EQ(reader->readable_bytes(), 4U) << index;
  }
  EXPECT_FALSE(reader->resume({pipe_packet_bytes(4), 1}).ok())
      << "taken of a packet that is not there";
}

}  // namespace
}  // namespace vmbus::ring
