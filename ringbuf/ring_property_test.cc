// Random operations on both ends of a ring, against a plain model: a queue of packets.
//
// Also holds the wake rules to their promise: an end that was told it may sleep, and then gets what
// it waits for, has been signalled by the time the other end committed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <vector>

#include "ringbuf/packet_ranges.h"
#include "ringbuf/ring_reader.h"
#include "ringbuf/ring_writer.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::Bytes;
using testing::error_of;
using testing::HeapRing;
using testing::pick;

struct ModelPacket {
  PacketType type = PacketType::kDataInBand;
  bool completion_requested = false;
  std::uint64_t transaction_id = 0;
  std::vector<std::uint64_t> extension;
  Bytes payload;

  std::uint64_t total_bytes() const { return packet_bytes(extension.size(), payload.size()); }
};

class RingModel {
 public:
  RingModel(std::mt19937_64& random, std::uint32_t data_bytes)
      : random_(random), ring_(data_bytes) {
    ring_.start_at(pick(random, 0, data_bytes / kWordBytes - 1) * kWordBytes);
    writer_ = *RingWriter::open(ring_.memory());
    reader_ = *RingReader::open(ring_.memory());
  }

  void step() {
    switch (pick(random_, 0, 9)) {
      case 0:
      case 1:
      case 2:
        return write();
      case 3:
        return publish(writer_.commit());
      case 4:
        return publish_deferred();
      case 5:
        return revert();
      case 6:
      case 7:
        return read();
      case 8:
        return commit_reads();
      case 9:
        return pick(random_, 0, 1) == 0 ? reader_sleeps() : writer_sleeps();
    }
  }

 private:
  std::uint64_t model_used() const {
    std::uint64_t used = unreleased_bytes_;
    for (const auto& packet : published_) used += packet.total_bytes();
    for (const auto& packet : staged_) used += packet.total_bytes();
    return used;
  }

  ModelPacket random_packet() {
    ModelPacket packet;
    packet.transaction_id = random_();
    packet.completion_requested = pick(random_, 0, 1) == 1;
    packet.payload = testing::pattern(pick(random_, 0, ring_.memory().data_bytes() / 3), random_());
    std::array<std::uint64_t, 8> words{};
    switch (pick(random_, 0, 3)) {
      case 0:
        packet.type = PacketType::kCompletion;
        break;
      case 1: {
        packet.type = PacketType::kDataTransferPages;
        const auto built = build_transfer_pages(5, std::array{TransferRange{8, 16}}, words);
        packet.extension.assign(built->begin(), built->end());
        break;
      }
      case 2: {
        packet.type = PacketType::kDataGpaDirect;
        const std::array<std::uint64_t, 2> pages{random_(), random_()};
        const auto built = build_gpa_direct(std::array{OutgoingGpaRange{4096, 100, pages}}, words);
        packet.extension.assign(built->begin(), built->end());
        break;
      }
      default:
        break;
    }
    return packet;
  }

  void write() {
    const ModelPacket packet = random_packet();
    const PacketHeader header{packet.type, packet.completion_requested, packet.transaction_id,
                              packet.extension};
    const bool fits = model_used() + packet.total_bytes() <= ring_.memory().capacity();
    const auto written = writer_.write(header, packet.payload);
    ASSERT_EQ(error_of(written), fits ? std::nullopt : std::optional(RingError::kFull));
    if (!fits) return;
    staged_.push_back(packet);
    writer_asleep_ = false;  // it plainly is awake, and waits for nothing any more
  }

  void publish(bool signal) {
    std::ranges::move(staged_, std::back_inserter(published_));
    staged_.clear();
    if (signal) reader_asleep_ = false;
    ASSERT_FALSE(reader_asleep_ && !published_.empty()) << "lost wake-up of the reader";
  }

  void publish_deferred() {
    const bool signal = writer_.publish();
    std::ranges::move(staged_, std::back_inserter(published_));
    staged_.clear();
    if (signal) reader_asleep_ = false;
  }

  void revert() {
    writer_.revert();
    staged_.clear();
  }

  void read() {
    const auto packet = reader_.next();
    if (published_.empty()) {
      ASSERT_EQ(error_of(packet), RingError::kEmpty);
      return;
    }
    ASSERT_TRUE(packet.ok()) << describe(packet.error());
    const ModelPacket expected = published_.front();
    published_.pop_front();
    ASSERT_EQ(packet->type, expected.type);
    ASSERT_EQ(packet->raw_transaction_id, expected.transaction_id);
    ASSERT_EQ(packet->completion_requested, expected.completion_requested);
    ASSERT_EQ(packet->total_bytes, expected.total_bytes());
    ASSERT_EQ(packet->extension_bytes, expected.extension.size() * kWordBytes);
    const auto payload_bytes = static_cast<std::uint32_t>(expected.payload.size());
    ASSERT_EQ(packet->payload_bytes, align8(payload_bytes));
    ASSERT_EQ(testing::copy_of(ring_.memory(), packet->payload_index, payload_bytes),
              expected.payload);
    reader_.release(*packet);
    unreleased_bytes_ += packet->total_bytes;
    reader_asleep_ = false;  // it is plainly awake
  }

  void commit_reads() {
    if (reader_.commit()) writer_asleep_ = false;
    unreleased_bytes_ = 0;
    const std::uint64_t free = ring_.memory().capacity() - model_used();
    const bool room = free >= ring_.memory().pending_send_size().load_relaxed();
    ASSERT_FALSE(writer_asleep_ && room) << "lost wake-up of the writer";
  }

  void reader_sleeps() {
    commit_reads();
    reader_asleep_ = *reader_.prepare_to_sleep();
    ASSERT_EQ(reader_asleep_, published_.empty());
    if (pick(random_, 0, 3) == 0) {
      reader_.mask_interrupts();
      reader_asleep_ = false;
    }
  }

  void writer_sleeps() {
    publish(writer_.commit());
    const std::uint32_t wanted = pick(random_, 1, ring_.memory().capacity());
    const std::uint64_t free = ring_.memory().capacity() - model_used();
    writer_asleep_ = !*writer_.request_space(wanted);
    ASSERT_EQ(writer_asleep_, free < align8(wanted));
  }

  std::mt19937_64& random_;
  HeapRing ring_;
  RingWriter writer_;
  RingReader reader_;
  std::vector<ModelPacket> staged_;
  std::deque<ModelPacket> published_;
  std::uint64_t unreleased_bytes_ = 0;
  bool reader_asleep_ = false;
  bool writer_asleep_ = false;
};

TEST(RingProperty, BehavesAsAQueueOfPacketsAndLosesNoWakeUp) {
  auto random = testing::seeded_random();
  for (int round = 0; round < 40 && !::testing::Test::HasFailure(); ++round) {
    RingModel model(random, pick(random, 1, 4) * kPageBytes);
    for (int i = 0; i < 1000 && !::testing::Test::HasFatalFailure(); ++i) model.step();
  }
}

}  // namespace
}  // namespace vmbus::ring
