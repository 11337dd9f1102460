#include "tests/stress/live_ring.h"

#include <algorithm>

#include "ringbuf/shared_word.h"

namespace vmbus::stress {
namespace {

using Clock = std::chrono::steady_clock;

// The control page: byte offsets of its words.
constexpr std::uint32_t kWriteIndex = 0;
constexpr std::uint32_t kReadIndex = 4;
constexpr std::uint32_t kPendingSendSize = 12;
constexpr std::uint32_t kReserved = 16;
constexpr std::uint32_t kFeatureBits = 64;
constexpr std::uint32_t kControlBytes = 4096;

// A packet: 16 bytes of descriptor, 8 of pipe header, payload, padding to 8, 8 of trailer.
constexpr std::uint32_t kHeadBytes = 24;
constexpr std::uint32_t kTrailerBytes = 8;
constexpr std::uint32_t kSmallestPacket = kHeadBytes + kTrailerBytes;
constexpr std::uint16_t kInBand = 6;
constexpr std::uint16_t kPayloadOffset8 = 2;
constexpr std::uint32_t kPipeData = 1;
constexpr std::uint32_t kLargestPayload = 16384;

// More than any two processors copy, one in and one out.
constexpr std::uint32_t kBytesPerNanosecond = 64;

constexpr std::uint32_t align8(std::uint32_t bytes) { return (bytes + 7) & ~7U; }
constexpr std::uint16_t part16(std::uint64_t word, unsigned number) {
  return static_cast<std::uint16_t>(word >> 16 * number);
}
constexpr std::uint32_t low32(std::uint64_t word) { return static_cast<std::uint32_t>(word); }
constexpr std::uint32_t high32(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32);
}

}  // namespace

// The words of a packet that are not payload.
struct LiveRing::Frame {
  std::uint32_t start;
  std::uint64_t descriptor;
  std::uint64_t transaction;
  std::uint64_t header;
  std::uint64_t last;  // of the payload, with its padding
  std::uint64_t trailer;

  std::uint16_t type() const { return part16(descriptor, 0); }
  std::uint16_t offset8() const { return part16(descriptor, 1); }
  std::uint32_t body_bytes() const { return part16(descriptor, 2) * 8U; }
  std::uint16_t flags() const { return part16(descriptor, 3); }
  std::uint32_t pipe_type() const { return low32(header); }
  std::uint32_t payload_bytes() const { return high32(header); }
  std::uint32_t bytes() const { return body_bytes() + kTrailerBytes; }
};

LiveRing::LiveRing(const std::byte* control_page, const std::byte* data, std::uint32_t data_bytes,
                   std::uint32_t largest_payload)
    : control_page_(control_page),
      data_(data),
      data_bytes_(data_bytes),
      largest_payload_(std::min(largest_payload, kLargestPayload)),
      lap_(data_bytes / kBytesPerNanosecond) {}

// In the order in which they stand: what is copied later is copied later. The memory may be mapped read-only
// and the access is a load; const_cast serves the door's type alone.
std::uint32_t LiveRing::load(std::uint32_t offset) const {
  auto* word = reinterpret_cast<std::uint32_t*>(const_cast<std::byte*>(control_page_ + offset));
  return ring::SharedWord(*word).load_seq_cst();
}

std::uint64_t LiveRing::word(std::uint64_t index) const {
  const std::byte* place = data_ + index % data_bytes_;
  auto* word = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(place));
  return ring::SharedCell(*word).load_seq_cst();
}

LiveRing::Frame LiveRing::copy_frame(std::uint32_t start) const {
  Frame frame{};
  frame.start = start;
  frame.descriptor = word(start);
  frame.transaction = word(std::uint64_t{start} + 8);
  frame.header = word(std::uint64_t{start} + 16);
  const std::uint64_t end = std::uint64_t{start} + frame.body_bytes();
  frame.last = word(end + data_bytes_ - 8);
  frame.trailer = word(end);
  return frame;
}

std::string_view LiveRing::judge_controls() const {
  for (std::uint32_t offset = kReserved; offset < kFeatureBits; offset += 4) {
    if (load(offset) != 0) return "a reserved word of the control page is not 0";
  }
  if ((load(kFeatureBits) & ~1U) != 0) return "a feature bit that nobody knows";
  const std::uint32_t pending = load(kPendingSendSize);
  if (pending > data_bytes_ - 8) return "pending_send_size can never be satisfied";
  if (pending != 0 && load(kFeatureBits) == 0) return "pending_send_size without its feature bit";
  return {};
}

