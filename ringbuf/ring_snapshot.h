// RingSnapshot: what a tool sees of a ring it neither reads nor writes.
//
// Both ends may be at work meanwhile, so the words need not belong to one moment; bad indices show
// as valid == false, never as an error. For decisions inside the transport use RingWriter and
// RingReader.
#ifndef VMBUS_RINGBUF_RING_SNAPSHOT_H_
#define VMBUS_RINGBUF_RING_SNAPSHOT_H_

#include <cstdint>

#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

struct RingSnapshot {
  std::uint32_t data_bytes = 0;
  std::uint32_t write_index = 0;
  std::uint32_t read_index = 0;
  std::uint32_t interrupt_mask = 0;
  std::uint32_t pending_send_size = 0;
  std::uint32_t feature_bits = 0;
  bool valid = false;  // both indices are
  std::uint32_t used_bytes = 0;
  std::uint32_t free_bytes = 0;

  // Could the reader, or the writer, be asleep for want of a signal? For recovery, after an open or
  // when signals may have been lost: they say yes rather too often.
  bool reader_needs_signal() const { return valid && interrupt_mask == 0 && used_bytes != 0; }
  bool writer_needs_signal() const {
    const std::uint32_t pending = align8_down(pending_send_size);
    return valid && pending != 0 && free_bytes >= pending;
  }
};

inline RingSnapshot snapshot(const RingMemory& memory) {
  RingSnapshot shot;
  shot.data_bytes = memory.data_bytes();
  shot.write_index = memory.write_index().load_seq_cst();
  shot.read_index = memory.read_index().load_seq_cst();
  shot.interrupt_mask = memory.interrupt_mask().load_seq_cst();
  shot.pending_send_size = memory.pending_send_size().load_seq_cst();
  shot.feature_bits = memory.feature_bits().load_relaxed();
  shot.valid = is_valid_index(shot.write_index, shot.data_bytes) &&
               is_valid_index(shot.read_index, shot.data_bytes);
  if (shot.valid) {
    shot.used_bytes = distance(shot.read_index, shot.write_index, shot.data_bytes);
    shot.free_bytes = capacity_bytes(shot.data_bytes) - shot.used_bytes;
  }
  return shot;
}

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_RING_SNAPSHOT_H_
