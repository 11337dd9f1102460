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

  HeapRing heap_{4096};
  PipeWriter writer_;
  ReadPosition position_;
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

}  // namespace
}  // namespace vmbus::ring
