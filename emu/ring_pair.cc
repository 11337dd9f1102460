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
  std::byte* const controls = memory.at(control);
  const std::span<std::byte> both(memory.at(data), data.count * kPageBytes);
  const std::size_t split = guest_to_host_data_pages * kPageBytes;
  return {.guest_to_host = {controls, both.first(split)},
          .host_to_guest = {controls + kPageBytes, both.subspan(split)}};
}

std::vector<proto::Pfn> RingPair::pages() const {
  std::vector<proto::Pfn> listed;
  listed.reserve(control.count + data.count);
  for (std::size_t page = 0; page < data.count; ++page) {
    if (page == 0) listed.push_back(control.first);
    if (page == guest_to_host_data_pages) listed.push_back(proto::Pfn{control.first.value + 1});
    listed.push_back(proto::Pfn{data.first.value + page});
  }
  return listed;
}

BusResult<RingPair> allocate_ring_pair(GuestMemory& memory, std::size_t guest_to_host_bytes,
                                       std::size_t host_to_guest_bytes) {
  const std::size_t first = ring_pages_for(guest_to_host_bytes);
  const std::size_t second = ring_pages_for(host_to_guest_bytes);
  // One GPADL must be able to describe both.
  if (first > proto::kMaxRangePages || second > proto::kMaxRangePages - first) {
    return tl::unexpected(BusError::kNoMemory);
  }
  const auto control = memory.allocate(2);
  if (!control) return tl::unexpected(BusError::kNoMemory);
  const auto data = memory.allocate(first + second - 2);
  if (!data) {
    memory.free(*control);
    return tl::unexpected(BusError::kNoMemory);
  }
  memory.clear_page(control->first);
  memory.clear_page(proto::Pfn{control->first.value + 1});
  return RingPair{.control = *control, .data = *data, .guest_to_host_data_pages = first - 1};
}

void free_ring_pair(GuestMemory& memory, const RingPair& pair) {
  memory.free(pair.control);
  memory.free(pair.data);
}

}  // namespace vmbus::emu
