#include "ringbuf/ring_reader.h"

#include <cassert>

namespace vmbus::ring {

Result<RingReader, RingError> RingReader::open(const RingMemory& memory, ReaderOptions options) {
  auto reader = resume(memory, options);
  if (reader.ok()) memory.interrupt_mask().store_relaxed(1);
  return reader;
}

Result<RingReader, RingError> RingReader::resume(const RingMemory& memory, ReaderOptions options) {
  const auto indices = load_indices(memory);
  if (!indices) return Failure{indices.error()};
  return RingReader(memory, *indices, options);
}

Result<RingReader, RingError> RingReader::resume_at(const RingMemory& memory, std::uint32_t index,
                                                    ReaderOptions options) {
  auto reader = resume(memory, options);
  if (!reader || !is_valid_index(index, memory.data_bytes())) return reader;
  const std::uint32_t ahead = distance(reader->released_, index, memory.data_bytes());
  if (ahead <= reader->available_bytes()) reader->next_ = index;
  return reader;
}

RingReader::RingReader(const RingMemory& memory, const RingIndices& indices, ReaderOptions options)
    : memory_(memory),
      options_(options),
      next_(indices.read_index),
      released_(indices.read_index),
      cached_write_index_(indices.write_index) {}

std::uint32_t RingReader::available_bytes() const {
  return distance(next_, cached_write_index_, memory_.data_bytes());
}

Result<void, RingError> RingReader::accept_write_index(std::uint32_t loaded) {
  const auto write_index = check_write_index(loaded, memory_.data_bytes());
  if (!write_index) return Failure{write_index.error()};
  const std::uint32_t size = memory_.data_bytes();
  // An honest writer only adds: seen from released_, the index lies at or after the cached one.
  const std::uint32_t known = distance(released_, cached_write_index_, size);
  const std::uint32_t now = distance(released_, *write_index, size);
  if (now < known) {
    // Behind what was known, but is it in bytes that we still hold back?
    const bool in_held_bytes = now < distance(released_, next_, size);
    return Failure{in_held_bytes ? RingError::kWriteIndexOverrun : RingError::kWriteIndexMovedBack};
  }
  cached_write_index_ = *write_index;
  return {};
}

Result<void, RingError> RingReader::refill() {
  // SYNC(ring.publish): acquires; pairs with the store in RingWriter::publish_staged(). Without it
  // the bytes before the index could still be the old ones.
  return accept_write_index(memory_.write_index().load_acquire());
}

Result<PacketView, RingError> RingReader::next() {
  if (available_bytes() == 0) {
    if (const auto refilled = refill(); !refilled) return Failure{refilled.error()};
    if (available_bytes() == 0) return Failure{RingError::kEmpty};
  }
  return peek(0);
}

Result<PacketView, RingError> RingReader::peek(std::uint32_t skip_bytes) const {
  assert(skip_bytes <= available_bytes());
  return parse_packet(memory_, memory_.advance(next_, skip_bytes), available_bytes() - skip_bytes);
}

void RingReader::release(const PacketView& packet) {
  assert(packet.start_index == next_);
  release_bytes(packet.total_bytes);
}

void RingReader::release_bytes(std::uint32_t bytes) {
  assert(is_word_aligned(bytes) && bytes <= available_bytes());
  next_ = memory_.advance(next_, bytes);
}

bool crosses_wanted_room(const RingMemory& memory, std::uint32_t before, std::uint32_t after,
                         std::uint32_t wanted) {
  // SYNC(ring.space): the write index after the pending size. An older one would show more free
  // space than there was, and hide that this commit crossed the threshold.
  const std::uint32_t size = memory.data_bytes();
  const std::uint32_t write_index = memory.write_index().load_seq_cst();
  if (!is_valid_index(write_index, size)) return false;
  return free_bytes(write_index, before, size) < wanted &&
         free_bytes(write_index, after, size) >= wanted;
}

bool RingReader::commit() {
  if (next_ == released_) return false;
  const std::uint32_t before = released_;
  released_ = next_;
  const bool wanted = release_room(memory_, before, next_);
  const bool heeds = !options_.require_feature_bit ||
                     (memory_.feature_bits().load_relaxed() & kFeaturePendingSendSize) != 0;
  return wanted && heeds;
}

Result<bool, RingError> RingReader::prepare_to_sleep() {
  assert(!has_uncommitted());
  // Nobody but us may write this word; a peer that masks it would have us sleep for ever.
  if (!masked_ && memory_.interrupt_mask().load_relaxed() != 0) {
    return Failure{RingError::kInterruptsExternallyMasked};
  }
  masked_ = false;
  // SYNC(ring.wake): seq_cst store, then a seq_cst load; pairs with the mirror image (index, then
  // mask) in RingWriter::publish_staged(). Stored even when it is 0 already: the writer's load of
  // it is what orders our last store of read_index before the writer's decision.
  memory_.interrupt_mask().store_seq_cst(0);
  // SYNC(ring.publish): the same load also opens the packets it finds.
  if (const auto seen = accept_write_index(memory_.write_index().load_seq_cst()); !seen) {
    return Failure{seen.error()};
  }
  return available_bytes() == 0;
}

void RingReader::mask_interrupts() {
  if (masked_) return;
  masked_ = true;
  memory_.interrupt_mask().store_relaxed(1);
}

}  // namespace vmbus::ring
