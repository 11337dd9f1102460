#include "ringbuf/ring_writer.h"

#include <algorithm>
#include <cassert>

namespace vmbus::ring {

Result<RingWriter, RingError> RingWriter::open(const RingMemory& memory) {
  auto writer = resume(memory);
  if (!writer) return writer;
  memory.pending_send_size().store_relaxed(0);
  memory.feature_bits().store_relaxed(kFeaturePendingSendSize);
  return writer;
}

Result<RingWriter, RingError> RingWriter::resume(const RingMemory& memory) {
  const auto indices = load_indices(memory);
  if (!indices) return Failure{indices.error()};
  return RingWriter(memory, *indices);
}

RingWriter::RingWriter(const RingMemory& memory, const RingIndices& indices)
    : memory_(memory),
      next_(indices.write_index),
      committed_(indices.write_index),
      cached_read_index_(indices.read_index) {}

std::uint32_t RingWriter::distance_to_next(std::uint32_t from) const {
  return distance(from, next_, memory_.data_bytes());
}

std::uint32_t RingWriter::free_at_next() const {
  return free_bytes(next_, cached_read_index_, memory_.data_bytes());
}

Result<void, RingError> RingWriter::refresh_read_index() {
  // SYNC(ring.release): acquires; pairs with the store in RingReader::commit(). The room it shows
  // may be overwritten, because the reader finished with those bytes before it stored the index.
  // SYNC(ring.space): in request_space() this is the load after the store of pending_send_size. It
  // is seq_cst for that; see there.
  const auto loaded = check_read_index(memory_.read_index().load_seq_cst(), memory_.data_bytes());
  if (!loaded) return Failure{loaded.error()};
  const std::uint32_t used = distance_to_next(*loaded);
  if (used > distance_to_next(cached_read_index_)) return Failure{RingError::kReadIndexMovedBack};
  if (used < distance_to_next(committed_)) return Failure{RingError::kReadIndexAhead};
  cached_read_index_ = *loaded;
  return {};
}

Result<std::uint32_t, RingError> RingWriter::room(std::uint32_t wanted) {
  if (free_at_next() < wanted) {
    if (const auto refreshed = refresh_read_index(); !refreshed) return Failure{refreshed.error()};
  }
  return free_at_next();
}

Result<SplitSpan, RingError> RingWriter::reserve(const PacketHeader& header,
                                                 std::uint32_t payload_bytes) {
  const std::uint64_t total = packet_bytes(header.extension.size(), payload_bytes);
  if (total > memory_.capacity() || total - kTrailerBytes > kMaxLength8 * kWordBytes) {
    return Failure{RingError::kPacketTooLarge};
  }
  const auto bytes = static_cast<std::uint32_t>(total);
  const auto free = room(bytes);
  if (!free) return Failure{free.error()};
  if (*free < bytes) return Failure{RingError::kFull};
  const SplitSpan payload = lay_out_packet(memory_, next_, header, payload_bytes);
  stage(bytes);
  return payload;
}

Result<void, RingError> RingWriter::write(const PacketHeader& header,
                                          std::span<const std::byte> payload) {
  if (payload.size() > memory_.capacity()) return Failure{RingError::kPacketTooLarge};
  const auto reserved = reserve(header, static_cast<std::uint32_t>(payload.size()));
  if (!reserved) return Failure{reserved.error()};
  copy_into(*reserved, payload);
  return {};
}

void RingWriter::stage(std::uint32_t bytes) {
  assert(is_word_aligned(bytes) && bytes <= free_at_next());
  // We got what we waited for. The store may be seen late: that is one needless signal.
  if (pending_send_size_ != 0) {
    pending_send_size_ = 0;
    memory_.pending_send_size().store_relaxed(0);
  }
  next_ = memory_.advance(next_, bytes);
}

void RingWriter::publish_staged() {
  const std::uint32_t batch_bytes = distance_to_next(committed_);
  if (batch_bytes == 0) return;
  last_batch_bytes_ = batch_bytes;
  unsignalled_bytes_ += batch_bytes;
  committed_ = next_;
  // SYNC(ring.publish): releases; pairs with RingReader::refill(). A reader that sees the new index
  // sees every byte written before it.
  // SYNC(ring.wake): seq_cst store, then the seq_cst loads of reader_must_be_signalled(); pairs
  // with the mirror image (mask, then index) in RingReader::prepare_to_sleep(). Weaker orders let
  // each side miss the other's store, and the reader sleeps on a packet that nobody announces.
  memory_.write_index().store_seq_cst(next_);
}

bool RingWriter::publish() {
  // Once a quarter ring stands unannounced, waiting longer would only stall the reader.
  publish_staged();
  return unsignalled_bytes_ >= memory_.data_bytes() / 4 && reader_must_be_signalled();
}

bool RingWriter::commit() {
  publish_staged();
  return unsignalled_bytes_ != 0 && reader_must_be_signalled();
}

// A sleeping reader found the ring empty at an index where one of our batches began. Of the batches
// not yet answered for, the first began unsignalled_bytes_ ago and the last last_batch_bytes_ ago.
// With one batch the two are equal, and the rule reads "its index is where my batch begins".
// Looking only at the last batch loses a wake-up when the reader consumed an earlier one and fell
// asleep.
bool RingWriter::reader_must_be_signalled() {
  const std::uint32_t unsignalled_bytes = unsignalled_bytes_;
  unsignalled_bytes_ = 0;
  // SYNC(ring.wake): the loads after the store. A mask of 0 was stored after the reader's last
  // store of its index, so the index loaded second is the one it sleeps at.
  if (memory_.interrupt_mask().load_seq_cst() != 0) return false;
  const std::uint32_t read_index = memory_.read_index().load_seq_cst();
  if (!is_valid_index(read_index, memory_.data_bytes())) return false;
  const std::uint32_t unread_bytes = distance(read_index, committed_, memory_.data_bytes());
  return unread_bytes >= last_batch_bytes_ && unread_bytes <= unsignalled_bytes;
}

Result<void, RingError> RingWriter::set_pending_send_size(std::uint32_t bytes) {
  if (bytes > memory_.capacity()) return Failure{RingError::kPacketTooLarge};
  pending_send_size_ = align8(bytes);
  // SYNC(ring.space): seq_cst store, then the load of read_index in refresh_read_index(); pairs
  // with the mirror image (index, then pending size) in RingReader::commit(). Weaker orders let the
  // reader miss the request while we miss the room, and we sleep beside a ring with space in it.
  memory_.pending_send_size().store_seq_cst(pending_send_size_);
  return {};
}

Result<bool, RingError> RingWriter::request_space(std::uint32_t bytes) {
  assert(!has_staged() && unsignalled_bytes_ == 0);
  const auto asked = set_pending_send_size(std::max(bytes, memory_.capacity() / 4));
  if (!asked) return Failure{asked.error()};
  if (const auto refreshed = refresh_read_index(); !refreshed) return Failure{refreshed.error()};
  if (free_at_next() < align8(bytes)) return false;
  pending_send_size_ = 0;
  memory_.pending_send_size().store_relaxed(0);
  return true;
}

}  // namespace vmbus::ring
