// Both ends of a ring at full speed, in two threads and in two processes, blocking on signals only:
// a wake-up that the rules lose shows as a wait that nobody ends.
//
// Threads run over heap memory, because ThreadSanitizer compares addresses.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>
#include <vector>

#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "ringbuf/ring_reader.h"
#include "ringbuf/ring_writer.h"
#include "tests/support/doorbell.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::HeapRing;
using testing::pick;
using vmbus::testing::Doorbell;

#if defined(__SANITIZE_THREAD__)
constexpr bool kSlow = true;
#elif defined(__has_feature)
constexpr bool kSlow = __has_feature(thread_sanitizer);
#else
constexpr bool kSlow = false;
#endif
constexpr std::uint64_t kPackets = kSlow ? 50'000 : 500'000;  // for each of two sizes of ring
constexpr std::uint64_t kStreamBytes = kSlow ? 4'000'000 : 100'000'000;
constexpr std::uint32_t kMaxWords = 40;
constexpr std::uint32_t kEmptyPacketBytes = 24;

// One direction of a channel: the ring and the bell of each end.
struct Lane {
  const RingMemory& memory;
  Doorbell& reader_bell;
  Doorbell& writer_bell;
};

// The n-th word of the traffic; both ends compute it.
std::uint64_t word_at(std::uint64_t n) { return n * 0x9E3779B97F4A7C15; }

// Room for `bytes`, or false when the signal for it got lost.
bool wait_for_room(RingWriter& writer, const Lane& lane, std::uint32_t bytes) {
  for (;;) {
    if (writer.commit()) lane.reader_bell.ring();
    const auto room = writer.request_space(bytes);
    if (!room) return false;
    if (*room) return true;
    if (!lane.writer_bell.wait()) return false;
  }
}

// Packets of random size in batches of random length, announced at once or later.
bool produce(const Lane& lane, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  RingWriter writer = *RingWriter::open(lane.memory);
  std::array<std::uint64_t, kMaxWords> words{};
  std::uint64_t sent_words = 0;
  for (std::uint64_t packet = 0; packet < kPackets; ++packet) {
    const std::uint32_t count = pick(random, 0, kMaxWords);
    for (std::uint32_t i = 0; i < count; ++i) words[i] = word_at(sent_words++);
    const auto payload = std::as_bytes(std::span(words).first(count));
    const PacketHeader header{.transaction_id = packet};
    while (const auto error = testing::error_of(writer.write(header, payload))) {
      const auto needed = static_cast<std::uint32_t>(packet_bytes(0, payload.size()));
      if (*error != RingError::kFull || !wait_for_room(writer, lane, needed)) return false;
    }
    switch (pick(random, 0, 5)) {
      case 0:
      case 1:
        if (writer.commit()) lane.reader_bell.ring();
        break;
      case 2:
        if (writer.publish()) lane.reader_bell.ring();
        break;
      default:
        break;
    }
  }
  if (writer.commit()) lane.reader_bell.ring();
  return true;
}

bool check_packet(const RingMemory& memory, const PacketView& view, std::uint64_t packet,
                  std::uint64_t& received_words) {
  std::array<std::uint64_t, kMaxWords> words{};
  if (view.raw_transaction_id != packet || view.payload_bytes > sizeof(words)) return false;
  const std::uint32_t count = view.payload_bytes / kWordBytes;
  copy_from(memory.split(view.payload_index, view.payload_bytes),
            std::as_writable_bytes(std::span(words).first(count)));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (words[i] != word_at(received_words++)) return false;
  }
  return true;
}

// Reads in order, gives space back now and then, masks now and then, sleeps only when told it may.
bool consume(const Lane& lane, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto opened = RingReader::open(lane.memory);
  RingReader reader = std::move(*opened);
  std::uint64_t received_words = 0;
  for (std::uint64_t packet = 0; packet < kPackets;) {
    const auto view = reader.next();
    if (!view && view.error() != RingError::kEmpty) return false;
    if (view) {
      if (!check_packet(lane.memory, *view, packet, received_words)) return false;
      reader.release(*view);
      ++packet;
    }
    const bool empty = !view;
    if ((empty || pick(random, 0, 7) == 0) && reader.commit()) lane.writer_bell.ring();
    if (!empty) continue;
    const auto may_sleep = reader.prepare_to_sleep();
    if (!may_sleep) return false;
    if (*may_sleep && !lane.reader_bell.wait()) return false;
    if (pick(random, 0, 1) == 0) reader.mask_interrupts();
  }
  if (reader.commit()) lane.writer_bell.ring();
  return true;
}

