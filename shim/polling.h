// A thread that waits in poll, select or epoll reads differently from one that waits in its receives: what
// comes next is to show in the carrier at once. So its receives leave their ring to the daemon's pump, and
// what others left warm is cooled before it waits (docs/lanes.md).
#ifndef VMBUS_SHIM_POLLING_H_
#define VMBUS_SHIM_POLLING_H_

namespace vmbus::shim {

// Has this thread ever waited so?
bool thread_polls();
// It is about to.
void begin_polling();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_POLLING_H_
