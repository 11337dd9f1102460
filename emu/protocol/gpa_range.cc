#include "emu/protocol/gpa_range.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

namespace vmbus::proto {

Result<GpaRange, GpaRangeError> take_range(std::span<const std::uint64_t>& words) {
  if (words.empty()) return Failure{GpaRangeError::kEmptyRange};
  const auto byte_count = static_cast<std::uint32_t>(words.front());
  const auto byte_offset = static_cast<std::uint32_t>(words.front() >> 32);
  if (byte_count == 0) return Failure{GpaRangeError::kEmptyByteCount};
  if (byte_offset >= kPageBytes) return Failure{GpaRangeError::kOffsetTooLarge};

  constexpr std::uint32_t kRoundUp = kPageBytes - 1;
  if (byte_count > std::numeric_limits<std::uint32_t>::max() - byte_offset - kRoundUp) {
    return Failure{GpaRangeError::kOverflow};
  }
  const std::size_t pages = (byte_offset + byte_count + kRoundUp) / kPageBytes;
  if (words.size() - 1 < pages) return Failure{GpaRangeError::kRangeTooSmall};

  const GpaRange range{
      .byte_count = byte_count, .byte_offset = byte_offset, .pfns = words.subspan(1, pages)};
  words = words.subspan(1 + pages);
  return range;
}

Result<void, GpaRangeError> validate_ranges(std::span<const std::uint64_t> words,
                                            std::size_t range_count) {
  for (std::size_t i = 0; i < range_count; ++i) {
    const auto range = take_range(words);
    if (!range) return Failure{range.error()};
  }
  return {};
}

Result<RingPages, RingShapeError> ring_pages(std::span<const std::uint64_t> words,
                                             std::size_t range_count,
                                             std::uint32_t downstream_page_offset) {
  if (range_count != 1) return Failure{RingShapeError::kNotOneRange};
  const auto range = take_range(words);
  if (!range) return Failure{RingShapeError::kBadRange};
  if (range->byte_offset != 0 || range->byte_count % kPageBytes != 0) {
    return Failure{RingShapeError::kNotPageAligned};
  }
  const std::span<const std::uint64_t> pfns = range->pfns;
  if (downstream_page_offset == 0 || downstream_page_offset >= pfns.size()) {
    return Failure{RingShapeError::kDownstreamOutside};
  }
  const RingPages rings{.guest_to_host = pfns.first(downstream_page_offset),
                        .host_to_guest = pfns.subspan(downstream_page_offset)};
  constexpr std::size_t kMinPages = 2;  // control page and one page of data
  if (rings.guest_to_host.size() < kMinPages || rings.host_to_guest.size() < kMinPages) {
    return Failure{RingShapeError::kRingTooSmall};
  }
  return rings;
}

std::span<const std::uint64_t> build_page_range(std::span<const Pfn> pfns,
                                                std::span<std::uint64_t> out) {
  assert(!pfns.empty() && pfns.size() <= kMaxRangePages && out.size() > pfns.size());
  out[0] = pfns.size() * kPageBytes;  // byte_offset, the high half, is 0
  std::ranges::transform(pfns, out.begin() + 1, &Pfn::value);
  return out.first(1 + pfns.size());
}

GpadlMessages::GpadlMessages(Relid relid, GpadlId gpadl_id, std::span<const std::uint64_t> words,
                             std::uint16_t range_count)
    : header_{.relid = relid,
              .gpadl_id = gpadl_id,
              .range_buffer_bytes = static_cast<std::uint16_t>(words.size_bytes()),
              .range_count = range_count},
      rest_(words) {
  assert(words.size() <= kMaxRangeBufferWords);
}

std::optional<EncodedMessage> GpadlMessages::next() {
  if (header_sent_ && rest_.empty()) return std::nullopt;
  const std::size_t room = header_sent_ ? kWordsPerGpadlBody : kWordsPerGpadlHeader;
  const auto words = rest_.first(std::min(room, rest_.size()));
  rest_ = rest_.subspan(words.size());
  const std::span<const std::byte> tail = std::as_bytes(words);
  if (header_sent_) {
    return encode(WithTail<GpadlBody>{.fixed = {.gpadl_id = header_.gpadl_id}, .tail = tail});
  }
  header_sent_ = true;
  return encode(WithTail<GpadlHeader>{.fixed = header_, .tail = tail});
}

std::size_t copy_words(std::span<const std::byte> tail, std::span<std::uint64_t> missing) {
  const std::size_t count = std::min(tail.size() / sizeof(std::uint64_t), missing.size());
  if (count != 0) std::memcpy(missing.data(), tail.data(), count * sizeof(std::uint64_t));
  return count;
}

}  // namespace vmbus::proto
