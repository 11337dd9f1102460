// Socket: one descriptor of the program that is end A of a carrier, for the length of one call.
//
// Made on the stack by a wrapper: it looks the descriptor up, copies the endpoint's shared entry,
// and answers from the copy; what changes the endpoint is a request to the daemon. It owns nothing.
//
//   hint(fd)    for data calls: table and entry only, no system call. Where the answer would be a
//               refusal, the cookie is compared after all, so a stale table entry costs a foreign
//               descriptor nothing but time.
//   proven(fd)  for control calls: SO_COOKIE of the descriptor equals the entry's.
//
// Results     0 or a count, -errno, or kNotOurs: the descriptor turned out to be somebody else's (its
//             table entry is cleared), or the call is one that A itself answers rightly. The wrapper
//             then calls the kernel.
// Contract    docs/shim.md
#ifndef VMBUS_SHIM_SOCKET_H_
#define VMBUS_SHIM_SOCKET_H_

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "shim/fd_table.h"

namespace vmbus::shim {

// Outside the range of -errno.
inline constexpr long kNotOurs = -5000;

class Socket {
 public:
  static Socket hint(int fd);
  static Socket proven(int fd);

  explicit operator bool() const { return entry_.is_carrier(); }

  // ---- socket.cc: names and the life cycle ----
  long bind(const sockaddr* address, socklen_t length);
  long listen(int backlog);
  long shutdown(int how);
  long getsockname(sockaddr* address, socklen_t* length) const;
  long getpeername(sockaddr* address, socklen_t* length) const;
  long ioctl(unsigned long request) const;

  // ---- connect.cc, accept.cc: cancellation points; nothing is held while they wait ----
  long connect(const sockaddr* address, socklen_t length);
  // The new descriptor, already in the table.
  long accept(sockaddr* address, socklen_t* length, int flags);

  // ---- options.cc ----
  long getsockopt(int level, int option, void* value, socklen_t* length);
  long setsockopt(int level, int option, const void* value, socklen_t length);

  // ---- transfer.cc: cancellation points, but for the checks ----
  long receive(void* buffer, std::size_t length, int flags);
  long receive_message(msghdr* message, int flags);
  long send(const void* buffer, std::size_t length, int flags, bool has_address);
  long send_message(const msghdr* message, int flags);
  // Around a call that moves bytes inside the kernel (sendfile, splice): a verdict before
  // (kNotOurs: go on) and what the kernel's result means.
  long check_receive(std::size_t length, int flags);
  long check_send(std::size_t length, int flags, bool has_address);
  long after_receive(long result, int flags);
  long after_send(long result, int flags);

 private:
  Socket() = default;

  // Copies the shared entry; false if it is another endpoint by now.
  bool load();
  // Compares the cookie; clears the table's entry when the descriptor is not ours.
  bool prove();
  // `result` if the descriptor is proven, else kNotOurs.
  long refuse(long result) { return prove() ? result : kNotOurs; }
  // Copies a name from the program and checks what the generic layer checks.
  static int copy_address(const sockaddr* address, socklen_t length, void* copy);
  // The end of the attempt under way: 0, EINTR, or what SO_ERROR held. -errno.
  long wait_for_attempt();
  long finish_attempt();
  long wait_for_connection();
  // Raises SO_SNDBUF of A once, after the daemon had lowered it for the time of connecting.
  void raise_send_buffer();
  bool daemon_hung_up() const;
  // `result`; raises SIGPIPE when that is what goes with it.
  long with_signal(long result, int flags) const;
  long take_error(int* so_error);

  int fd_ = -1;
  FdEntry entry_{};
  proto::Endpoint endpoint_{};
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SOCKET_H_
