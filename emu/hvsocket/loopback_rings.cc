#include "emu/hvsocket/loopback_rings.h"

namespace vmbus::emu {

std::shared_ptr<LoopbackRings> LoopbackRings::in(GuestMemory& memory, std::size_t each_ring_bytes) {
  const auto pair = allocate_ring_pair(memory, each_ring_bytes, each_ring_bytes);
  return pair ? std::make_shared<LoopbackRings>(memory, *pair) : nullptr;
}

LoopbackRings::LoopbackRings(GuestMemory& memory, const RingPair& pair)
    : memory_(memory), first_lane_(memory.lane_directory().allocate_pair()), pair_(pair) {}

LoopbackRings::~LoopbackRings() {
  if (first_lane_) memory_.lane_directory().free_pair(*first_lane_);
  free_ring_pair(memory_, pair_);
}

}  // namespace vmbus::emu
