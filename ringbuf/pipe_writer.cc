#include "ringbuf/pipe_writer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

namespace vmbus::ring {

namespace {

// Room to look for: enough for `bytes` of data in packets of `payload` bytes, and for a FIN.
std::uint32_t room_wanted(std::size_t bytes, std::uint32_t payload, std::uint32_t capacity) {
  const std::size_t packets = bytes / payload + 1;
  const std::size_t wanted = bytes + packets * (kPipeOverheadBytes + kWordBytes) + kFinBytes;
  return static_cast<std::uint32_t>(std::min<std::size_t>(wanted, capacity));
}

}  // namespace

Result<PipeWriter, RingError> PipeWriter::over(Result<RingWriter, RingError> ring) {
  if (!ring) return Failure{ring.error()};
  PipeWriter writer;
  writer.ring_ = std::move(*ring);
  return writer;
}

Result<PipeWriter, RingError> PipeWriter::open(const RingMemory& memory) {
  return over(RingWriter::open(memory));
}

Result<PipeWriter, RingError> PipeWriter::resume(const RingMemory& memory) {
  return over(RingWriter::resume(memory));
}

std::uint32_t PipeWriter::cut_payload(std::uint32_t payload_bytes) const {
  return std::clamp(payload_bytes, 1U, max_stream_payload_bytes(memory().data_bytes()));
}

Result<Batch, RingError> PipeWriter::prepare_batch(std::uint32_t max_packet_payload,
                                                   std::size_t max_bytes, std::span<Span> spans) {
  assert(!fin_written_);
  batch_payload_bytes_ = cut_payload(max_packet_payload);
  batch_bytes_ = 0;
  const auto found = ring_.room(room_wanted(max_bytes, batch_payload_bytes_, memory().capacity()));
  if (!found) return Failure{found.error()};
  std::uint32_t room = *found - std::min(*found, kFinBytes);

  Batch batch;
  std::uint32_t start = ring_.next_index();
  while (room > kPipeOverheadBytes && batch.bytes < max_bytes && batch.span_count < spans.size()) {
    const std::size_t wanted = std::min<std::size_t>(batch_payload_bytes_, max_bytes - batch.bytes);
    const auto payload =
        static_cast<std::uint32_t>(std::min<std::size_t>(wanted, room - kPipeOverheadBytes));
    const SplitSpan area = memory().split(memory().advance(start, kPipePayloadOffset), payload);
    // Out of spans within a packet: it is the last one, and short.
    if (add_spans(area, spans, batch) < payload) break;
    room -= pipe_packet_bytes(payload);
    start = memory().advance(start, pipe_packet_bytes(payload));
  }
  batch_bytes_ = batch.bytes;
  return batch;
}

void PipeWriter::finish_batch(std::size_t bytes) {
  assert(bytes <= batch_bytes_);
  batch_bytes_ = 0;
  while (bytes != 0) {
    const std::size_t payload = std::min<std::size_t>(bytes, batch_payload_bytes_);
    stage_packet(static_cast<std::uint32_t>(payload));
    bytes -= payload;
  }
}

void PipeWriter::stage_packet(std::uint32_t payload_bytes) {
  lay_out_pipe_packet(memory(), ring_.next_index(), payload_bytes);
  ring_.stage(pipe_packet_bytes(payload_bytes));
}

Result<std::size_t, RingError> PipeWriter::write(std::span<const std::byte> data,
                                                 std::uint32_t max_packet_payload) {
  std::size_t written = 0;
  std::array<Span, 16> spans;
  while (written < data.size()) {
    const auto batch = prepare_batch(max_packet_payload, data.size() - written, spans);
    if (!batch) return Failure{batch.error()};
    if (batch->bytes == 0) break;
    for (const Span& span : std::span(spans).first(batch->span_count)) {
      std::memcpy(span.data, data.data() + written, span.size);
      written += span.size;
    }
    finish_batch(batch->bytes);
  }
  return written;
}

Result<void, RingError> PipeWriter::write_fin() {
  if (fin_written_) return {};
  const auto room = ring_.room(kFinBytes);
  if (!room) return Failure{room.error()};
  if (*room < kFinBytes) return Failure{RingError::kFull};
  stage_packet(0);
  fin_written_ = true;
  return {};
}

Result<void, RingError> PipeWriter::write_message(std::span<const std::byte> message) {
  if (message.size() > max_message_bytes(memory().data_bytes())) {
    return Failure{RingError::kMessageTooLarge};
  }
  const auto payload_bytes = static_cast<std::uint32_t>(message.size());
  const auto room = ring_.room(pipe_packet_bytes(payload_bytes));
  if (!room) return Failure{room.error()};
  if (*room < pipe_packet_bytes(payload_bytes)) return Failure{RingError::kFull};
  const std::uint32_t data_index = memory().advance(ring_.next_index(), kPipePayloadOffset);
  copy_into(memory().split(data_index, payload_bytes), message);
  stage_packet(payload_bytes);
  return {};
}

Result<bool, RingError> PipeWriter::request_space(std::uint32_t payload_bytes) {
  return ring_.request_space(pipe_packet_bytes(cut_payload(payload_bytes)) + kFinBytes);
}

}  // namespace vmbus::ring
