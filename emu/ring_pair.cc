#include "emu/ring_pair.h"

#include <algorithm>

#include "emu/protocol/gpa_range.h"

namespace vmbus::emu {
namespace {

using proto::kPageBytes;

constexpr std::size_t kMinRingPages = 2;  // control page and one page of data

std::size_t ring_pages_for(std::size_t bytes) {
  const std::size_t pages = bytes / kPageBytes + (bytes % kPageBytes == 0 ? 0 : 1);
  return std::max(kMinRingPages, pages);
}

}  // namespace

ChannelRings RingPair::addresses(const GuestMemory& memory) const {
  std::byte* const base = memory.at(pages);
  const std::size_t split = guest_to_host_pages * kPageBytes;
  return {.guest_to_host = base,
          .guest_to_host_bytes = split,
          .host_to_guest = base + split,
          .host_to_guest_bytes = pages.count * kPageBytes - split};
}

BusResult<RingPair> allocate_ring_pair(GuestMemory& memory, std::size_t guest_to_host_bytes,
                                       std::size_t host_to_guest_bytes) {
  const std::size_t first = ring_pages_for(guest_to_host_bytes);
  const std::size_t second = ring_pages_for(host_to_guest_bytes);
  // One GPADL must be able to describe both.
  if (first > proto::kMaxRangePages || second > proto::kMaxRangePages - first) {
    return tl::unexpected(BusError::kNoMemory);
  }
  const auto pages = memory.allocate(first + second);
  if (!pages) return tl::unexpected(BusError::kNoMemory);
  memory.clear_page(pages->first);
  memory.clear_page(proto::Pfn{pages->first.value + first});
  return RingPair{.pages = *pages, .guest_to_host_pages = first};
}

}  // namespace vmbus::emu
