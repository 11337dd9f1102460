#include "ringbuf/read_turn.h"

#include <algorithm>
#include <utility>

namespace vmbus::ring {

Result<PipePacket, RingError> stream_packet_at(const RingReader& reader, std::uint32_t skip_bytes) {
  const auto packet = reader.peek(skip_bytes);
  if (!packet) return Failure{packet.error()};
  return parse_pipe_packet(reader.memory(), *packet, PipeKind::kByte);
}

Result<PipePacket, RingError> half_read_packet(RingReader& reader, std::uint32_t taken_bytes) {
  if (const auto refilled = reader.refill(); !refilled) return Failure{refilled.error()};
  if (reader.available_bytes() == 0) return Failure{RingError::kPositionInvalid};
  const auto parsed = stream_packet_at(reader, 0);
  if (parsed.ok() && taken_bytes >= parsed->data_bytes) return Failure{RingError::kPositionInvalid};
  return parsed;
}

Result<ReadTurn, RingError> ReadTurn::begin(const RingMemory& memory, ReadPosition position) {
  auto ring = RingReader::resume_at(memory, position.index);
  if (!ring) return Failure{ring.error()};
  ReadTurn turn(std::move(*ring));
  const std::uint32_t taken = position.taken_at(turn.ring_.index());
  if (taken == 0) return turn;
  const auto packet = half_read_packet(turn.ring_, taken);
  if (!packet) return Failure{packet.error()};
  turn.taken_bytes_ = taken;
  return turn;
}

Result<std::size_t, RingError> ReadTurn::read(std::span<std::byte> to, bool one_packet) {
  if (const auto refilled = ring_.refill(); !refilled) return Failure{refilled.error()};
  std::size_t done = 0;
  while (done < to.size() && ring_.available_bytes() != 0) {
    const auto parsed = stream_packet_at(ring_, 0);
    if (!parsed && done == 0) return Failure{parsed.error()};
    if (!parsed) break;
    at_fin_ = parsed->is_fin();
    if (at_fin_) break;
    // The peer may have made it shorter since it was half read.
    if (taken_bytes_ >= parsed->data_bytes) return Failure{RingError::kPositionInvalid};
    const std::uint32_t left = parsed->data_bytes - taken_bytes_;
    const auto length = static_cast<std::uint32_t>(std::min<std::size_t>(left, to.size() - done));
    copy_from(
        ring_.memory().split(ring_.memory().advance(parsed->data_index, taken_bytes_), length),
        to.subspan(done, length));
    done += length;
    taken_bytes_ += length;
    if (length < left) break;
    ring_.release_bytes(parsed->total_bytes);
    taken_bytes_ = 0;
    if (one_packet) break;
  }
  return done;
}

SplitSpan ReadTurn::only_packet() {
  if (taken_bytes_ != 0 || !ring_.refill() || ring_.available_bytes() == 0) return {};
  const auto parsed = stream_packet_at(ring_, 0);
  if (!parsed || parsed->is_fin() || parsed->total_bytes != ring_.available_bytes()) return {};
  return ring_.memory().split(parsed->data_index, parsed->data_bytes);
}

Result<void, RingError> ReadTurn::skip_packet() {
  if (const auto refilled = ring_.refill(); !refilled) return Failure{refilled.error()};
  if (ring_.available_bytes() == 0) return Failure{RingError::kPositionInvalid};
  const auto parsed = stream_packet_at(ring_, 0);
  if (!parsed) return Failure{parsed.error()};
  ring_.release_bytes(parsed->total_bytes);
  taken_bytes_ = 0;
  return {};
}

std::uint32_t ReadTurn::packet_bytes_left() {
  if (!ring_.refill() || ring_.available_bytes() == 0) return 0;
  const auto parsed = stream_packet_at(ring_, 0);
  return parsed ? parsed->data_bytes - std::min(parsed->data_bytes, taken_bytes_) : 0;
}

std::uint32_t ReadTurn::readable_bytes() {
  if (!ring_.refill()) return 0;
  std::uint32_t readable = 0;
  for (std::uint32_t skip = 0; skip < ring_.available_bytes();) {
    const auto parsed = stream_packet_at(ring_, skip);
    if (!parsed || parsed->is_fin()) break;
    readable += parsed->data_bytes;
    skip += parsed->total_bytes;
  }
  return readable - std::min(readable, taken_bytes_);
}

Result<bool, RingError> ReadTurn::has_data() {
  if (const auto refilled = ring_.refill(); !refilled) return Failure{refilled.error()};
  return ring_.available_bytes() != 0;
}

}  // namespace vmbus::ring
