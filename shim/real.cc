#include "shim/real.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <time.h>

// libc has it from 2.32 on; without it we always take the careful path.
extern "C" [[gnu::weak]] char __libc_single_threaded;

namespace vmbus::shim::real {

bool has_one_thread() { return &__libc_single_threaded != nullptr && __libc_single_threaded != 0; }

int begin_cancellation_point() {
  if (has_one_thread()) return -1;
  int previous = PTHREAD_CANCEL_DEFERRED;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &previous);
  return previous;
}

void cancellation_point() {
  if (&__libc_single_threaded == nullptr || __libc_single_threaded == 0) pthread_testcancel();
}

void end_cancellation_point(int previous) {
  if (previous >= 0) pthread_setcanceltype(previous, nullptr);
}

long dup2(int fd, int target) {
  if (fd != target) return call(SYS_dup3, fd, target, 0);
  const long flags = call(SYS_fcntl, fd, F_GETFD);
  return flags < 0 ? flags : fd;
}

long socket_cookie(int fd, unsigned long long* cookie) {
  socklen_t length = sizeof *cookie;
  return call(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, cookie, &length);
}

bool is_socket(int fd, unsigned long long cookie) {
  unsigned long long found = 0;
  return socket_cookie(fd, &found) == 0 && found == cookie;
}

bool is_nonblocking(int fd) {
  const long flags = call(SYS_fcntl, fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

bool is_queue_empty(int fd) {
  int queued = 0;
  return call(SYS_ioctl, fd, SIOCOUTQ, &queued) == 0 && queued == 0;
}

bool has_hung_up(int fd) {
  pollfd asked{fd, 0, 0};
  const timespec at_once{};
  return call(SYS_ppoll, &asked, 1, &at_once, nullptr, 0) == 1 && (asked.revents & POLLHUP) != 0;
}

std::int64_t now_ns() {
  timespec now{};
  call(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

}  // namespace vmbus::shim::real