std::string_view LiveRing::judge(const Frame& frame, std::uint32_t readable) const {
  if (frame.type() != kInBand) return "the type is not in-band data";
  if (frame.offset8() != kPayloadOffset8) return "data_offset8 is not the descriptor's length";
  if (frame.flags() != 0) return "flags are set";
  if (frame.body_bytes() < kHeadBytes) return "length8 leaves no place for a pipe header";
  if (frame.bytes() > readable) return "the packet goes on behind write_index";
  if (frame.pipe_type() != kPipeData) return "the pipe header's type is not data";
  if (frame.payload_bytes() > largest_payload_) return "more payload than a packet may have";
  if (kHeadBytes + align8(frame.payload_bytes()) != frame.body_bytes()) {
    return "length8 is not what the pipe header's length makes it";
  }
  const std::uint32_t padding = align8(frame.payload_bytes()) - frame.payload_bytes();
  if (padding != 0 && frame.last >> (64 - 8 * padding) != 0) return "the padding is not 0";
  if (low32(frame.trailer) != 0) return "the trailer's low half is not 0";
  if (high32(frame.trailer) != frame.start) return "the trailer is not the packet's start";
  return {};
}

// One look, which begins with both indices of one moment.
class LiveRing::Walk {
 public:
  explicit Walk(const LiveRing& ring) : ring_(ring) {}

  Look run() {
    if (!begin()) return look_;
    if (const std::string_view what = ring_.judge_controls(); !what.empty()) {
      fail(what, look_.read_index);
    }
    judge_rest();
    return look_;
  }

  Look run_at_next() {
    if (!begin()) return look_;
    passed_ = used_;
    const std::uint32_t before = look_.write_index;
    for (int i = 1; i < kLooksForNext && look_.write_index == before; ++i) {
      look_.write_index = ring_.load(kWriteIndex);
      const bool stays = look_.write_index == before;
      if (stays && i % kLooksAtOnce == 0 && !follow_reader()) return look_;
    }
    if (!ring_.is_index(look_.write_index)) fail("write_index is no index", look_.write_index);
    used_ += ring_.distance(before, look_.write_index);
    judge_rest();
    return look_;
  }

 private:
  static constexpr int kLooksForNext = 3000;
  static constexpr int kLooksAtOnce = 16;  // at write_index; the reader must be followed, too

  void judge_rest() {
    while (look_.outcome == Outcome::kFine && passed_ < used_) step();
  }

  // Both indices of one moment: read_index stood still around write_index.
  bool begin() {
    last_look_ = Clock::now();
    last_read_ = look_.read_index = ring_.load(kReadIndex);
    look_.write_index = ring_.load(kWriteIndex);
    if (!follow_reader()) return false;
    if (read_ != 0) look_.outcome = Outcome::kOvertaken;
    if (!ring_.is_index(look_.write_index)) fail("write_index is no index", look_.write_index);
    used_ = ring_.distance(look_.read_index, look_.write_index);
    return look_.outcome == Outcome::kFine;
  }

  // How far the reader has come since the beginning. False: that cannot be told, or it is nonsense.
  bool follow_reader() {
    const std::uint32_t now_read = ring_.load(kReadIndex);
    const auto now = Clock::now();
    const bool is_slow = now - last_look_ >= ring_.lap_;
    last_look_ = now;
    if (!ring_.is_index(last_read_) || !ring_.is_index(now_read)) {
      fail("read_index is no index", now_read);
      return false;
    }
    if (is_slow) look_.outcome = Outcome::kOvertaken;
    read_ += ring_.distance(last_read_, now_read);
    last_read_ = now_read;
    return !is_slow;
  }

  void step() {
    const auto start =
        static_cast<std::uint32_t>((std::uint64_t{look_.read_index} + passed_) % ring_.data_bytes_);
    const Frame frame = ring_.copy_frame(start);
    if (!follow_reader()) return;
    if (read_ > passed_) {  // no longer promised; the reader stands at a packet's start
      passed_ = read_;
      return;
    }
    const auto readable = static_cast<std::uint32_t>(used_ - passed_);
    std::string_view what = "less than a packet is readable";
    if (readable >= kSmallestPacket) what = ring_.judge(frame, readable);
    if (what.empty() && look_.has_end) what = "a packet behind the end of the stream";
    if (!what.empty()) return fail(what, frame);
    ++look_.packets;
    look_.payload_bytes += frame.payload_bytes();
    look_.has_end = frame.payload_bytes() == 0;
    passed_ += frame.bytes();
  }

  void fail(std::string_view what, std::uint32_t index) {
    look_.outcome = Outcome::kFault;
    look_.what = what;
    look_.index = index;
  }
  void fail(std::string_view what, const Frame& frame) {
    fail(what, frame.start);
    look_.words = {frame.descriptor, frame.transaction, frame.header, frame.last, frame.trailer};
  }

  const LiveRing& ring_;
  Look look_;
  Clock::time_point last_look_;
  std::uint32_t last_read_ = 0;
  // Bytes behind the read_index of the beginning: to the write_index of then; judged or read; read.
  std::uint64_t used_ = 0;
  std::uint64_t passed_ = 0;
  std::uint64_t read_ = 0;
};

Look LiveRing::look() const { return Walk(*this).run(); }
Look LiveRing::look_at_next() const { return Walk(*this).run_at_next(); }

}  // namespace vmbus::stress