// Row 45: no wake-up is lost between two threads
TEST(RingStress, TwoThreadsLoseNoWakeUpAndNoPacket) {
  auto random = testing::seeded_random();
  for (const std::uint32_t pages : {1U, 6U}) {
    HeapRing ring(pages * kPageBytes);
    Doorbell reader_bell;
    Doorbell writer_bell;
    const Lane lane{ring.memory(), reader_bell, writer_bell};
    const std::uint64_t seed = random();
    bool produced = false;
    std::thread writer([&] { produced = produce(lane, seed); });
    const bool consumed = consume(lane, seed + 1);
    writer.join();
    EXPECT_TRUE(produced);
    EXPECT_TRUE(consumed);
  }
}

// The narrowest race: every packet is announced by itself, while the reader is forever about to sleep.
bool produce_singly(const Lane& lane) {
  RingWriter writer = *RingWriter::open(lane.memory);
  for (std::uint64_t packet = 0; packet < kPackets; ++packet) {
    while (!writer.write({.transaction_id = packet}, {})) {
      if (!wait_for_room(writer, lane, kEmptyPacketBytes)) return false;
    }
    if (writer.commit()) lane.reader_bell.ring();
  }
  return true;
}

bool consume_singly(const Lane& lane) {
  RingReader reader = *RingReader::open(lane.memory);
  for (std::uint64_t packet = 0; packet < kPackets;) {
    reader.mask_interrupts();
    for (auto view = reader.next(); view; view = reader.next()) {
      if (view->raw_transaction_id != packet++) return false;
      reader.release(*view);
      if (reader.commit()) lane.writer_bell.ring();
    }
    const auto may_sleep = reader.prepare_to_sleep();
    if (!may_sleep) return false;
    if (packet < kPackets && *may_sleep && !lane.reader_bell.wait()) return false;
  }
  return true;
}

// Row 45: nor when every packet races with the reader falling asleep
TEST(RingStress, SinglePacketsLoseNoWakeUp) {
  HeapRing ring(kPageBytes);
  Doorbell reader_bell;
  Doorbell writer_bell;
  const Lane lane{ring.memory(), reader_bell, writer_bell};
  bool produced = false;
  std::thread writer([&] { produced = produce_singly(lane); });
  const bool consumed = consume_singly(lane);
  writer.join();
  EXPECT_TRUE(produced);
  EXPECT_TRUE(consumed);
}

// Row 45: nor between two processes
TEST(RingStress, TwoProcessesLoseNoWakeUpAndNoPacket) {
  auto random = testing::seeded_random();
  constexpr std::size_t kBytes = 3 * kPageBytes;
  void* shared = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  const RingMemory memory = *RingMemory::over({static_cast<std::byte*>(shared), kBytes});
  Doorbell reader_bell;
  Doorbell writer_bell;
  const Lane lane{memory, reader_bell, writer_bell};
  const std::uint64_t seed = random();

  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(produce(lane, seed) ? 0 : 1);
  EXPECT_TRUE(consume(lane, seed + 1));
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  munmap(shared, kBytes);
}

constexpr std::uint64_t kChatPackets = kPackets / 4;
constexpr std::uint32_t kChatPacketBytes = 32;

