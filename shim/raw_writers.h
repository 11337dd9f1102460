// Somebody may soon write into a carrier who does not count what he sends: a program without the shim, stdio,
// io_uring. From then on a send that would go straight into the ring first asks whether the carrier is
// empty (emu/protocol/lane.h).
#ifndef VMBUS_SHIM_RAW_WRITERS_H_
#define VMBUS_SHIM_RAW_WRITERS_H_

namespace vmbus::shim {

// Of one descriptor, or of every socket of this process. Only stores to memory: also for vfork children.
void expect_raw_writer(int fd);
void expect_raw_writers();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_RAW_WRITERS_H_
