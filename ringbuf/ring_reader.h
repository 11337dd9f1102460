// RingReader: the consuming end of one ring.
//
//   released_             next_               cached_write_index_
//   |  read, kept back    |  known packets    |   ...            (cyclic)
//
// Threads     One reader at a time. The writer runs concurrently, maybe in another process.
// Trust       The peer may store anything, anywhere, at any time. Indices and packet heads are
//             loaded once and checked; a bad one is an error of its own, never undefined behaviour.
//             After an error for which peer_lied() holds the ring is not to be read any more.
// Invariants  (1) next_, released_ and cached_write_index_ are valid indices in this cyclic order.
//             (2) The writer may overwrite everything outside [released_, cached_write_index_).
// Never       Blocks, allocates, throws, or makes a system call.
// Contract    docs/ring.md
#ifndef VMBUS_RINGBUF_RING_READER_H_
#define VMBUS_RINGBUF_RING_READER_H_

#include <cstdint>

#include "ringbuf/packet.h"
#include "ringbuf/result.h"
#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

struct ReaderOptions {
  // A Linux reader tells the writer of space only when the writer's feature bit 0 is set. Others,
  // and we, take a nonzero pending_send_size as request enough.
  bool require_feature_bit = false;
};

// Does the step from `before` to `after` make the room that the writer waits for?
bool crosses_wanted_room(const RingMemory& memory, std::uint32_t before, std::uint32_t after,
                         std::uint32_t wanted);
// Moves read_index from `before` to `after`, which gives the room between them back. True: the writer
// must be signalled. RingReader::commit() for whoever keeps the indices himself.
// SYNC(ring.release): releases; pairs with RingWriter::refresh_read_index(). All our loads of the
// freed bytes come before it; the writer may overwrite them right after.
// SYNC(ring.space): seq_cst store, then seq_cst loads; pairs with the mirror image (pending size,
// then index) in RingWriter::request_space().
[[nodiscard]] inline bool release_room(const RingMemory& memory, std::uint32_t before,
                                       std::uint32_t after) {
  memory.read_index().store_seq_cst(after);
  // Some peers store "size - 1": the low bits do not count. More than the ring can hold is never met.
  const std::uint32_t wanted = align8_down(memory.pending_send_size().load_seq_cst());
  return wanted != 0 && crosses_wanted_room(memory, before, after, wanted);
}

class RingReader {
 public:
  RingReader() = default;
  RingReader(RingReader&&) = default;
  RingReader& operator=(RingReader&&) = default;
  RingReader(const RingReader&) = delete;  // two readers of one ring would release for each other
  RingReader& operator=(const RingReader&) = delete;

  // Goes on at the indices the ring holds; starts with interrupts masked.
  static Result<RingReader, RingError> open(const RingMemory& memory, ReaderOptions options = {});
  // Goes on at the indices the ring holds, as open(), but stores nothing: for those who work a ring by
  // turns, and may find the mask as the last one left it.
  static Result<RingReader, RingError> resume(const RingMemory& memory, ReaderOptions options = {});
  // The same, but what lies before `index` counts as released and not yet committed. An index that is
  // not in the ring's used part is as good as none.
  static Result<RingReader, RingError> resume_at(const RingMemory& memory, std::uint32_t index,
                                                 ReaderOptions options = {});

  // The oldest packet that is not released, or kEmpty. Its bytes stay valid until commit().
  Result<PacketView, RingError> next();
  // Steps over it, privately.  REQUIRES: `packet` is what next() gave last.
  void release(const PacketView& packet);

  // Gives the space of all released packets back. True: the caller must signal the writer now.
  [[nodiscard]] bool commit();

  // Unmasks interrupts and looks again. True: the ring is empty, the caller may sleep until
  // signalled. REQUIRES: everything released is committed; the writer signals only a reader it
  // knows to be done.
  Result<bool, RingError> prepare_to_sleep();
  // "I am awake and will look again before I sleep": saves the writer its signals. Optional.
  void mask_interrupts();

  // For framings that look at several packets before they release any (pipe_reader.cc): take note
  // of what the writer published, parse the packet `skip_bytes` after next_, release some bytes.
  Result<void, RingError> refill();
  std::uint32_t available_bytes() const;
  Result<PacketView, RingError> peek(std::uint32_t skip_bytes) const;
  void release_bytes(std::uint32_t bytes);

  const RingMemory& memory() const { return memory_; }
  ReaderOptions options() const { return options_; }
  bool has_uncommitted() const { return next_ != released_; }
  // Where the oldest packet that is not released starts.
  std::uint32_t index() const { return next_; }

 private:
  RingReader(const RingMemory& memory, const RingIndices& indices, ReaderOptions options);

  Result<void, RingError> accept_write_index(std::uint32_t loaded);

  RingMemory memory_;
  ReaderOptions options_;
  std::uint32_t next_ = 0;
  std::uint32_t released_ = 0;  // what read_index says
  std::uint32_t cached_write_index_ = 0;
  bool masked_ = true;
};

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_RING_READER_H_
