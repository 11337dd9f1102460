// A private duplicate of one of our descriptors, for the length of one call.
//
// A call of the kernel's holds the file until it returns, whoever closes the descriptor meanwhile or
// puts something else over its number. A call that is several of the kernel's must hold it too, or it
// would stop half-way, or go on with a stranger's file. The duplicate is what the kernel has in such
// a call, no more: an epoll entry lives as long as it would there.
//
// Number      high, close-on-exec, and in the table, so that a close of it by the program is seen.
// Fork        the child closes the duplicates of its parent's calls (a raw clone() keeps them until
//             exec).
// None        in a process of one thread, a vfork child, where no descriptor is left, and beyond
//             kMaxHeld calls at a time: the call goes on with the descriptor itself.
#ifndef VMBUS_SHIM_HELD_DESCRIPTOR_H_
#define VMBUS_SHIM_HELD_DESCRIPTOR_H_

#include <pthread.h>

#include "shim/fd_table.h"

namespace vmbus::shim {

inline constexpr int kMaxHeld = 64;

// A place in the list of duplicates. -1: nothing is held.
struct Held {
  int place = -1;
  int fd = -1;        // the duplicate
  int original = -1;  // of what
};

// `cookie`: SO_COOKIE of the file that is wanted; `fd` may be another's by now.
Held hold_descriptor(int fd, FdEntry entry, unsigned long long cookie);
void release_descriptor(void* held);
void release_after_fork();

// body(fd) with a duplicate of `fd`, or with `fd` itself. A cancellation in it releases the
// duplicate.
template <typename Body>
long with_held(int fd, FdEntry entry, unsigned long long cookie, Body body) {
  Held held = hold_descriptor(fd, entry, cookie);
  long result = 0;
  pthread_cleanup_push(&release_descriptor, &held);
  result = body(held.place >= 0 ? held.fd : fd);
  pthread_cleanup_pop(1);
  return result;
}

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_HELD_DESCRIPTOR_H_
