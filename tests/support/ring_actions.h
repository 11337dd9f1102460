// RingActions: every operation on a ring, chosen by number, for callers that want any order of them
// with any damage to the ring in between (fuzz_packet.cc, ring_hostile_test.cc).
//
// Several writers and readers share the ring, so each is the others' hostile peer as well. Whatever
// happens, results must stay inside the ring and errors must be errors; require() aborts otherwise.
// An end that found its peer lying is opened again, over repaired indices where need be.
#ifndef VMBUS_TESTS_SUPPORT_RING_ACTIONS_H_
#define VMBUS_TESTS_SUPPORT_RING_ACTIONS_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

#include "ringbuf/packet_ranges.h"
#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"
#include "ringbuf/ring_reader.h"
#include "ringbuf/ring_snapshot.h"
#include "ringbuf/ring_writer.h"
#include "ringbuf/whole_packet.h"

namespace vmbus::ring::testing {

inline void require(bool condition) {
  if (!condition) std::abort();
}

class RingActions {
 public:
  static constexpr std::uint32_t kCount = 22;

  explicit RingActions(const RingMemory& memory)
      : memory_(memory), begin_(memory.split(0, 0).first.data), buffer_(2 * memory.data_bytes()) {
    reopen(writer_);
    reopen(reader_);
    reopen(pipe_writer_);
    reopen(pipe_reader_);
    reopen(message_reader_);
  }

  // REQUIRES: action < kCount. `size` means bytes, a count or a limit, as the action likes it.
  void perform(std::uint32_t action, std::uint32_t size) {
    switch (action) {
      case 0:
        return settle(writer_, writer_.write({.transaction_id = size}, some_bytes(size)));
      case 1:
        return reserve(size);
      case 2:
        return static_cast<void>(writer_.commit());
      case 3:
        return static_cast<void>(writer_.publish());
      case 4:
        return writer_.revert();
      case 5:
        static_cast<void>(writer_.commit());
        return settle(writer_, writer_.request_space(size));
      case 6:
        return read_packet(size);
      case 7:
        return static_cast<void>(reader_.commit());
      case 8:
        static_cast<void>(reader_.commit());
        return settle(reader_, reader_.prepare_to_sleep());
      case 9:
        return reader_.mask_interrupts();
      case 10:
        return write_batch(size);
      case 11:
        return write_fin_or_message(size);
      case 12:
        return read_batch(size);
      case 13:
        return settle(pipe_reader_, pipe_reader_.read(std::span(buffer_).first(cut(size))));
      case 14:
        return settle(message_reader_,
                      message_reader_.read_message(std::span(buffer_).first(cut(size))));
      case 15:
        return look();
      case 16:
        return write_whole(size);
      case 17:
        return read_whole(size);
      case 18:
        return read_turn(size);
      case 19:
        return skip_packet();
      case 20:
        return resume_pipe_reader();
      default:
        return request_room(size);
    }
  }

 private:
  std::size_t cut(std::uint32_t size) const { return size % buffer_.size(); }
  std::span<const std::byte> some_bytes(std::uint32_t size) const {
    return std::span(buffer_).first(cut(size));
  }

  template <typename End>
  void reopen(End& end) {
    auto opened = End::open(memory_);
    if (!opened) {
      memory_.write_index().store_relaxed(0);
      memory_.read_index().store_relaxed(0);
      opened = End::open(memory_);
    }
    // Somebody may be at work on the words this very moment; then the old end goes on.
    if (opened) end = std::move(*opened);
  }

  template <typename End, typename T>
  void settle(End& end, const Result<T, RingError>& result) {
    if (!result && peer_lied(result.error())) reopen(end);
  }

  void require_inside(const Span& span) const {
    if (span.size == 0) return;
    require(span.data >= begin_ && span.size <= memory_.data_bytes());
    require(span.data + span.size <= begin_ + memory_.data_bytes());
  }

  void touch(std::span<const Span> spans, std::byte value) const {
    for (const Span& span : spans) {
      require_inside(span);
      for (std::size_t i = 0; i < span.size; i += 64) span.data[i] = value;
    }
  }

  void reserve(std::uint32_t size) {
    const std::array<std::uint64_t, 2> extension{
        std::bit_cast<std::uint64_t>(GpaDirectHeader{0, 1}), size};
    const auto slot =
        writer_.reserve({.type = PacketType::kDataGpaDirect, .extension = extension}, size);
    if (slot) touch(std::array{slot->first, slot->second}, std::byte{0x5A});
    settle(writer_, slot);
  }

  void read_packet(std::uint32_t set_bytes) {
    const auto packet = reader_.next();
    if (!packet) return settle(reader_, packet);
    require(packet->total_bytes <= memory_.capacity());
    require(packet->extension_bytes + packet->payload_bytes + kDescriptorBytes + kTrailerBytes ==
            packet->total_bytes);
    const SplitSpan payload = memory_.split(packet->payload_index, packet->payload_bytes);
    require_inside(payload.first);
    require_inside(payload.second);
    walk_gpa_ranges(*packet);
    walk_transfer_ranges(*packet, set_bytes);
    reader_.release(*packet);
  }

  void walk_gpa_ranges(const PacketView& packet) const {
    auto ranges = GpaRanges::of(memory_, packet);
    if (!ranges) return;
    std::uint64_t pages = 0;
    while (!ranges->done()) {
      const auto range = ranges->next();
      if (!range) return;
      require(range->byte_offset < kPageBytes && range->byte_count != 0);
      pages += range->page_count;
      require(pages * kWordBytes < packet.extension_bytes);
      static_cast<void>(ranges->page_number(*range, range->page_count - 1));
    }
  }

