// accept(2) on a carrier: the accepted end arrives over the listener's carrier, attached to one
// byte.
#include <fcntl.h>

#include <cstring>

#include "emu/protocol/carrier.h"
#include "shim/daemon_client.h"
#include "shim/real.h"
#include "shim/ring_map.h"
#include "shim/socket.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

using proto::EndpointState;

// A message of a listener's carrier: one byte, and a connection's descriptor.
class ConnectionMessage {
 public:
  msghdr* header() { return &message_; }
  // What recvmsg() brought, after it gave `count`: the descriptor, or -errno. REQUIRES: not the end.
  long descriptor(long count) const {
    if (count < 0) return count;
    const cmsghdr* rights = CMSG_FIRSTHDR(&message_);
    if (byte_ != proto::kAcceptByte || rights == nullptr || rights->cmsg_type != SCM_RIGHTS) {
      return -EMFILE;  // there was no slot for it
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    return fd;
  }

 private:
  unsigned char byte_ = 0;
  iovec part_{&byte_, sizeof byte_};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int))] = {};
  msghdr message_{nullptr, 0, &part_, 1, control_, sizeof control_, 0};
};

long register_accepted(int fd, FdEntry entry, int flags) {
  if ((flags & SOCK_NONBLOCK) != 0) real::call(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
  if (entry.is_carrier() && fd_table().set(fd, entry)) return fd;
  real::call(SYS_close, fd);
  return -ECONNABORTED;
}

}  // namespace

// A copy of the connection that is first in the queue, or -errno. Interrupted, restarted and timed
// out exactly as accept() is. The message stays where it is: a full descriptor table loses nothing.
long Socket::wait_for_connection() {
  ConnectionMessage message;
  const long count =
      real::blocking(SYS_recvmsg, fd_, message.header(), MSG_PEEK | MSG_CMSG_CLOEXEC);
  if (count != 0) return message.descriptor(count);
  // A listener's carrier ends with its guest, and then the entry says why, or with the daemon.
  load();
  return endpoint_.so_error != 0 ? -endpoint_.so_error : -ECONNRESET;
}

// Takes the first connection out of the queue, without waiting: a descriptor, or -EAGAIN: another
// thread was faster. `copy` is what wait_for_connection() gave. It is the answer where the message
// cannot be taken: when it fills the last slot, and when another thread has closed the listener's
// descriptor meanwhile; a kernel's accept() that waits outlives that and serves one more connection.
long Socket::take_connection(int copy, int flags) const {
  const int close_on_exec = (flags & SOCK_CLOEXEC) != 0 ? static_cast<int>(MSG_CMSG_CLOEXEC) : 0;
  ConnectionMessage message;
  long taken = -EBADF;
  if (fd_table().find(fd_) == entry_) {
    const long count = real::call(SYS_recvmsg, fd_, message.header(), MSG_DONTWAIT | close_on_exec);
    taken = count == 0 ? -EAGAIN : message.descriptor(count);
  }
  if (taken >= 0 || taken == -EAGAIN) {
    real::call(SYS_close, copy);
    return taken;
  }
  if (close_on_exec == 0) real::call(SYS_fcntl, copy, F_SETFD, 0);
  return copy;
}

long Socket::accept(sockaddr* address, socklen_t* length, int flags) {
  if ((flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0) return -EINVAL;
  if (endpoint_.state != EndpointState::kListening) return -EINVAL;
  socklen_t room = 0;
  if (address != nullptr) {
    if (const int error = read_length(length, &room)) return -error;
  }
  long accepted = -EAGAIN;
  while (accepted == -EAGAIN) {
    const long first = wait_for_connection();
    if (first < 0) return first;
    accepted = take_connection(static_cast<int>(first), flags);
  }
  if (accepted < 0) return accepted;
  const int fd = static_cast<int>(accepted);
  const FdEntry entry = identify_carrier(fd);
  accepted = register_accepted(fd, entry, flags);
  if (accepted < 0) return accepted;
  count_connection();
  if (address == nullptr) return accepted;
  proto::Endpoint endpoint;
  proto::read_endpoint(shared_endpoint(entry), &endpoint);
  const int error =
      store_truncated(address, room, length, endpoint.peer_name.data(), endpoint.peer_bytes);
  return error == 0 ? accepted : -error;
}

}  // namespace vmbus::shim
