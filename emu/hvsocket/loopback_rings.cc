#include "emu/hvsocket/loopback_rings.h"

#include <utility>

namespace vmbus::emu {

std::shared_ptr<LoopbackRings> LoopbackRings::in_guest(Partition& guest,
                                                       std::size_t each_ring_bytes) {
  const auto rings = guest.allocate_loopback(each_ring_bytes);
  if (!rings) return nullptr;
  return std::make_shared<LoopbackRings>(guest.memory(), *rings,
                                         [&guest, rings = *rings] { guest.free_loopback(rings); });
}

std::shared_ptr<LoopbackRings> LoopbackRings::in_host(GuestMemory& memory,
                                                      std::size_t each_ring_bytes) {
  const std::size_t pages = each_ring_bytes / proto::kPageBytes;
  const auto run = memory.allocate(2 * pages);
  if (!run) return nullptr;
  memory.clear_page(run->first);
  memory.clear_page(proto::Pfn{run->first.value + pages});
  std::byte* base = memory.at(*run);
  const ChannelRings rings{.guest_to_host = base,
                           .guest_to_host_bytes = each_ring_bytes,
                           .host_to_guest = base + each_ring_bytes,
                           .host_to_guest_bytes = each_ring_bytes};
  return std::make_shared<LoopbackRings>(memory, rings,
                                         [&memory, run = *run] { memory.free(run); });
}

LoopbackRings::LoopbackRings(GuestMemory& memory, const ChannelRings& rings,
                             std::function<void()> free)
    : memory_(memory),
      first_lane_(memory.lane_directory().allocate_pair()),
      rings_(rings),
      free_(std::move(free)) {}

LoopbackRings::~LoopbackRings() {
  if (first_lane_) memory_.lane_directory().free_pair(*first_lane_);
  free_();
}

}  // namespace vmbus::emu
