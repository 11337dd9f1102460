// One packet in one step, against PipeWriter and ReadTurn: the same ring, bytes, position and signals; and
// where it declines, nothing has happened.
#include "ringbuf/whole_packet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "ringbuf/pipe_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::HeapRing;
using testing::pick;

constexpr std::uint32_t kSize = 2 * kPageBytes;
constexpr bool kAnyPackets = false;
constexpr bool kOnePacket = true;
constexpr std::byte kUntouched{0xEE};

Bytes pages_of(HeapRing& ring) { return {ring.pages().begin(), ring.pages().end()}; }

// What a whole write, or a PipeWriter's turn, answered.
struct Written {
  std::size_t bytes = 0;
  bool signal = false;
  friend bool operator==(const Written&, const Written&) = default;
};

Written write_by_turn(const RingMemory& memory, std::span<const std::byte> data) {
  auto writer = PipeWriter::resume(memory);
  if (!writer) return {};
  const auto written = writer->write(data, kMaxPipePayloadBytes);
  if (!written || *written == 0) return {};
  return {*written, writer->commit()};
}

struct Read {
  Bytes data;
  ReadPosition position;
  bool signal = false;
};

Read read_by_turn(const RingMemory& memory, ReadPosition position, std::size_t room,
                  bool one_packet) {
  auto turn = ReadTurn::begin(memory, position);
  if (!turn) return {{}, position, false};
  Read read{Bytes(room), position};
  const auto length = turn->read(read.data, one_packet);
  read.data.resize(length.ok() ? *length : 0);
  if (read.data.empty()) return {{}, position, false};
  read.position = turn->position();
  read.signal = turn->commit();
  return read;
}

void expect_same_position(ReadPosition left, ReadPosition right) {
  EXPECT_EQ(left.index, right.index);
  EXPECT_EQ(left.taken_bytes, right.taken_bytes);
}

class WholePacketTest : public ::testing::Test {
 protected:
  const RingMemory& memory() const { return ring_.memory(); }

  void send(std::uint32_t bytes, std::size_t salt = 0) {
    ASSERT_EQ(write_by_turn(memory(), testing::pattern(bytes, salt)).bytes, bytes);
  }

  WholePacket read_whole(std::size_t room, bool one_packet = kAnyPackets,
                         ReadPosition position = {}) {
    to_.assign(room, kUntouched);
    return read_whole_packet(memory(), position, to_, one_packet);
  }

  void expect_declined_write(std::uint32_t bytes, const std::string& why) {
    const Bytes before = pages_of(ring_);
    EXPECT_EQ(write_whole_packet(memory(), testing::pattern(bytes)), WholeWrite::kNo) << why;
    EXPECT_EQ(pages_of(ring_), before) << why;
  }

  void expect_declined_read(std::size_t room, const std::string& why, bool one_packet = kAnyPackets,
                            ReadPosition position = {}) {
    const Bytes before = pages_of(ring_);
    EXPECT_EQ(read_whole(room, one_packet, position).data_bytes, 0U) << why;
    EXPECT_EQ(to_, Bytes(room, kUntouched)) << why;
    EXPECT_EQ(pages_of(ring_), before) << why;
  }

  HeapRing ring_{kSize};
  Bytes to_;
};

// ---- writing ------------------------------------------------------------------------------------

// The head's words are lay_out_pipe_packet()'s, whatever the padding.
TEST_F(WholePacketTest, WritesWhatAPipeWriterWrites) {
  for (const std::uint32_t bytes : {1U, 7U, 8U, 9U, 15U, 16U, 100U, 4087U, 4088U, 4089U, 8120U}) {
    HeapRing whole(kSize);
    HeapRing plain(kSize);
    std::ranges::fill(whole.data(), std::byte{0xC3});  // padding is zeroed over old bytes
    std::ranges::fill(plain.data(), std::byte{0xC3});
    const Bytes data = testing::pattern(bytes, bytes);
    EXPECT_EQ(write_whole_packet(whole.memory(), data), WholeWrite::kYesSignal) << bytes;
    EXPECT_EQ(write_by_turn(plain.memory(), data), (Written{bytes, true})) << bytes;
    // The transaction id is 0 in both, and nothing else differs.
    EXPECT_EQ(pages_of(whole), pages_of(plain)) << bytes;
  }
}

