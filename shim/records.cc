// SOCK_SEQPACKET: what a carrier of records does not do by itself (emu/records.h).
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <cstring>

#include "shim/real.h"
#include "shim/socket.h"

namespace vmbus::shim {
namespace {

// AF_UNIX does not carry MSG_EOR: a descriptor beside the record stands for it.
long send_marked(int fd, const msghdr& record) {
  const auto mark = static_cast<int>(real::call(SYS_eventfd2, 0, EFD_CLOEXEC));
  if (mark < 0) return -ENOBUFS;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof mark)] = {};
  msghdr marked = record;
  marked.msg_control = control;
  marked.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&marked);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof mark);
  std::memcpy(CMSG_DATA(header), &mark, sizeof mark);
  const long result = real::call(SYS_sendmsg, fd, &marked, MSG_DONTWAIT | MSG_NOSIGNAL);
  real::call(SYS_close, mark);
  return result;
}

// 1: there is room. 0: SO_SNDTIMEO is over. -EINTR. A cancellation point.
long wait_for_room(int fd) {
  timeval limit{};
  socklen_t length = sizeof limit;
  real::call(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &length);
  timespec left{limit.tv_sec, limit.tv_usec * 1000};
  const bool is_limited = left.tv_sec != 0 || left.tv_nsec != 0;
  pollfd wanted{fd, POLLOUT, 0};
  return real::blocking(SYS_ppoll, &wanted, 1, is_limited ? &left : nullptr, nullptr, 0);
}

long send_marked_when_room(int fd, const msghdr& record) {
  while (true) {
    // The mark is not held while this waits: a cancelled thread would leave it behind.
    const long room = wait_for_room(fd);
    if (room <= 0) return room == 0 ? -EAGAIN : room;
    const long result = send_marked(fd, record);
    if (result != -EAGAIN) return result;
  }
}

}  // namespace

long Socket::send_end_of_record(const msghdr& record, int flags) const {
  const long result = send_marked(fd_, record);
  const bool waits = (flags & MSG_DONTWAIT) == 0 && !real::is_nonblocking(fd_);
  if (result != -EAGAIN || !waits) return result;
  return held([&](int fd) { return send_marked_when_room(fd, record); });
}

// The kernel says MSG_CTRUNC where it dropped the descriptor that stands for MSG_EOR.
int Socket::message_flags(const msghdr& received) const {
  if (!carries_records()) return 0;
  const bool end_of_record = (received.msg_flags & MSG_CTRUNC) != 0;
  return (received.msg_flags & MSG_TRUNC) | (end_of_record ? MSG_EOR : 0);
}

}  // namespace vmbus::shim
