// Random operations on a byte pipe: the batch interface against the plain one, and both against a
// queue of bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::HeapRing;
using testing::pick;

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  return testing::pattern(size, random());
}

// Fills a prepared batch with at most all of `data`; returns how much went in, as readv would.
std::size_t fill(std::span<const Span> spans, std::span<const std::byte> data) {
  std::size_t done = 0;
  for (const Span& span : spans) {
    const std::size_t part = std::min(span.size, data.size() - done);
    if (part != 0) std::memcpy(span.data, data.data() + done, part);
    done += part;
  }
  return done;
}

class PipeModel {
 public:
  PipeModel(std::mt19937_64& random, std::uint32_t data_bytes)
      : random_(random), ring_(data_bytes) {
    ring_.start_at(pick(random, 0, data_bytes / kWordBytes - 1) * kWordBytes);
    writer_ = *PipeWriter::open(ring_.memory());
    reader_ = *PipeReader::open(ring_.memory());
  }

  void step() {
    switch (pick(random_, 0, 4)) {
      case 0:
        return write();
      case 1:
        return write_batch();
      case 2:
        return read();
      case 3:
        return read_batch();
      case 4:
        return commit();
    }
  }

  void finish() {
    commit();
    while (!writer_.write_fin().ok()) read();
    commit();
    for (int guard = 0; !reader_.at_fin() && guard < 100000; ++guard) read_batch();
    ASSERT_TRUE(reader_.at_fin());
    ASSERT_TRUE(published_.empty());
  }

 private:
  std::uint32_t packet_limit() {
    return pick(random_, 0, 1) == 0 ? pick(random_, 1, 100) : pick(random_, 100, 20000);
  }

  void write() {
    const Bytes data = random_bytes(random_, pick(random_, 0, 6000));
    const std::size_t written = *writer_.write(data, packet_limit());
    staged_.insert(staged_.end(), data.begin(),
                   data.begin() + static_cast<std::ptrdiff_t>(written));
  }

  void write_batch() {
    const Bytes data = random_bytes(random_, pick(random_, 0, 6000));
    const auto batch = writer_.prepare_batch(packet_limit(), pick(random_, 0, 6000),
                                             std::span(spans_).first(pick(random_, 0, 40)));
    ASSERT_TRUE(batch.ok());
    const std::size_t filled = fill(std::span(spans_).first(batch->span_count), data);
    writer_.finish_batch(filled);
    staged_.insert(staged_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(filled));
  }

  void expect_front(std::span<const std::byte> bytes) {
    ASSERT_LE(bytes.size(), published_.size());
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), published_.begin()));
    published_.erase(published_.begin(),
                     published_.begin() + static_cast<std::ptrdiff_t>(bytes.size()));
  }

  void read() {
    ASSERT_EQ(reader_.readable_bytes(), published_.size());
    Bytes bytes(pick(random_, 0, 6000));
    const std::size_t expected = std::min(bytes.size(), published_.size());
    bytes.resize(*reader_.read(bytes));
    ASSERT_EQ(bytes.size(), expected);
    expect_front(bytes);
  }

  void read_batch() {
    const std::size_t limit = pick(random_, 0, 6000);
    const auto batch =
        reader_.gather_batch(gathered_, std::span(spans_).first(pick(random_, 0, 40)), limit);
    ASSERT_TRUE(batch.ok());
    ASSERT_LE(batch->bytes, limit);
    Bytes bytes;
    for (const Span& span : std::span(spans_).first(batch->span_count)) {
      bytes.insert(bytes.end(), span.data, span.data + span.size);
    }
    ASSERT_EQ(bytes.size(), batch->bytes);
    bytes.resize(pick(random_, 0, static_cast<std::uint32_t>(bytes.size())));
    const std::size_t first_part = pick(random_, 0, static_cast<std::uint32_t>(bytes.size()));
    reader_.consume(gathered_, first_part);
    reader_.consume(gathered_, bytes.size() - first_part);
    expect_front(bytes);
  }

  void commit() {
    static_cast<void>(writer_.commit());
    static_cast<void>(reader_.commit());
    std::ranges::move(staged_, std::back_inserter(published_));
    staged_.clear();
  }

  std::mt19937_64& random_;
  HeapRing ring_;
  PipeWriter writer_;
  PipeReader reader_;
  std::deque<std::byte> staged_;
  std::deque<std::byte> published_;
  std::array<Span, 64> spans_;
  PipeReader::Gathered gathered_{};
};

