#include "ringbuf/pipe.h"

#include <algorithm>
#include <array>
#include <bit>

namespace vmbus::ring {

namespace {

struct DataRange {
  std::uint32_t offset = 0;  // after the pipe header
  std::uint32_t length = 0;
};

Result<DataRange, RingError> data_range(const PipeHeader& header, PipeKind kind) {
  switch (PipePacketType{header.type}) {
    case PipePacketType::kData:
      return DataRange{0, header.length};
    case PipePacketType::kPartial: {
      if (kind == PipeKind::kMessage) break;
      const std::uint32_t total = header.length & 0xFFFF;
      const std::uint32_t taken = header.length >> 16;
      if (taken >= total) return Failure{RingError::kPartialOffsetTooLarge};
      return DataRange{taken, total - taken};
    }
  }
  return Failure{RingError::kUnknownPipeType};
}

}  // namespace

void lay_out_pipe_packet(const RingMemory& memory, std::uint32_t start,
                         std::uint32_t payload_bytes) {
  const auto length8 =
      static_cast<std::uint16_t>((kPipePayloadOffset + align8(payload_bytes)) / kWordBytes);
  const PacketDescriptor descriptor{static_cast<std::uint16_t>(PacketType::kDataInBand),
                                    kDescriptorBytes / kWordBytes, length8, 0, 0};
  const auto words = std::bit_cast<std::array<std::uint64_t, 2>>(descriptor);
  const PipeHeader header{static_cast<std::uint32_t>(PipePacketType::kData), payload_bytes};
  memory.store_word(start, words[0]);
  memory.store_word(memory.advance(start, kWordBytes), words[1]);
  memory.store_word(memory.advance(start, kDescriptorBytes), std::bit_cast<std::uint64_t>(header));

  // The data may be there already, so only the padding is zeroed; it ends at a word, so it never
  // wraps.
  const std::uint32_t data_index = memory.advance(start, kPipePayloadOffset);
  if (const std::uint32_t padding = align8(payload_bytes) - payload_bytes; padding != 0) {
    const Span pad = memory.split(memory.advance(data_index, payload_bytes), padding).first;
    std::fill_n(pad.data, pad.size, std::byte{0});
  }
  memory.store_word(memory.advance(data_index, align8(payload_bytes)),
                    std::bit_cast<std::uint64_t>(Trailer{0, start}));
}

std::uint32_t add_spans(const SplitSpan& area, std::span<Span> spans, Batch& batch) {
  spans[batch.span_count++] = area.first;
  std::size_t added = area.first.size;
  if (area.second.size != 0 && batch.span_count < spans.size()) {
    spans[batch.span_count++] = area.second;
    added += area.second.size;
  }
  batch.bytes += added;
  return static_cast<std::uint32_t>(added);
}

Result<PipePacket, RingError> parse_pipe_packet(const RingMemory& memory, const PacketView& packet,
                                                PipeKind kind) {
  if (packet.type != PacketType::kDataInBand) return Failure{RingError::kUnexpectedPacketType};
  if (packet.payload_bytes < kPipeHeaderBytes) return Failure{RingError::kPipeHeaderMissing};
  const auto header = std::bit_cast<PipeHeader>(memory.load_word(packet.payload_index));
  const auto range = data_range(header, kind);
  if (!range) return Failure{range.error()};
  const std::uint32_t end = range->offset + range->length;
  if (range->length > kMaxPipePayloadBytes || end > kMaxPipePayloadBytes) {
    return Failure{RingError::kPipeLengthAboveLimit};
  }
  if (end > packet.payload_bytes - kPipeHeaderBytes) {
    return Failure{RingError::kPipeLengthBeyondPacket};
  }
  return PipePacket{
      memory.advance(packet.payload_index, kPipeHeaderBytes + range->offset),
      range->length,
      packet.total_bytes,
  };
}

}  // namespace vmbus::ring
