// RingPair: two rings in a guest's memory, guest-to-host first.
//
// Their control pages are neighbours, among those of other pairs: the kernel keeps a node of its index for each 64
// pages of a file of which any is there, and a ring at rest has none but its control page.
#ifndef VMBUS_EMU_RING_PAIR_H_
#define VMBUS_EMU_RING_PAIR_H_

#include <cstddef>
#include <vector>

#include "emu/bus_error.h"
#include "emu/guest_memory.h"
#include "emu/partition.h"

namespace vmbus::emu {

struct RingPair {
  PageRun control;  // two pages
  PageRun data;
  std::size_t guest_to_host_data_pages = 0;

  ChannelRings addresses(const GuestMemory& memory) const;
  // As a GPADL lists them: of each ring the control page, then the data pages.
  std::vector<proto::Pfn> pages() const;
  std::size_t guest_to_host_pages() const { return 1 + guest_to_host_data_pages; }
};

// Each ring gets whole pages, and at least one of data. Both control pages are clear; data pages
// may hold old bytes of this guest. Error: kNoMemory.
BusResult<RingPair> allocate_ring_pair(GuestMemory& memory, std::size_t guest_to_host_bytes,
                                       std::size_t host_to_guest_bytes);
void free_ring_pair(GuestMemory& memory, const RingPair& pair);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_RING_PAIR_H_
