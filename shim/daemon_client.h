// The shim's requests to vmbusd (emu/protocol/control.proto), one function each.
//
// Connecting is part of the first request: Hello, and the endpoint table mapped read-only. A forked
// child sends one end of a new pair over the connection it inherited (Adopt), so neither chroot nor
// setuid matters to it. When the daemon dies, sockets made by it give ECONNRESET for ever; a new
// socket may start a new daemon, whose table is another "bus" of the same process. Old tables stay
// mapped: they still answer getsockname().
//
// Results are 0 or an errno value. Nothing here may run in a vfork child (fork.h).
#ifndef VMBUS_SHIM_DAEMON_CLIENT_H_
#define VMBUS_SHIM_DAEMON_CLIENT_H_

#include <cstddef>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "shim/fd_table.h"

namespace vmbus::shim {

enum class Start : bool { kNever, kIfNeeded };

// Connects if this process is not connected. EINVAL: a bad VMBUS_ variable. EAFNOSUPPORT: no
// daemon.
int connect_to_daemon(Start start);

// The shared entry that a descriptor stands for. REQUIRES: entry.is_carrier().
const proto::Endpoint& shared_endpoint(FdEntry entry);

// A new end A (blocking, close-on-exec) and what to write into the descriptor table for it.
struct NewCarrier {
  int fd = -1;
  FdEntry entry;
};

int request_socket(int family, int type, int protocol, NewCarrier* made);

// A carrier that this process did not make: reads its tag and proves it by its cookie. An empty
// entry if `fd` is no carrier of the bus this process is connected to.
FdEntry identify_carrier(int fd);
// The cheap half: whether the tag says that `fd` may be a carrier. One system call, no connection.
bool has_carrier_tag(int fd);

// About one socket. `fd` is attached to the request; ECONNRESET when its daemon is gone.
int request_bind(int fd, FdEntry entry, const void* address, std::size_t bytes);
int request_listen(int fd, FdEntry entry, int backlog);
int request_connect(int fd, FdEntry entry, const void* address, std::size_t bytes,
                    bool nonblocking);
int request_cancel_connect(int fd, FdEntry entry);
int request_shutdown(int fd, FdEntry entry, int how);
int request_set_option(int fd, FdEntry entry, int level, int option, const void* value,
                       std::size_t bytes);
int request_take_error(int fd, FdEntry entry, int* so_error);
// The memory with the socket's rings; -1 with an error. ENOENT: it has none now.
int request_memory(int fd, FdEntry entry, int* memfd);
// A line on which the daemon hangs up when nothing of the socket is unsent; -1: nothing is now.
int request_linger(int fd, FdEntry entry, int* line);
// A duplicate of the peer's end B, close-on-exec, and the generation of its gates.
int request_feed(int fd, FdEntry entry, int* b, std::uint32_t* generation);

// Is that a socket of the daemon this process is connected to, or was last?
bool is_of_current_bus(FdEntry entry);
// Whether the daemon was there lately: asked of the kernel once in some tens of milliseconds a thread. Where
// a program works rings itself, nothing else would tell it.
bool is_daemon_alive();
// Has the current daemon reset any guest's device? Three loads.
bool resets_exist();
// Tells the daemon that a bell was set (emu/protocol/lane.h). Takes no lock, never waits; a daemon whose
// queue is full will look at all bells anyway.
void ring_daemon(FdEntry entry);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DAEMON_CLIENT_H_