TEST_F(WholePacketTest, WriteSignalsOnlyAReaderThatSleepsWhereThePacketBegins) {
  struct Row {
    std::uint32_t mask;
    bool unread_before;
    WholeWrite expected;
  };
  for (const Row row : {Row{0, false, WholeWrite::kYesSignal}, Row{1, false, WholeWrite::kYes},
                        Row{0, true, WholeWrite::kYes}, Row{1, true, WholeWrite::kYes},
                        Row{0x80000000, false, WholeWrite::kYes}}) {
    ring_.start_at(0);
    if (row.unread_before) send(10);
    memory().interrupt_mask().store_relaxed(row.mask);
    EXPECT_EQ(write_whole_packet(memory(), testing::pattern(20)), row.expected)
        << row.mask << ' ' << row.unread_before;
  }
}

// Up to the last page's end a packet lies in one piece; one word more, and it would wrap.
TEST_F(WholePacketTest, WriteEndsAtTheRingsEndOrDeclines) {
  const std::uint32_t start = kSize - pipe_packet_bytes(64);
  ring_.start_at(start);
  expect_declined_write(65, "wraps");
  EXPECT_EQ(write_whole_packet(memory(), testing::pattern(64)), WholeWrite::kYesSignal);
  EXPECT_EQ(memory().write_index().load_relaxed(), 0U);
}

TEST_F(WholePacketTest, WriteLeavesRoomForTheEndOfTheStreamOrDeclines) {
  const std::uint32_t used = 1000;
  ring_.start_at(0);
  memory().write_index().store_relaxed(used);
  const std::uint32_t most = capacity_bytes(kSize) - used - kFinBytes - kPipeOverheadBytes;
  expect_declined_write(most + 1, "no room for a FIN behind it");
  EXPECT_EQ(write_whole_packet(memory(), testing::pattern(most)), WholeWrite::kYes);
  expect_declined_write(1, "full");
}

TEST_F(WholePacketTest, WriteDeclinesNonsenseIndices) {
  for (const std::uint32_t index :
       {4U, 7U, kSize - 4, kSize, kSize + 8, 0x80000000U, 0xFFFFFFF8U}) {
    ring_.start_at(64);
    memory().write_index().store_relaxed(index);
    expect_declined_write(8, "write index " + std::to_string(index));
    ring_.start_at(64);
    memory().read_index().store_relaxed(index);
    expect_declined_write(8, "read index " + std::to_string(index));
  }
}

// ---- reading ------------------------------------------------------------------------------------

TEST_F(WholePacketTest, ReadTakesAPacketThatIsAllTheReceiveHasToTake) {
  struct Row {
    const char* why;
    std::uint32_t packet, behind;  // bytes; 0: no packet behind
    std::size_t room;
    bool one_packet;
    bool taken;
  };
  for (const Row& row : {Row{"fills the buffer", 10, 0, 10, kAnyPackets, true},
                         Row{"fills the buffer, more behind", 10, 5, 10, kAnyPackets, true},
                         Row{"is the last one", 10, 0, 40, kAnyPackets, true},
                         Row{"more would fit", 10, 5, 40, kAnyPackets, false},
                         Row{"the receive ends with it", 10, 5, 40, kOnePacket, true},
                         Row{"does not fit", 10, 0, 9, kAnyPackets, false},
                         Row{"does not fit", 10, 0, 9, kOnePacket, false},
                         Row{"no buffer", 10, 0, 0, kAnyPackets, false},
                         Row{"empty ring", 0, 0, 40, kAnyPackets, false}}) {
    ring_.start_at(128);
    if (row.packet != 0) send(row.packet);
    if (row.behind != 0) send(row.behind);
    const ReadPosition here{128, 0};
    if (!row.taken) {
      expect_declined_read(row.room, row.why, row.one_packet, here);
      continue;
    }
    const Bytes before = pages_of(ring_);
    const WholePacket packet = read_whole(row.room, row.one_packet, here);
    ASSERT_EQ(packet.data_bytes, row.packet) << row.why;
    EXPECT_EQ(packet.before, 128U) << row.why;
    expect_same_position(packet.after, {128 + pipe_packet_bytes(row.packet), 0});
    EXPECT_EQ(Bytes(to_.begin(), to_.begin() + row.packet), testing::pattern(row.packet));
    EXPECT_TRUE(std::all_of(to_.begin() + row.packet, to_.end(), [](std::byte b) {
      return b == kUntouched;
    })) << row.why;
    EXPECT_EQ(pages_of(ring_), before) << "read_index moves with release_room()";
  }
}

