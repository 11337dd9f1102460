// The wrappers' declarations, made from call_table.inc, and what they share.
//
// A wrapper asks "ours?", calls, and translates; it alone touches errno, and never on success. The
// calls whose names begin with two underscores are libc's own aliases and what -D_FORTIFY_SOURCE
// makes of calls.
#ifndef VMBUS_SHIM_INTERPOSE_H_
#define VMBUS_SHIM_INTERPOSE_H_

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/lane_sleep.h"
#include "shim/real.h"

// libc declares what is no cancellation point noexcept, so the compiler checks that column of the
// table too.
#define VMBUS_EXCEPTIONS_yes
#define VMBUS_EXCEPTIONS_no noexcept
#define VMBUS_THEME(name)
#define VMBUS_CALL(result, name, parameters, point, ours) \
  extern "C" [[gnu::visibility("default")]] result name parameters VMBUS_EXCEPTIONS_##point;
#include "shim/call_table.inc"
#undef VMBUS_CALL
#undef VMBUS_THEME
#undef VMBUS_EXCEPTIONS_no
#undef VMBUS_EXCEPTIONS_yes

namespace vmbus::shim {

// The program got, or gave up, a number that the table may still know from a close that went past
// us.
inline void forget(int fd) {
  if (fd_table().is_set(fd) && owns_memory()) fd_table().clear(fd);
}

// `result` of a call that may have changed how calls on `fd` wait: O_NONBLOCK, SO_RCVTIMEO.
inline int changed_waits(int fd, long result) {
  const FdEntry entry = fd_table().find(fd);
  if (entry.is_carrier() && result >= 0) note_waits_changed_of(entry.endpoint);
  return real::answer_int(result);
}

// A descriptor (or -errno) from the kernel that is not ours.
inline int foreign_descriptor(long result) {
  if (result >= 0) forget(static_cast<int>(result));
  return real::answer_int(result);
}

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_INTERPOSE_H_
