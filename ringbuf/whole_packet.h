// One pipe packet in one step: what small messages nearly always are, for a fifth of the instructions.
//
// Only a packet that lies in one piece and was laid out as lay_out_pipe_packet() does it. Anything else
// (one that wraps, one half read, a full or empty ring, nonsense) is left to PipeWriter and ReadTurn,
// and nothing has happened then. Who takes turns excludes the others meanwhile, as for ReadTurn.
//
// Trust, Never   RingReader's.
#ifndef VMBUS_RINGBUF_WHOLE_PACKET_H_
#define VMBUS_RINGBUF_WHOLE_PACKET_H_

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "ringbuf/copy_way.h"
#include "ringbuf/fault_point.h"
#include "ringbuf/index.h"
#include "ringbuf/pipe.h"
#include "ringbuf/read_turn.h"
#include "ringbuf/ring_memory.h"
#include "ringbuf/ring_reader.h"

namespace vmbus::ring {

enum class WholeWrite : std::uint8_t {
  kNo,        // nothing was written
  kYes,       // it is there
  kYesSignal  // and the reader must be signalled
};

// The words of lay_out_pipe_packet().
constexpr std::uint64_t whole_packet_descriptor(std::uint32_t payload_bytes) {
  const std::uint64_t length8 = (kPipePayloadOffset + align8(payload_bytes)) / kWordBytes;
  return static_cast<std::uint64_t>(PacketType::kDataInBand) |
         std::uint64_t{kDescriptorBytes / kWordBytes} << 16 | length8 << 32;
}
constexpr std::uint64_t whole_packet_header(std::uint32_t payload_bytes) {
  return static_cast<std::uint64_t>(PipePacketType::kData) | std::uint64_t{payload_bytes} << 32;
}

// REQUIRES: not empty, at most max_stream_payload_bytes().
[[gnu::always_inline]] inline WholeWrite write_whole_packet(const RingMemory& memory,
                                                            std::span<const std::byte> data,
                                                            CopyWay way = CopyWay::kCached) {
  const std::uint32_t size = memory.data_bytes();
  const std::uint32_t start = memory.write_index().load_relaxed();
  // SYNC(ring.release): acquires, as in RingWriter::refresh_read_index().
  const std::uint32_t read_index = memory.read_index().load_acquire();
  const auto payload = static_cast<std::uint32_t>(data.size());
  const std::uint32_t bytes = pipe_packet_bytes(payload);
  if (!is_valid_index(start, size) || !is_valid_index(read_index, size) || size - start < bytes ||
      free_bytes(start, read_index, size) < bytes + kFinBytes) {
    return WholeWrite::kNo;
  }
  const std::uint32_t trailer = start + bytes - kTrailerBytes;
  memory.store_word(start, whole_packet_descriptor(payload));
  memory.store_word(start + kWordBytes, 0);
  memory.store_word(start + kDescriptorBytes, whole_packet_header(payload));
  memory.store_word(trailer - kWordBytes, 0);  // the padding, before the data
  memory.store_word(trailer, std::bit_cast<std::uint64_t>(Trailer{0, start}));
  VMBUS_FAULT(kWholeSendHead);
  copy(memory.span_at(start + kPipePayloadOffset), data.data(), payload, way);
  VMBUS_FAULT(kWholeSendCopied);
  // SYNC(ring.publish), SYNC(ring.wake): as in RingWriter::publish_staged() and
  // reader_must_be_signalled(), for a batch of one packet.
  memory.write_index().store_seq_cst(memory.advance(start, bytes));
  VMBUS_FAULT(kWholeSendPublished);
  const bool signal =
      memory.interrupt_mask().load_seq_cst() == 0 && memory.read_index().load_seq_cst() == start;
  return signal ? WholeWrite::kYesSignal : WholeWrite::kYes;
}

struct WholePacket {
  std::uint32_t data_bytes = 0;  // 0: there is none
  std::uint32_t before = 0;      // read_index, for release_room()
  ReadPosition after;            // to be published before it becomes read_index
};

// Copies the next packet if it is all that a receive into `to` has to take: it fits, and fills `to`, or is
// the last one there, or the receive ends with its packet.
[[gnu::always_inline]] inline WholePacket read_whole_packet(const RingMemory& memory,
                                                            ReadPosition position,
                                                            std::span<std::byte> to,
                                                            bool one_packet) {
  const std::uint32_t size = memory.data_bytes();
  const std::uint32_t start = memory.read_index().load_relaxed();
  // SYNC(ring.publish): acquires, as in RingReader::refill().
  const std::uint32_t write_index = memory.write_index().load_acquire();
  if (!is_valid_index(start, size) || !is_valid_index(write_index, size) ||
      position.index != start || position.taken_bytes != 0) {
    return {};
  }
  const std::uint32_t contiguous = std::min(distance(start, write_index, size), size - start);
  if (contiguous < kPipeOverheadBytes) return {};
  const std::uint64_t descriptor = memory.load_word(start);
  const std::uint64_t header = memory.load_word(start + kDescriptorBytes);
  const auto payload = static_cast<std::uint32_t>(header >> 32);
  if (payload == 0 || payload > to.size() || payload > kMaxPipePayloadBytes) return {};
  const std::uint32_t bytes = pipe_packet_bytes(payload);
  if (descriptor != whole_packet_descriptor(payload) || header != whole_packet_header(payload) ||
      bytes > contiguous) {
    return {};
  }
  const std::uint32_t after = memory.advance(start, bytes);
  if (payload < to.size() && !one_packet && after != write_index) return {};
  std::memcpy(to.data(), memory.span_at(start + kPipePayloadOffset), payload);
  VMBUS_FAULT(kWholeReceiveCopied);
  return {payload, start, {after, 0}};
}

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_WHOLE_PACKET_H_
