// What makes all that threads remember of their sockets void (direct_cache.h): the process joined another
// daemon, or put itself under a seccomp filter.
#ifndef VMBUS_SHIM_KNOWN_EPOCH_H_
#define VMBUS_SHIM_KNOWN_EPOCH_H_

namespace vmbus::shim {

void forget_known_ends();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_KNOWN_EPOCH_H_