TEST(PipeProperty, BehavesAsAQueueOfBytesWithItsEnd) {
  auto random = testing::seeded_random();
  for (int round = 0; round < 40 && !::testing::Test::HasFailure(); ++round) {
    PipeModel model(random, pick(random, 1, 6) * kPageBytes);
    for (int i = 0; i < 300 && !::testing::Test::HasFatalFailure(); ++i) model.step();
    if (!::testing::Test::HasFailure()) model.finish();
  }
}

// One DATA packet by the plain interface.
void write_plain(RingWriter& writer, std::span<const std::byte> data) {
  Bytes payload(kPipeHeaderBytes + data.size());
  const PipeHeader header{1, static_cast<std::uint32_t>(data.size())};
  std::memcpy(payload.data(), &header, sizeof(header));
  std::copy(data.begin(), data.end(), payload.begin() + kPipeHeaderBytes);
  ASSERT_TRUE(writer.write({}, payload).ok());
}

// All there is, by the plain interface.
Bytes read_plain(RingReader& reader) {
  Bytes bytes;
  for (auto packet = reader.next(); packet.ok(); packet = reader.next()) {
    const auto data = parse_pipe_packet(reader.memory(), *packet, PipeKind::kByte);
    const Bytes part = testing::copy_of(reader.memory(), data->data_index, data->data_bytes);
    bytes.insert(bytes.end(), part.begin(), part.end());
    reader.release(*packet);
  }
  return bytes;
}

// Two rings get the same stream, one in batches, one packet by packet: every byte of the two must
// be equal, control pages and padding included, and so must what each interface reads and each
// commit says.
TEST(PipeProperty, BatchesLeaveTheSameRingAsPlainPackets) {
  auto random = testing::seeded_random();
  constexpr std::uint32_t kSize = 3 * kPageBytes;
  HeapRing batched(kSize);
  HeapRing plain(kSize);
  PipeWriter batch_writer = *PipeWriter::open(batched.memory());
  PipeReader batch_reader = *PipeReader::open(batched.memory());
  RingWriter plain_writer = *RingWriter::open(plain.memory());
  RingReader plain_reader = *RingReader::open(plain.memory());
  std::array<Span, 64> spans;

  for (int round = 0; round < 3000 && !HasFatalFailure(); ++round) {
    const std::uint32_t limit = pick(random, 1, 3000);
    const Bytes data = random_bytes(random, pick(random, 1, 5000));
    const auto batch = batch_writer.prepare_batch(limit, data.size(), spans);
    ASSERT_TRUE(batch.ok());
    ASSERT_EQ(fill(std::span(spans).first(batch->span_count), data), batch->bytes);
    batch_writer.finish_batch(batch->bytes);
    for (std::size_t done = 0; done < batch->bytes; done += limit) {
      const std::size_t size = std::min<std::size_t>(limit, batch->bytes - done);
      write_plain(plain_writer, std::span(data).subspan(done, size));
    }
    ASSERT_EQ(batch_writer.commit(), plain_writer.commit());

    if (pick(random, 0, 1) == 0) {
      Bytes bytes(kSize);
      bytes.resize(*batch_reader.read(bytes));
      ASSERT_EQ(bytes, read_plain(plain_reader));
      ASSERT_EQ(batch_reader.commit(), plain_reader.commit());
      ASSERT_EQ(*batch_reader.prepare_to_sleep(), *plain_reader.prepare_to_sleep());
    }
    ASSERT_EQ(std::memcmp(batched.pages().data(), plain.pages().data(), plain.pages().size()), 0)
        << "round " << round;
  }
}

}  // namespace
}  // namespace vmbus::ring
