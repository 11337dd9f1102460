// select, epoll_wait and their kin: the carrier's own, which the rings' bytes are brought to first.
#include <signal.h>

#include "shim/interpose.h"
#include "shim/polling.h"
#include "shim/user_memory.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

namespace {

constexpr size_t kKernelSignalSetBytes = 8;
constexpr long kSecondUs = 1'000'000;

// pselect6's last argument.
struct MaskArgument {
  const sigset_t* mask;
  size_t bytes;
};

long select_until(int count, fd_set* readable, fd_set* writable, fd_set* excepted, timespec* limit,
                  const sigset_t* mask) {
  begin_polling();
  const MaskArgument argument{mask, kKernelSignalSetBytes};
  return real::blocking(SYS_pselect6, count, readable, writable, excepted, limit,
                        mask == nullptr ? nullptr : &argument);
}

}  // namespace

int select(int count, fd_set* readable, fd_set* writable, fd_set* excepted, timeval* limit) {
  if (limit == nullptr) {
    return real::answer_int(select_until(count, readable, writable, excepted, nullptr, nullptr));
  }
  timeval asked{};
  if (copy_from_program(&asked, limit, sizeof asked) != 0) return real::answer_int(-EFAULT);
  if (asked.tv_sec < 0 || asked.tv_usec < 0) return real::answer_int(-EINVAL);
  timespec left{};  // the kernel leaves there what it did not use, and Linux' select tells it
  if (__builtin_add_overflow(asked.tv_sec, asked.tv_usec / kSecondUs, &left.tv_sec)) {
    return real::answer_int(-EINVAL);
  }
  left.tv_nsec = asked.tv_usec % kSecondUs * 1000;
  const long result = select_until(count, readable, writable, excepted, &left, nullptr);
  const timeval rest{left.tv_sec, left.tv_nsec / 1000};
  static_cast<void>(
      copy_to_program(limit, &rest, sizeof rest));  // may be read-only, as for the kernel
  return real::answer_int(result);
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* excepted, const timespec* limit,
            const sigset_t* mask) {
  if (limit == nullptr) {
    return real::answer_int(select_until(count, readable, writable, excepted, nullptr, mask));
  }
  timespec copy{};  // the kernel changes it, libc does not
  if (copy_from_program(&copy, limit, sizeof copy) != 0) return real::answer_int(-EFAULT);
  return real::answer_int(select_until(count, readable, writable, excepted, &copy, mask));
}

int epoll_wait(int epoll_fd, epoll_event* events, int room, int limit_ms) {
#ifdef SYS_epoll_wait
  // Where libc has a call of its own for it, a program's seccomp filter may know just that one.
  begin_polling();
  return real::answer_int(real::blocking(SYS_epoll_wait, epoll_fd, events, room, limit_ms));
#else
  return epoll_pwait(epoll_fd, events, room, limit_ms, nullptr);
#endif
}

int epoll_pwait(int epoll_fd, epoll_event* events, int room, int limit_ms, const sigset_t* mask) {
  begin_polling();
  return real::answer_int(real::blocking(SYS_epoll_pwait, epoll_fd, events, room, limit_ms, mask,
                                         kKernelSignalSetBytes));
}

int epoll_pwait2(int epoll_fd, epoll_event* events, int room, const timespec* limit,
                 const sigset_t* mask) {
  begin_polling();
  return real::answer_int(
      real::blocking(SYS_epoll_pwait2, epoll_fd, events, room, limit, mask, kKernelSignalSetBytes));
}
