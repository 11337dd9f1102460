// RingPair: two rings in a guest's memory, guest-to-host first, on consecutive pages.
#ifndef VMBUS_EMU_RING_PAIR_H_
#define VMBUS_EMU_RING_PAIR_H_

#include <cstddef>

#include "emu/bus_error.h"
#include "emu/guest_memory.h"
#include "emu/partition.h"

namespace vmbus::emu {

struct RingPair {
  PageRun pages;
  std::size_t guest_to_host_pages = 0;

  ChannelRings addresses(const GuestMemory& memory) const;
};

// Each ring gets whole pages, and at least one of data. Both control pages are clear; data pages
// may hold old bytes of this guest. Error: kNoMemory.
BusResult<RingPair> allocate_ring_pair(GuestMemory& memory, std::size_t guest_to_host_bytes,
                                       std::size_t host_to_guest_bytes);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_RING_PAIR_H_
