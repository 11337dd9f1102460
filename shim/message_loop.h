// recvmmsg() and sendmmsg() on a carrier: one message after the other, as the kernel does it.
#ifndef VMBUS_SHIM_MESSAGE_LOOP_H_
#define VMBUS_SHIM_MESSAGE_LOOP_H_

#include <sys/socket.h>
#include <time.h>

#include "shim/socket.h"

namespace vmbus::shim {

// How many messages; an error only if there was none. As in the kernel, `timeout` is looked at
// between messages, and what is left of it is written back.
long receive_messages(Socket& socket, mmsghdr* messages, unsigned count, int flags,
                      timespec* timeout);
long send_messages(Socket& socket, mmsghdr* messages, unsigned count, int flags);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_MESSAGE_LOOP_H_