// One end of a channel: sends and receives, and has one bell for news of either ring.
bool chat(const RingMemory& out, const RingMemory& in, const Doorbell& my_bell,
          const Doorbell& peer_bell) {
  RingWriter writer = *RingWriter::open(out);
  RingReader reader = *RingReader::open(in);
  const auto publish_both = [&] {
    const bool data = writer.commit();
    const bool space = reader.commit();
    return data || space;
  };
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  while (sent < kChatPackets || received < kChatPackets) {
    bool progress = false;
    const std::uint64_t word = word_at(sent);
    if (sent < kChatPackets &&
        writer.write({.transaction_id = sent}, std::as_bytes(std::span(&word, 1))).ok()) {
      ++sent;
      progress = true;
    }
    if (const auto view = reader.next(); view) {
      if (view->raw_transaction_id != received++) return false;
      reader.release(*view);
      progress = true;
    }
    if (progress) continue;
    if (publish_both()) peer_bell.ring();
    const auto empty = reader.prepare_to_sleep();
    const auto room = writer.request_space(kChatPacketBytes);
    if (!empty || !room) return false;
    const bool can_send = *room && sent < kChatPackets;
    if (*empty && !can_send && received < kChatPackets && !my_bell.wait()) return false;
  }
  if (publish_both()) peer_bell.ring();
  return true;
}

// Row 46: one signal wakes whoever waits, for data or for space
TEST(RingStress, OneBellServesDataAndSpace) {
  HeapRing forth(kPageBytes);
  HeapRing back(kPageBytes);
  Doorbell left_bell;
  Doorbell right_bell;
  bool right = false;
  std::thread peer([&] { right = chat(back.memory(), forth.memory(), right_bell, left_bell); });
  const bool left = chat(forth.memory(), back.memory(), left_bell, right_bell);
  peer.join();
  EXPECT_TRUE(left);
  EXPECT_TRUE(right);
}

std::byte stream_byte(std::uint64_t position) {
  return std::byte((position ^ position >> 8) & 0xFF);
}

bool send_stream(const Lane& lane, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  PipeWriter writer = *PipeWriter::open(lane.memory);
  std::array<Span, 8> spans;
  for (std::uint64_t sent = 0; sent < kStreamBytes;) {
    const std::size_t wanted =
        std::min<std::uint64_t>(pick(random, 1, 60'000), kStreamBytes - sent);
    const auto batch = writer.prepare_batch(4088, wanted, spans);
    if (!batch) return false;
    for (const Span& span : std::span(spans).first(batch->span_count)) {
      for (std::size_t i = 0; i < span.size; ++i) span.data[i] = stream_byte(sent++);
    }
    writer.finish_batch(batch->bytes);
    if (writer.commit()) lane.reader_bell.ring();
    if (batch->bytes != 0) continue;
    const auto room = writer.request_space(pick(random, 1, 4088));
    if (!room || (!*room && !lane.writer_bell.wait())) return false;
  }
  if (!writer.write_fin()) return false;
  if (writer.commit()) lane.reader_bell.ring();
  return true;
}

bool receive_stream(const Lane& lane, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  PipeReader reader = *PipeReader::open(lane.memory);
  std::array<Span, 8> spans;
  PipeReader::Gathered packets{};
  for (std::uint64_t received = 0;;) {
    const auto batch = reader.gather_batch(packets, spans, pick(random, 1, 60'000));
    if (!batch) return false;
    for (const Span& span : std::span(spans).first(batch->span_count)) {
      for (std::size_t i = 0; i < span.size; ++i) {
        if (span.data[i] != stream_byte(received++)) return false;
      }
    }
    reader.consume(packets, batch->bytes);
    if (reader.commit()) lane.writer_bell.ring();
    if (batch->bytes != 0) continue;
    if (reader.at_fin()) return received == kStreamBytes;
    const auto may_sleep = reader.prepare_to_sleep();
    if (!may_sleep || (*may_sleep && !lane.reader_bell.wait())) return false;
    reader.mask_interrupts();
  }
}

TEST(RingStress, BatchesCarryAStreamAndItsEnd) {
  auto random = testing::seeded_random();
  HeapRing ring(6 * kPageBytes);
  Doorbell reader_bell;
  Doorbell writer_bell;
  const Lane lane{ring.memory(), reader_bell, writer_bell};
  const std::uint64_t seed = random();
  bool sent = false;
  std::thread sender([&] { sent = send_stream(lane, seed); });
  const bool received = receive_stream(lane, seed + 1);
  sender.join();
  EXPECT_TRUE(sent);
  EXPECT_TRUE(received);
}

}  // namespace
}  // namespace vmbus::ring