TEST_F(WholePacketTest, ReadDeclinesAPositionThatIsNotThePacketsStart) {
  ring_.start_at(64);
  send(100);
  send(50);
  const std::uint32_t second = 64 + pipe_packet_bytes(100);
  expect_declined_read(100, "half read", kAnyPackets, {64, 1});
  expect_declined_read(100, "ahead", kAnyPackets, {second, 0});
  expect_declined_read(100, "stale", kAnyPackets, {56, 0});
  expect_declined_read(100, "misaligned", kAnyPackets, {65, 0});
  expect_declined_read(100, "beyond the ring", kAnyPackets, {kSize, 0});
  EXPECT_EQ(read_whole(100, kAnyPackets, {64, 0}).data_bytes, 100U);
}

TEST_F(WholePacketTest, ReadDeclinesAPacketThatWraps) {
  for (const std::uint32_t before_the_end : {8U, 16U, 24U, 32U, 40U, 88U}) {
    const std::uint32_t start = kSize - before_the_end;
    ring_.start_at(start);
    send(64);
    expect_declined_read(64, std::to_string(before_the_end), kAnyPackets, {start, 0});
  }
  const std::uint32_t start = kSize - pipe_packet_bytes(64);
  ring_.start_at(start);
  send(64);
  const WholePacket packet = read_whole(64, kAnyPackets, {start, 0});
  EXPECT_EQ(packet.data_bytes, 64U);
  EXPECT_EQ(packet.after.index, 0U);
}

TEST_F(WholePacketTest, ReadDeclinesTheEndOfTheStream) {
  auto writer = PipeWriter::resume(memory());
  ASSERT_TRUE(writer->write_fin().ok());
  static_cast<void>(writer->commit());
  expect_declined_read(40, "FIN");
}

TEST_F(WholePacketTest, ReadDeclinesNonsenseIndices) {
  for (const std::uint32_t index :
       {4U, 7U, kSize - 4, kSize, kSize + 8, 0x80000000U, 0xFFFFFFF8U}) {
    ring_.start_at(0);
    send(40);
    memory().write_index().store_relaxed(index);
    expect_declined_read(40, "write index " + std::to_string(index));
    ring_.start_at(0);
    send(40);
    memory().read_index().store_relaxed(index);
    expect_declined_read(40, "read index " + std::to_string(index), kAnyPackets, {index, 0});
  }
}

// Heads that are right for a RingReader, but not laid out as ours, and heads that are wrong.
TEST_F(WholePacketTest, ReadDeclinesEveryOtherHead) {
  const std::uint64_t descriptor = whole_packet_descriptor(40);
  const std::uint64_t header = whole_packet_header(40);
  for (int bit = 0; bit < 64; ++bit) {
    ring_.start_at(0);
    send(40);
    memory().store_word(0, descriptor ^ (std::uint64_t{1} << bit));
    expect_declined_read(64, "descriptor bit " + std::to_string(bit));
    memory().store_word(0, descriptor);
    memory().store_word(kDescriptorBytes, header ^ (std::uint64_t{1} << bit));
    expect_declined_read(64, "pipe header bit " + std::to_string(bit));
  }
}

// Lengths that the same packet could have: shorter ones within its last word are good packets.
TEST_F(WholePacketTest, ReadBelievesALengthOnlyIfTheDescriptorAgrees) {
  for (std::uint32_t length = 0; length < 200; ++length) {
    ring_.start_at(0);
    send(40);
    memory().store_word(kDescriptorBytes, whole_packet_header(length));
    const bool agrees = length > 32 && length <= 40;
    EXPECT_EQ(read_whole(200).data_bytes, agrees ? length : 0) << length;
  }
}

TEST_F(WholePacketTest, ReadDeclinesAPacketThatIsNotAllThere) {
  send(40);
  for (std::uint32_t there = 0; there < pipe_packet_bytes(40); there += kWordBytes) {
    memory().write_index().store_relaxed(there);
    expect_declined_read(40, std::to_string(there) + " bytes are published");
  }
  memory().write_index().store_relaxed(pipe_packet_bytes(40));
  EXPECT_EQ(read_whole(40).data_bytes, 40U);
}

