// RingMap: the partition memories this process has mapped, to work the rings in them itself.
//
// Mapped at the first data call on a socket whose rings are there, whole and for good: threads may be
// in it at any time. Where that fails (RLIMIT_AS, too many memories) the socket's bytes go through the
// carrier, as they do without all this.
#ifndef VMBUS_SHIM_RING_MAP_H_
#define VMBUS_SHIM_RING_MAP_H_

#include <cstddef>

#include "emu/protocol/endpoint_table.h"
#include "shim/fd_table.h"

namespace vmbus::shim {

struct MappedMemory {
  std::byte* base = nullptr;   // null: it cannot be had
  std::size_t page_bytes = 0;  // of the pages alone; the lanes follow
};

// The memory that `endpoint` names, if this process has it. Asks nobody, changes nothing.
MappedMemory known_memory_of(FdEntry entry, const proto::Endpoint& endpoint);
// The memory that `endpoint` names. May ask the daemon, once a memory.
MappedMemory memory_of(int fd, FdEntry entry, const proto::Endpoint& endpoint);

// This process has one connection more. Page tables count for its memory, 4 KiB for each 2 MiB of rings that it
// has ever touched; so now and then all go, and what is still in use faults its pages in again.
void count_connection();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_RING_MAP_H_
