#include "ringbuf/packet_ranges.h"

#include <bit>
#include <cassert>

namespace vmbus::ring {

Result<TransferRanges, RingError> TransferRanges::of(const RingMemory& memory,
                                                     const PacketView& packet,
                                                     std::uint32_t set_bytes) {
  if (packet.type != PacketType::kDataTransferPages) return Failure{RingError::kWrongExternalData};
  if (packet.range_count == 0) return Failure{RingError::kNoTransferRanges};
  if (packet.range_count > packet.extension_bytes / kWordBytes - 1) {
    return Failure{RingError::kRangesBeyondExtension};
  }
  TransferRanges ranges;
  ranges.memory_ = memory;
  ranges.at_ = memory.advance(packet.extension_index, sizeof(TransferPagesHeader));
  ranges.remaining_ = packet.range_count;
  ranges.set_bytes_ = set_bytes;
  return ranges;
}

Result<TransferRange, RingError> TransferRanges::next() {
  assert(!done());
  const auto range = std::bit_cast<TransferRange>(memory_.load_word(at_));
  at_ = memory_.advance(at_, kWordBytes);
  if (range.byte_count == 0) return Failure{RingError::kEmptyRange};
  if (std::uint64_t{range.byte_offset} + range.byte_count > set_bytes_) {
    return Failure{RingError::kRangeOutsideSet};
  }
  --remaining_;
  return range;
}

Result<GpaRanges, RingError> GpaRanges::of(const RingMemory& memory, const PacketView& packet) {
  if (packet.type != PacketType::kDataGpaDirect) return Failure{RingError::kWrongExternalData};
  GpaRanges ranges;
  ranges.memory_ = memory;
  ranges.at_ = memory.advance(packet.extension_index, sizeof(GpaDirectHeader));
  ranges.remaining_ = packet.range_count;
  ranges.bytes_left_ = packet.extension_bytes - kWordBytes;
  return ranges;
}

Result<GpaRange, RingError> GpaRanges::next() {
  assert(!done());
  if (bytes_left_ < sizeof(GpaRangeHeader)) return Failure{RingError::kRangesBeyondExtension};
  const auto header = std::bit_cast<GpaRangeHeader>(memory_.load_word(at_));
  if (header.byte_count == 0) return Failure{RingError::kEmptyRange};
  if (header.byte_offset >= kPageBytes) return Failure{RingError::kRangeOffsetTooLarge};
  const std::uint64_t page_count = pages_touched(header.byte_offset, header.byte_count);
  const std::uint64_t range_bytes = sizeof(GpaRangeHeader) + page_count * kWordBytes;
  if (range_bytes > bytes_left_) return Failure{RingError::kRangesBeyondExtension};

  GpaRange range;
  range.byte_count = header.byte_count;
  range.byte_offset = header.byte_offset;
  range.page_count = static_cast<std::uint32_t>(page_count);
  range.pages_index = memory_.advance(at_, sizeof(GpaRangeHeader));
  at_ = memory_.advance(at_, static_cast<std::uint32_t>(range_bytes));
  bytes_left_ -= static_cast<std::uint32_t>(range_bytes);
  --remaining_;
  return range;
}

std::uint64_t GpaRanges::page_number(const GpaRange& range, std::uint32_t page) const {
  assert(page < range.page_count);
  return memory_.load_word(memory_.advance(range.pages_index, page * kWordBytes));
}

Result<std::span<const std::uint64_t>, RingError> build_transfer_pages(
    std::uint16_t set_id, std::span<const TransferRange> ranges, std::span<std::uint64_t> words) {
  if (words.size() < 1 + ranges.size()) return Failure{RingError::kExtensionBufferFull};
  std::size_t used = 0;
  words[used++] = std::bit_cast<std::uint64_t>(
      TransferPagesHeader{set_id, 0, 0, static_cast<std::uint32_t>(ranges.size())});
  for (const TransferRange& range : ranges) words[used++] = std::bit_cast<std::uint64_t>(range);
  return std::span<const std::uint64_t>(words.first(used));
}

Result<std::span<const std::uint64_t>, RingError> build_gpa_direct(
    std::span<const OutgoingGpaRange> ranges, std::span<std::uint64_t> words) {
  if (words.empty()) return Failure{RingError::kExtensionBufferFull};
  std::size_t used = 0;
  words[used++] =
      std::bit_cast<std::uint64_t>(GpaDirectHeader{0, static_cast<std::uint32_t>(ranges.size())});
  for (const OutgoingGpaRange& range : ranges) {
    assert(range.page_numbers.size() == pages_touched(range.byte_offset, range.byte_count));
    if (words.size() - used < 1 + range.page_numbers.size()) {
      return Failure{RingError::kExtensionBufferFull};
    }
    words[used++] =
        std::bit_cast<std::uint64_t>(GpaRangeHeader{range.byte_count, range.byte_offset});
    for (const std::uint64_t page : range.page_numbers) words[used++] = page;
  }
  return std::span<const std::uint64_t>(words.first(used));
}

}  // namespace vmbus::ring
