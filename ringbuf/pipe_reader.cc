#include "ringbuf/pipe_reader.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace vmbus::ring {

Result<PipeReader, RingError> PipeReader::open(const RingMemory& memory, ReaderOptions options) {
  auto ring = RingReader::open(memory, options);
  if (!ring) return Failure{ring.error()};
  PipeReader reader;
  reader.ring_ = std::move(*ring);
  return reader;
}

Result<void, RingError> PipeReader::resume(ReadPosition position) {
  auto ring = RingReader::resume_at(memory(), position.index, ring_.options());
  if (!ring) return Failure{ring.error()};
  ring_ = std::move(*ring);
  first_ = 0;
  count_ = 0;
  fin_bytes_ = 0;
  taken_ = 0;
  const std::uint32_t taken = position.taken_at(ring_.index());
  if (taken == 0) return {};
  const auto packet = half_read_packet(ring_, taken);
  if (!packet) return Failure{packet.error()};
  head_ = *packet;
  taken_ = taken;
  return {};
}

// A half-consumed packet is not parsed again: its head has been in the peer's reach ever since.
Result<PipePacket, RingError> PipeReader::packet_at(std::uint32_t skip_bytes) const {
  if (skip_bytes == 0 && taken_ != 0) return head_;
  return stream_packet_at(ring_, skip_bytes);
}

Result<Batch, RingError> PipeReader::gather_batch(Gathered& gathered, std::span<Span> spans,
                                                  std::size_t max_bytes, std::size_t max_packets) {
  first_ = 0;
  count_ = 0;
  fin_bytes_ = 0;
  if (ended_) return Batch{};
  if (const auto refilled = ring_.refill(); !refilled) return Failure{refilled.error()};

  Batch batch;
  std::uint32_t skip = 0;
  while (skip < ring_.available_bytes() && count_ < max_packets) {
    const auto packet = packet_at(skip);
    if (!packet) {
      if (count_ == 0) return Failure{packet.error()};
      break;  // what came before it is good and goes out first
    }
    if (packet->is_fin()) {
      fin_bytes_ = packet->total_bytes;
      break;
    }
    if (batch.bytes == max_bytes || batch.span_count == spans.size()) break;
    const std::uint32_t taken = skip == 0 ? taken_ : 0;
    const std::uint32_t left = packet->data_bytes - taken;
    const auto wanted =
        static_cast<std::uint32_t>(std::min<std::size_t>(left, max_bytes - batch.bytes));
    gathered[count_++] = {packet->data_index, packet->data_bytes, packet->total_bytes};
    skip += packet->total_bytes;
    if (add_spans(memory().split(memory().advance(packet->data_index, taken), wanted), spans,
                  batch) < left) {
      break;
    }
  }
  return batch;
}

void PipeReader::consume(const Gathered& gathered, std::size_t bytes) {
  while (bytes != 0) {
    assert(first_ < count_);
    const GatheredPacket& packet = gathered[first_];
    const std::uint32_t left = packet.data_bytes - taken_;
    if (bytes < left) {
      head_ = {packet.data_index, packet.data_bytes, packet.total_bytes};
      taken_ += static_cast<std::uint32_t>(bytes);
      return;
    }
    bytes -= left;
    taken_ = 0;
    ring_.release_bytes(packet.total_bytes);
    ++first_;
  }
}

void PipeReader::consume_fin() {
  assert(at_fin());
  ring_.release_bytes(fin_bytes_);
  fin_bytes_ = 0;
  ended_ = true;
}

Result<std::size_t, RingError> PipeReader::read(std::span<std::byte> to) {
  std::size_t done = 0;
  std::array<Span, 16> spans;
  Gathered gathered;
  while (done < to.size()) {
    const auto batch = gather_batch(gathered, spans, to.size() - done);
    // A bad packet stays bad: the next read reports it.
    if (!batch && done == 0) return Failure{batch.error()};
    if (!batch || batch->bytes == 0) break;
    for (const Span& span : std::span(spans).first(batch->span_count)) {
      std::memcpy(to.data() + done, span.data, span.size);
      done += span.size;
    }
    consume(gathered, batch->bytes);
  }
  return done;
}

Result<std::size_t, RingError> PipeReader::read_message(std::span<std::byte> to) {
  const auto packet = ring_.next();
  if (!packet) return Failure{packet.error()};
  const auto message = parse_pipe_packet(memory(), *packet, PipeKind::kMessage);
  if (!message) return Failure{message.error()};
  if (message->data_bytes > to.size()) return Failure{RingError::kBufferTooSmall};
  copy_from(memory().split(message->data_index, message->data_bytes),
            to.first(message->data_bytes));
  ring_.release(*packet);
  return message->data_bytes;
}

std::uint32_t PipeReader::readable_bytes() {
  if (ended_ || !ring_.refill()) return 0;
  std::uint32_t readable = 0;
  for (std::uint32_t skip = 0; skip < ring_.available_bytes();) {
    const auto packet = packet_at(skip);
    if (!packet || packet->is_fin()) break;
    readable += packet->data_bytes;
    skip += packet->total_bytes;
  }
  return readable - taken_;
}

}  // namespace vmbus::ring
