// RingWriter: the producing end of one ring.
//
//   read_index        committed_          next_
//   |  not read yet   |  staged packets   |   free ...           (cyclic)
//
// Threads     One writer at a time. The reader runs concurrently, maybe in another process.
// Trust       The peer may store anything in the control page. Each index read from it is checked; a
//             bad one is an error of its own, never undefined behaviour.
// Invariants  (1) next_ and committed_ are valid indices; at most capacity() bytes lie
//                 between them.
//             (2) The reader cannot see bytes in [committed_, next_).
//             (3) cached_read_index_ is checked and never ahead of committed_.
// Never       Blocks, allocates, throws, or makes a system call.
// Contract    docs/ring.md
#ifndef VMBUS_RINGBUF_RING_WRITER_H_
#define VMBUS_RINGBUF_RING_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "ringbuf/packet.h"
#include "ringbuf/result.h"
#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

class RingWriter {
 public:
  RingWriter() = default;
  RingWriter(RingWriter&&) = default;
  RingWriter& operator=(RingWriter&&) = default;
  RingWriter(const RingWriter&) = delete;  // two writers of one ring would overwrite each other
  RingWriter& operator=(const RingWriter&) = delete;

  // Goes on at the indices the ring holds; sets the feature bit and clears pending_send_size.
  static Result<RingWriter, RingError> open(const RingMemory& memory);
  // Goes on at the indices the ring holds, but stores nothing: for those who work a ring by turns.
  static Result<RingWriter, RingError> resume(const RingMemory& memory);

  // Stages one packet and returns where its payload goes; fill that before commit(). kFull is
  // expected: commit, then request_space(). kPacketTooLarge can never be waited for.
  Result<SplitSpan, RingError> reserve(const PacketHeader& header, std::uint32_t payload_bytes);
  Result<void, RingError> write(const PacketHeader& header, std::span<const std::byte> payload);

  // Publishes the staged packets. True: the caller must signal the reader now.
  [[nodiscard]] bool commit();
  // The same, but leaves the signal to a later commit(), which then answers for all that was
  // published since the last answer. True: a quarter ring went unannounced, signal now. A caller
  // that publishes must commit() before it waits for anything.
  [[nodiscard]] bool publish();
  // Drops the staged packets.
  void revert() { next_ = committed_; }

  // To wait for `bytes` of room: true means there is room now, false that the reader has been asked
  // to signal and the caller may sleep, then ask again. The reader is asked for a quarter ring at
  // least, so that a slow one does not wake the writer for each small packet. REQUIRES: everything
  // staged is committed; the reader cannot free what it cannot see.
  Result<bool, RingError> request_space(std::uint32_t bytes);
  // The word alone, rounded up to 8; it stands until the next packet is staged. 0 stops the
  // signals.
  Result<void, RingError> set_pending_send_size(std::uint32_t bytes);

  // Bytes free at next_. Looks at the reader's index only when the known room is less than
  // `wanted`.
  Result<std::uint32_t, RingError> room(std::uint32_t wanted);

  // For framings that lay out packets themselves (pipe_writer.cc): where the next one starts, and
  // that `bytes` of complete packets now stand there.  REQUIRES: room() said so.
  std::uint32_t next_index() const { return next_; }
  void stage(std::uint32_t bytes);

  const RingMemory& memory() const { return memory_; }
  bool has_staged() const { return next_ != committed_; }

 private:
  RingWriter(const RingMemory& memory, const RingIndices& indices);

  Result<void, RingError> refresh_read_index();
  void publish_staged();
  bool reader_must_be_signalled();
  std::uint32_t free_at_next() const;
  std::uint32_t distance_to_next(std::uint32_t from) const;

  RingMemory memory_;
  std::uint32_t next_ = 0;
  std::uint32_t committed_ = 0;
  std::uint32_t cached_read_index_ = 0;
  std::uint32_t last_batch_bytes_ = 0;   // published by the latest publish_staged()
  std::uint32_t unsignalled_bytes_ = 0;  // published since the last signal decision
  std::uint32_t pending_send_size_ = 0;  // what we last stored
};

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_RING_WRITER_H_
