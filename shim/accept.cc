// accept(2) on a carrier: the accepted end arrives over the listener's carrier, attached to one
// byte.
#include <fcntl.h>

#include <cstring>

#include "emu/protocol/carrier.h"
#include "shim/control_connection.h"
#include "shim/daemon_client.h"
#include "shim/real.h"
#include "shim/socket.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

using proto::EndpointState;

// A full descriptor table must leave the connection in the queue, but a message loses its
// descriptor then; so a slot is proved first, with a duplicate of something other than the listener
// (epoll would remember that one).
long prove_free_slot() {
  const long fd = real::call(SYS_fcntl, control_descriptor(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return fd;
  real::call(SYS_close, fd);
  return 0;
}

// Takes the next connection without waiting: a descriptor, or -errno (-EAGAIN: another thread was
// faster).
long take_connection(int listener, int flags) {
  unsigned char byte = 0;
  iovec part{&byte, sizeof byte};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const int receive_flags =
      MSG_DONTWAIT | ((flags & SOCK_CLOEXEC) != 0 ? static_cast<int>(MSG_CMSG_CLOEXEC) : 0);
  const long count = real::call(SYS_recvmsg, listener, &message, receive_flags);
  if (count < 0) return count;
  if (count == 0) return -ECONNRESET;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (byte != proto::kAcceptByte || header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    return -EMFILE;  // the slot was taken after it had been proved
  }
  int accepted = -1;
  std::memcpy(&accepted, CMSG_DATA(header), sizeof accepted);
  return accepted;
}

long register_accepted(int fd, FdEntry entry, int flags) {
  if ((flags & SOCK_NONBLOCK) != 0) real::call(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
  if (entry.is_carrier() && fd_table().set(fd, entry)) return fd;
  real::call(SYS_close, fd);
  return -ECONNABORTED;
}

}  // namespace

// One byte is there, or an error. Interrupted, restarted and timed out exactly as accept() is.
long Socket::wait_for_connection() {
  unsigned char byte = 0;
  const long seen =
      real::blocking(SYS_recvfrom, fd_, &byte, sizeof byte, MSG_PEEK, nullptr, nullptr);
  if (seen != 0) return seen < 0 ? seen : 0;
  // A listener's carrier ends with its guest, and then the entry says why, or with the daemon.
  load();
  return endpoint_.so_error != 0 ? -endpoint_.so_error : -ECONNRESET;
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
    if (const long error = wait_for_connection()) return error;
    if (const long error = prove_free_slot()) return error;
    accepted = take_connection(fd_, flags);
  }
  if (accepted < 0) return accepted;
  const int fd = static_cast<int>(accepted);
  const FdEntry entry = identify_carrier(fd);
  accepted = register_accepted(fd, entry, flags);
  if (accepted < 0 || address == nullptr) return accepted;
  proto::Endpoint endpoint;
  proto::read_endpoint(shared_endpoint(entry), &endpoint);
  const int error =
      store_truncated(address, room, length, endpoint.peer_name.data(), endpoint.peer_bytes);
  return error == 0 ? accepted : -error;
}

}  // namespace vmbus::shim
