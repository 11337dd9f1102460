#include "ringbuf/packet.h"

#include <array>
#include <bit>
#include <cassert>
#include <cstring>

namespace vmbus::ring {

namespace {

using DescriptorWords = std::array<std::uint64_t, 2>;

PacketDescriptor load_descriptor(const RingMemory& memory, std::uint32_t start) {
  return std::bit_cast<PacketDescriptor>(DescriptorWords{
      memory.load_word(start), memory.load_word(memory.advance(start, kWordBytes))});
}

Result<void, RingError> check_lengths(const PacketDescriptor& descriptor, std::uint32_t available) {
  const std::uint32_t length_bytes = std::uint32_t{descriptor.length8} * kWordBytes;
  if (std::uint32_t{descriptor.data_offset8} * kWordBytes < kDescriptorBytes) {
    return Failure{RingError::kDataOffsetTooSmall};
  }
  if (descriptor.length8 < descriptor.data_offset8) {
    return Failure{RingError::kLengthBelowDataOffset};
  }
  if (length_bytes > available) return Failure{RingError::kLengthBeyondData};
  if (length_bytes + kTrailerBytes > available) return Failure{RingError::kTrailerBeyondData};
  return {};
}

Result<PacketType, RingError> check_type(const PacketDescriptor& descriptor) {
  if ((descriptor.flags & ~kFlagCompletionRequested) != 0) return Failure{RingError::kUnknownFlags};
  switch (PacketType{descriptor.type}) {
    case PacketType::kDataInBand:
    case PacketType::kDataTransferPages:
    case PacketType::kDataGpaDirect:
    case PacketType::kCompletion:
      return PacketType{descriptor.type};
  }
  return Failure{RingError::kUnknownPacketType};
}

// Fills in what the two extended packet types say before their ranges.
Result<void, RingError> parse_extension(const RingMemory& memory, PacketView& view) {
  const bool transfer_pages = view.type == PacketType::kDataTransferPages;
  if (!transfer_pages && view.type != PacketType::kDataGpaDirect) return {};
  if (view.extension_bytes < kWordBytes) return Failure{RingError::kMissingExtension};
  const std::uint64_t word = memory.load_word(view.extension_index);
  if (transfer_pages) {
    const auto header = std::bit_cast<TransferPagesHeader>(word);
    view.transfer_set_id = header.set_id;
    view.range_count = header.range_count;
    return {};
  }
  view.range_count = std::bit_cast<GpaDirectHeader>(word).range_count;
  if (view.range_count == 0) return Failure{RingError::kNoGpaRanges};
  return {};
}

}  // namespace

SplitSpan lay_out_packet(const RingMemory& memory, std::uint32_t start, const PacketHeader& header,
                         std::uint32_t payload_bytes) {
  const std::size_t data_offset8 = kDescriptorBytes / kWordBytes + header.extension.size();
  const std::size_t length8 = data_offset8 + align8(payload_bytes) / kWordBytes;
  assert(length8 <= kMaxLength8);
  const PacketDescriptor descriptor{
      static_cast<std::uint16_t>(header.type),
      static_cast<std::uint16_t>(data_offset8),
      static_cast<std::uint16_t>(length8),
      header.completion_requested ? kFlagCompletionRequested : std::uint16_t{0},
      header.transaction_id,
  };
  const auto words = std::bit_cast<DescriptorWords>(descriptor);
  std::uint32_t at = start;
  for (const std::uint64_t word : words) {
    memory.store_word(at, word);
    at = memory.advance(at, kWordBytes);
  }
  for (const std::uint64_t word : header.extension) {
    memory.store_word(at, word);
    at = memory.advance(at, kWordBytes);
  }

  // The last word of the payload is zeroed whole, so that what the ring held before stays ours; the
  // caller then fills in the bytes that count.
  const std::uint32_t trailer_index = memory.advance(at, align8(payload_bytes));
  if (!is_word_aligned(payload_bytes)) {
    memory.store_word(memory.advance(at, align8_down(payload_bytes)), 0);
  }
  memory.store_word(trailer_index, std::bit_cast<std::uint64_t>(Trailer{0, start}));
  return memory.split(at, payload_bytes);
}

Result<PacketView, RingError> parse_packet(const RingMemory& memory, std::uint32_t start,
                                           std::uint32_t available) {
  if (available < kDescriptorBytes) return Failure{RingError::kTooLittleData};
  const PacketDescriptor descriptor = load_descriptor(memory, start);
  if (const auto lengths = check_lengths(descriptor, available); !lengths) {
    return Failure{lengths.error()};
  }
  const auto type = check_type(descriptor);
  if (!type) return Failure{type.error()};

  const std::uint32_t payload_offset = std::uint32_t{descriptor.data_offset8} * kWordBytes;
  const std::uint32_t length_bytes = std::uint32_t{descriptor.length8} * kWordBytes;
  PacketView view;
  view.type = *type;
  view.completion_requested = (descriptor.flags & kFlagCompletionRequested) != 0;
  view.raw_transaction_id = descriptor.transaction_id;
  view.start_index = start;
  view.total_bytes = length_bytes + kTrailerBytes;
  view.extension_index = memory.advance(start, kDescriptorBytes);
  view.extension_bytes = payload_offset - kDescriptorBytes;
  view.payload_index = memory.advance(start, payload_offset);
  view.payload_bytes = length_bytes - payload_offset;
  if (const auto extension = parse_extension(memory, view); !extension) {
    return Failure{extension.error()};
  }
  return view;
}

}  // namespace vmbus::ring
