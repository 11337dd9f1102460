// Pipe framing: the 8 bytes before the data of each packet that give its exact length.
//
// A byte pipe is a stream cut into DATA packets; one of length 0 is its end (FIN). A message pipe
// carries one message per DATA packet, and length 0 is an empty message. PARTIAL is what another
// implementation's reader leaves behind when it was stopped in mid-packet; we read it, never write
// it: our own progress is kept privately, where the peer cannot change it. Contract    docs/ring.md
#ifndef VMBUS_RINGBUF_PIPE_H_
#define VMBUS_RINGBUF_PIPE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ringbuf/packet.h"

namespace vmbus::ring {

enum class PipeKind : std::uint8_t { kByte, kMessage };

enum class PipePacketType : std::uint32_t {
  kData = 1,
  kPartial = 2,  // length: total in the low 16 bits, bytes already taken in the high 16
};

inline constexpr std::uint32_t kMaxPipePayloadBytes = 16384;

// Descriptor, pipe header, trailer: what a DATA packet costs beside its padded payload.
inline constexpr std::uint32_t kPipeOverheadBytes =
    kDescriptorBytes + kPipeHeaderBytes + kTrailerBytes;
inline constexpr std::uint32_t kPipePayloadOffset = kDescriptorBytes + kPipeHeaderBytes;
inline constexpr std::uint32_t kFinBytes = kPipeOverheadBytes;

constexpr std::uint32_t pipe_packet_bytes(std::uint32_t payload_bytes) {
  return kPipeOverheadBytes + align8(payload_bytes);
}
static_assert(pipe_packet_bytes(4088) == 4120 && pipe_packet_bytes(16384) == 16416);

constexpr std::uint32_t max_message_bytes(std::uint32_t data_bytes) {
  return std::min(kMaxPipePayloadBytes, capacity_bytes(data_bytes) - kPipeOverheadBytes);
}

// A byte pipe keeps room for its FIN, so that a full ring never holds up the end of a stream.
constexpr std::uint32_t max_stream_payload_bytes(std::uint32_t data_bytes) {
  return std::min(kMaxPipePayloadBytes,
                  capacity_bytes(data_bytes) - kPipeOverheadBytes - kFinBytes);
}

// Writes head, padding and trailer of one DATA packet around `payload_bytes` that stand, or will
// stand, at kPipePayloadOffset.  REQUIRES: the packet fits between `start` and the reader.
void lay_out_pipe_packet(const RingMemory& memory, std::uint32_t start,
                         std::uint32_t payload_bytes);

struct PipePacket {
  std::uint32_t data_index = 0;
  std::uint32_t data_bytes = 0;
  std::uint32_t total_bytes = 0;
  // In a byte pipe: the stream ends here.
  bool is_fin() const { return data_bytes == 0; }
};

// Consecutive pieces of a stream, in the front of the caller's array of spans.
struct Batch {
  std::size_t span_count = 0;
  std::size_t bytes = 0;
};

// Appends `area` to the batch as far as there are spans for it; returns the bytes added.
// REQUIRES: a span is left.
std::uint32_t add_spans(const SplitSpan& area, std::span<Span> spans, Batch& batch);

Result<PipePacket, RingError> parse_pipe_packet(const RingMemory& memory, const PacketView& packet,
                                                PipeKind kind);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_PIPE_H_
