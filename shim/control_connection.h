// ControlConnection: this process's one descriptor to the daemon (AF_UNIX SOCK_SEQPACKET), and its
// safe keeping.
//
// The descriptor sits in a program that does not know about it, so it is close-on-exec, has a high
// number, is left out when the program closes "everything", and moves away when the program wants
// its number. Should it be lost all the same (an inline system call), the cookie shows it, and the
// next request connects again.
//
// Threads     All but descriptor() and is_control() need the lock (fork.h).
#ifndef VMBUS_SHIM_CONTROL_CONNECTION_H_
#define VMBUS_SHIM_CONTROL_CONNECTION_H_

#include <cstddef>

namespace vmbus::shim {

// The control descriptor's number, or -1. Lock-free.
int control_descriptor();
inline bool is_control(int fd) { return fd >= 0 && fd == control_descriptor(); }

// A connected descriptor (low number, close-on-exec) to the bus at `path`, or -errno: EACCES if
// somebody else's daemon answers, ENOENT or ECONNREFUSED if none does, ETIMEDOUT if it takes no
// connections. A path too long for an address goes through /proc/self/fd.
long connect_to_bus(const char* path);
// Whatever is at the other end of `fd`, sending and receiving end with ETIMEDOUT: our lock is held
// and signals are blocked meanwhile, so the program could not even be interrupted. (connect_to_bus()
// does this itself.)
void limit_waiting(int fd);

// Where numbers begin that are in nobody's way.
int highest_comfortable_number();
// A copy of `fd`, close-on-exec, where it is in nobody's way; or -errno.
long duplicate_high(int fd);

// Takes `fd` over: gives it a high number and remembers it.
void install_control(int fd);
// Takes `fd` over under the number that the inherited connection has, which is closed.
void replace_inherited_control(int fd);
// Whether the descriptor is still the connection that was installed.
bool control_is_intact();
// Closes the connection (if it is still ours) and forgets it.
void drop_control();
// The program wants `target`: if that is the control descriptor, moves it elsewhere.
void vacate(int target);

// One record each way. `attached` and `*received` are descriptors, -1 for none; a received one is
// close-on-exec. 0 or an errno value; EPIPE when the daemon is gone, ETIMEDOUT when it does not answer
// in time (the answer may come yet: the connection is of no more use).
int send_record(const void* bytes, std::size_t size, int attached);
int receive_record(void* bytes, std::size_t* size, int* received);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_CONTROL_CONNECTION_H_
