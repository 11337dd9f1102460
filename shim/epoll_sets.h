// What this process's epoll instances watch, as far as it concerns rings: with it epoll_wait() can say of a ring
// what the kernel will say once the daemon has brought the bytes to the carrier.
//
// Known are instances that this process made and alone has (a duplicate, a fork, or passing one on ends that for
// good), on which one thread waits, and on them those of our sockets that are asked for input, level-triggered,
// with output or without.
// All others are the kernel's alone; so is an instance with a number beyond kEpollNumbers.
//
// Limit       Who adds descriptors past libc's epoll_ctl() and syscall() is not noticed. The kernel is asked
//             now and then all the same.
// Threads     Any. Never locks for descriptors that are not ours.
#ifndef VMBUS_SHIM_EPOLL_SETS_H_
#define VMBUS_SHIM_EPOLL_SETS_H_

#include <sys/epoll.h>

#include <cstdint>

#include "shim/asked_ends.h"

namespace vmbus::shim {

inline constexpr int kEpollNumbers = 4096;

// A new instance, empty.
void note_epoll(int epoll_fd);
// The number was closed. Others: from now on somebody else may have, or know, the instance.
void forget_epoll(int epoll_fd);
void forget_epolls(unsigned first, unsigned last);
void share_epoll(int fd);
void share_all_epolls();
// Those that a program keeps which is about to take this one's place, or a child's.
void share_inherited_epolls();

// epoll_ctl() itself. What the kernel said.
long control_epoll(int epoll_fd, int operation, int fd, epoll_event* event);

// One wait's view.
struct WatchedEnds {
  KnownPlaces places = 0;
  std::uint32_t others = 0;  // 0: what is watched, these rings know
  std::uint32_t version = 0;
};
// Of sockets that this thread has read lately. None: leave all to the kernel.
WatchedEnds watched_ends(int epoll_fd);
// What the program wants to be told when `fd`, one of them, has input. Empty: nothing any more.
struct InputEvent {
  epoll_event event{};
  bool asks_kernel = false;  // it asks for output, too
};
InputEvent input_event(int epoll_fd, int fd);

// This thread is about to sleep on `sleepers`: whoever changes the set wakes it. False: somebody has since
// watched_ends().
bool begin_epoll_sleep(int epoll_fd, std::uint32_t version, std::uint32_t& sleepers);
void end_epoll_sleep(int epoll_fd);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_EPOLL_SETS_H_