// ---- against the long way -----------------------------------------------------------------------

// Two rings get the same stream and are read alike, one in one step where that can be, one by turns.
class TwoRings {
 public:
  explicit TwoRings(std::mt19937_64& random, std::uint32_t size)
      : random_(random), whole_(size), turns_(size) {
    const std::uint32_t start = pick(random, 0, size / kWordBytes - 1) * kWordBytes;
    whole_.start_at(start);
    turns_.start_at(start);
    position_.index = start;
  }

  void step() {
    switch (pick(random_, 0, 5)) {
      case 0:
      case 1:
        return write();
      case 2:
      case 3:
        return read();
      case 4:
        return set_word(&RingMemory::interrupt_mask, pick(random_, 0, 1));
      default:
        return set_word(&RingMemory::pending_send_size, pick(random_, 0, size() + 8));
    }
  }

  struct Count {
    int writes = 0, reads = 0;  // in one step
    int reader_signals = 0, writer_signals = 0;
  };
  const Count& count() const { return count_; }

 private:
  std::uint32_t size() const { return whole_.memory().data_bytes(); }

  void set_word(SharedWord (RingMemory::*word)() const, std::uint32_t value) {
    (whole_.memory().*word)().store_relaxed(value);
    (turns_.memory().*word)().store_relaxed(value);
  }

  void expect_same_pages() {
    ASSERT_EQ(std::memcmp(whole_.pages().data(), turns_.pages().data(), whole_.pages().size()), 0);
  }

  void write() {
    const std::uint32_t most = max_stream_payload_bytes(size());
    const Bytes data = testing::pattern(
        pick(random_, 0, 3) == 0 ? pick(random_, 1, most) : pick(random_, 1, 300), random_());
    const RingMemory& memory = whole_.memory();
    const std::uint32_t start = memory.write_index().load_relaxed();
    const std::uint32_t bytes = pipe_packet_bytes(static_cast<std::uint32_t>(data.size()));
    const std::uint32_t free = free_bytes(start, memory.read_index().load_relaxed(), size());
    const bool can = size() - start >= bytes && free >= bytes + kFinBytes;

    const WholeWrite done = write_whole_packet(memory, data);
    ASSERT_EQ(done != WholeWrite::kNo, can);
    if (!can) expect_same_pages();
    const Written whole =
        can ? Written{data.size(), done == WholeWrite::kYesSignal} : write_by_turn(memory, data);
    count_.writes += can ? 1 : 0;
    count_.reader_signals += done == WholeWrite::kYesSignal ? 1 : 0;
    ASSERT_EQ(whole, write_by_turn(turns_.memory(), data));
    expect_same_pages();
  }

  // Often just what is left of the next packet.
  std::size_t some_room() {
    if (pick(random_, 0, 2) == 0) return pick(random_, 0, 9000);
    const std::uint32_t left = ReadTurn::begin(whole_.memory(), position_)->packet_bytes_left();
    return left != 0 && pick(random_, 0, 1) == 0 ? left : pick(random_, 0, 400);
  }

  void read() {
    const RingMemory& memory = whole_.memory();
    const std::size_t room = some_room();
    const bool one_packet = pick(random_, 0, 1) == 0;
    Read whole{Bytes(room, kUntouched), position_};
    const WholePacket packet = read_whole_packet(memory, position_, whole.data, one_packet);
    if (packet.data_bytes != 0) {
      ++count_.reads;
      whole.data.resize(packet.data_bytes);
      whole.position = packet.after;
      whole.signal = release_room(memory, packet.before, packet.after.index);
      count_.writer_signals += whole.signal ? 1 : 0;
    } else {
      ASSERT_EQ(whole.data, Bytes(room, kUntouched));
      expect_same_pages();
      whole = read_by_turn(memory, position_, room, one_packet);
    }
    const Read turn = read_by_turn(turns_.memory(), position_, room, one_packet);
    ASSERT_EQ(whole.data, turn.data);
    expect_same_position(whole.position, turn.position);
    ASSERT_EQ(whole.signal, turn.signal);
    position_ = turn.position;
    expect_same_pages();
  }

  std::mt19937_64& random_;
  HeapRing whole_;
  HeapRing turns_;
  ReadPosition position_;
  Count count_;
};

