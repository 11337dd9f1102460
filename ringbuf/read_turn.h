// ReadTurn: one reader's turn at a byte pipe that several read by turns.
//
// Who takes turns must exclude the others meanwhile (emu/protocol/lane.h). Nothing is carried over but
// what the ring holds and a ReadPosition, which the turns hand on; so a turn that is never finished
// has not happened, and a PipeReader may have the next one.
//
// Trust       RingReader's. The position comes from memory that a liar can write, so it is checked.
// Never       Blocks, allocates, throws, or makes a system call.
// Contract    docs/lanes.md
#ifndef VMBUS_RINGBUF_READ_TURN_H_
#define VMBUS_RINGBUF_READ_TURN_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "ringbuf/pipe.h"
#include "ringbuf/ring_reader.h"

namespace vmbus::ring {

// Where the last reader stopped: at the packet at `index`, of which so many bytes are taken. It may be
// ahead of the ring's read_index: what lies between is read, and its room not yet given back.
struct ReadPosition {
  std::uint32_t index = 0;
  std::uint32_t taken_bytes = 0;

  std::uint32_t taken_at(std::uint32_t read_index) const {
    return index == read_index ? taken_bytes : 0;
  }
};

// The packet `skip_bytes` after the reader's index.
Result<PipePacket, RingError> stream_packet_at(const RingReader& reader, std::uint32_t skip_bytes);
// The packet at the reader's index, of which `taken_bytes` are gone. kPositionInvalid: it has no more.
Result<PipePacket, RingError> half_read_packet(RingReader& reader, std::uint32_t taken_bytes);

class ReadTurn {
 public:
  ReadTurn() = default;
  static Result<ReadTurn, RingError> begin(const RingMemory& memory, ReadPosition position);

  // Copies what is there; stops behind a packet if asked to. 0: nothing is there, or at_fin(). A bad
  // packet behind good ones is the next turn's to report.
  Result<std::size_t, RingError> read(std::span<std::byte> to, bool one_packet);
  // The stream's end is the next thing in the ring.
  bool at_fin() const { return at_fin_; }

  // Where the data of the packet at hand lie, if that is whole, and all that the ring holds. Empty otherwise.
  SplitSpan only_packet();

  // Steps over the packet at hand, whatever is taken of it.
  Result<void, RingError> skip_packet();

  // Gives the space of whole packets back, which ends the turn. True: the writer must be signalled.
  // The position is to be published before: the index it names is not yet the ring's.
  [[nodiscard]] bool commit() { return ring_.commit(); }
  // Does so only if nothing more is there, as Linux' hv_sock does.
  [[nodiscard]] bool commit_if_drained() {
    const auto more = has_data();
    return more && !*more && ring_.commit();
  }
  ReadPosition position() const { return {ring_.index(), taken_bytes_}; }

  // RingReader's. REQUIRES: committed.
  Result<bool, RingError> prepare_to_sleep() { return ring_.prepare_to_sleep(); }

  // Data bytes that could be read, as far as the packets are good. Walks them all.
  std::uint32_t readable_bytes();
  // The same, of the packet at hand alone.
  std::uint32_t packet_bytes_left();
  // Is anything there, as far as the writer's index says?
  Result<bool, RingError> has_data();

 private:
  explicit ReadTurn(RingReader ring) : ring_(std::move(ring)) {}

  RingReader ring_;
  std::uint32_t taken_bytes_ = 0;
  bool at_fin_ = false;
};

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_READ_TURN_H_