  void walk_transfer_ranges(const PacketView& packet, std::uint32_t set_bytes) const {
    auto ranges = TransferRanges::of(memory_, packet, set_bytes);
    if (!ranges) return;
    while (!ranges->done()) {
      const auto range = ranges->next();
      if (!range) return;
      require(std::uint64_t{range->byte_offset} + range->byte_count <= set_bytes);
    }
  }

  void write_batch(std::uint32_t size) {
    if (pipe_writer_.fin_written()) reopen(pipe_writer_);
    if (pipe_writer_.fin_written()) return;
    const auto batch =
        pipe_writer_.prepare_batch(size & 0xFFFF, size >> 8, std::span(spans_).first(size % 40));
    if (!batch) return settle(pipe_writer_, batch);
    touch(std::span(spans_).first(batch->span_count), std::byte{0xA5});
    pipe_writer_.finish_batch(batch->bytes == 0 ? 0 : size % (batch->bytes + 1));
    static_cast<void>(pipe_writer_.commit());
    settle(pipe_writer_, pipe_writer_.request_space(size));
  }

  void write_fin_or_message(std::uint32_t size) {
    if (size % 4 == 0) {
      settle(pipe_writer_, pipe_writer_.write_fin());
    } else {
      settle(pipe_writer_, pipe_writer_.write_message(some_bytes(size)));
    }
    static_cast<void>(pipe_writer_.commit());
  }

  void read_batch(std::uint32_t size) {
    const auto batch =
        pipe_reader_.gather_batch(gathered_, std::span(spans_).first(size % 40), size >> 4);
    if (!batch) return settle(pipe_reader_, batch);
    std::size_t bytes = 0;
    for (const Span& span : std::span(spans_).first(batch->span_count)) {
      require_inside(span);
      bytes += span.size;
    }
    require(bytes == batch->bytes && bytes <= size >> 4 && bytes < memory_.data_bytes());
    pipe_reader_.consume(gathered_, bytes == 0 ? 0 : size % (bytes + 1));
    if (pipe_reader_.at_fin()) pipe_reader_.consume_fin();
    static_cast<void>(pipe_reader_.commit());
    if (pipe_reader_.ended()) return reopen(pipe_reader_);
    settle(pipe_reader_, pipe_reader_.prepare_to_sleep());
  }

  // ---- by turns (lane.h): nothing but a position is handed on, and a liar can write that, too

  void write_whole(std::uint32_t size) {
    const std::uint32_t most = max_stream_payload_bytes(memory_.data_bytes());
    static_cast<void>(write_whole_packet(memory_, std::span(buffer_).first(size % most + 1)));
  }

  // Into a buffer of exactly that size, so that AddressSanitizer sees one byte too far.
  void read_whole(std::uint32_t size) {
    std::vector<std::byte> to(cut(size));
    const WholePacket packet = read_whole_packet(memory_, position_, to, size % 2 == 0);
    require(packet.data_bytes <= to.size());
    if (packet.data_bytes == 0) return;
    require(is_valid_index(packet.before, memory_.data_bytes()));
    require(is_valid_index(packet.after.index, memory_.data_bytes()));
    position_ = packet.after;
    if (size % 3 != 0) {
      static_cast<void>(release_room(memory_, packet.before, packet.after.index));
    }
  }

  void end_turn(ReadTurn& turn, bool drains) {
    position_ = turn.position();
    require(is_valid_index(position_.index, memory_.data_bytes()));
    static_cast<void>(drains ? turn.commit_if_drained() : turn.commit());
  }

  void read_turn(std::uint32_t size) {
    auto turn = ReadTurn::begin(memory_, position_);
    if (!turn) return move_position(size);
    std::vector<std::byte> to(cut(size));
    const auto length = turn->read(to, size % 2 == 0);
    require(!length || *length <= to.size());
    require(turn->readable_bytes() < memory_.data_bytes());
    require(turn->packet_bytes_left() <= kMaxPipePayloadBytes);
    if (length) end_turn(*turn, size % 3 == 0);
    if (size % 7 == 0) move_position(size);
  }

  void skip_packet() {
    auto turn = ReadTurn::begin(memory_, position_);
    if (turn.ok() && turn->skip_packet().ok()) end_turn(*turn, false);
  }

  // Near the ring's index, so that it is often ahead of it by a few words.
  void move_position(std::uint32_t size) {
    position_ = {memory_.read_index().load_relaxed() + size % 64 * 4, size % 5};
  }

  void resume_pipe_reader() {
    const auto resumed = pipe_reader_.resume(position_);
    if (!resumed) return settle(pipe_reader_, resumed);
    require(is_valid_index(pipe_reader_.position().index, memory_.data_bytes()));
  }

  void request_room(std::uint32_t size) {
    static_cast<void>(pipe_writer_.commit());
    settle(pipe_writer_, pipe_writer_.request_room(size));
  }

  void look() {
    require(pipe_reader_.readable_bytes() < memory_.data_bytes());
    const RingSnapshot shot = snapshot(memory_);
    require(!shot.valid || shot.used_bytes + shot.free_bytes == memory_.capacity());
  }

  RingMemory memory_;
  std::byte* begin_;
  std::vector<std::byte> buffer_;
  std::array<Span, 40> spans_{};
  PipeReader::Gathered gathered_{};
  ReadPosition position_;
  RingWriter writer_;
  RingReader reader_;
  PipeWriter pipe_writer_;
  PipeReader pipe_reader_;
  PipeReader message_reader_;
};

}  // namespace vmbus::ring::testing

#endif  // VMBUS_TESTS_SUPPORT_RING_ACTIONS_H_