TEST(WholePacketProperty, GivesTheSameRingBytesPositionAndSignalsAsTurns) {
  auto random = testing::seeded_random();
  TwoRings::Count count;
  for (int round = 0; round < 60 && !::testing::Test::HasFailure(); ++round) {
    TwoRings rings(random, pick(random, 1, 5) * kPageBytes);
    for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) rings.step();
    count.writes += rings.count().writes;
    count.reads += rings.count().reads;
    count.reader_signals += rings.count().reader_signals;
    count.writer_signals += rings.count().writer_signals;
  }
  EXPECT_GT(count.writes, 1000);
  EXPECT_GT(count.reads, 500);
  EXPECT_GT(count.reader_signals, 20);
  EXPECT_GT(count.writer_signals, 20);
}

// ---- damage -------------------------------------------------------------------------------------

constexpr std::array<std::uint64_t, 18> kBadWords{0,
                                                  1,
                                                  2,
                                                  4,
                                                  7,
                                                  8,
                                                  16,
                                                  kSize - 16,
                                                  kSize - 8,
                                                  kSize - 4,
                                                  kSize,
                                                  kSize + 8,
                                                  0x7FFFFFFF,
                                                  0x80000000,
                                                  0xFFFFFFF8,
                                                  0xFFFFFFFF,
                                                  0x10000000000,
                                                  0xFFFFFFFFFFFFFFFF};

// Whatever one word of the ring says: what is read in one step is what a turn reads, too.
TEST_F(WholePacketTest, ReadsNothingThatATurnWouldNotReadWhateverAWordSays) {
  const std::uint32_t start = 512;
  ring_.start_at(start);
  send(100, 1);
  send(60, 2);
  const Bytes good = pages_of(ring_);
  const std::uint32_t end = kPageBytes + start + pipe_packet_bytes(100) + pipe_packet_bytes(60);
  for (std::uint32_t offset = 0; offset < end;
       offset += offset == 64 ? kPageBytes - 64 + start : 4) {
    for (const std::uint64_t value : kBadWords) {
      for (const std::size_t width : {4U, 8U}) {
        std::ranges::copy(good, ring_.pages().begin());
        std::memcpy(ring_.pages().data() + offset, &value, width);
        HeapRing copy(kSize);
        std::ranges::copy(ring_.pages(), copy.pages().begin());
        for (const std::size_t room : {60U, 100U, 300U}) {
          const WholePacket packet = read_whole(room, kOnePacket, {start, 0});
          if (packet.data_bytes == 0) {
            EXPECT_EQ(to_, Bytes(room, kUntouched));
            continue;
          }
          std::ranges::copy(ring_.pages(), copy.pages().begin());
          const Read turn = read_by_turn(copy.memory(), {start, 0}, room, kOnePacket);
          ASSERT_EQ(packet.data_bytes, turn.data.size()) << offset << ' ' << value;
          to_.resize(packet.data_bytes);
          EXPECT_EQ(to_, turn.data);
          expect_same_position(packet.after, turn.position);
        }
      }
    }
  }
}

// The same of writing: the control page is all it looks at.
TEST_F(WholePacketTest, WritesNothingThatATurnWouldNotWriteWhateverAWordSays) {
  ring_.start_at(512);
  send(100, 1);
  const Bytes good = pages_of(ring_);
  for (std::uint32_t offset = 0; offset <= 64; offset += 4) {
    for (const std::uint64_t value : kBadWords) {
      std::ranges::copy(good, ring_.pages().begin());
      std::memcpy(ring_.pages().data() + offset, &value, 4);
      HeapRing copy(kSize);
      std::ranges::copy(ring_.pages(), copy.pages().begin());
      const Bytes data = testing::pattern(90);
      const Bytes before = pages_of(ring_);
      const WholeWrite done = write_whole_packet(memory(), data);
      if (done == WholeWrite::kNo) {
        EXPECT_EQ(pages_of(ring_), before);
        continue;
      }
      const Written turn = write_by_turn(copy.memory(), data);
      EXPECT_EQ(turn, (Written{90, done == WholeWrite::kYesSignal})) << offset << ' ' << value;
      EXPECT_EQ(pages_of(ring_), pages_of(copy)) << offset << ' ' << value;
    }
  }
}

}  // namespace
}  // namespace vmbus::ring
