// Calls that make, copy and end descriptors: the wrappers that keep the table right.
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "shim/control_connection.h"
#include "shim/epoll_sets.h"
#include "shim/feeds.h"
#include "shim/interpose.h"
#include "shim/linger.h"
#include "shim/spare_socket.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

namespace {

// `to` is now what `from` is.
void note_copy(int from, int to) {
  const FdEntry entry = fd_table().find(from);
  const FdEntry before = has_feeds() ? fd_table().find(to) : FdEntry{};
  if (from != to) {
    share_epoll(from);
    forget_epoll(to);
  }
  if (!entry.is_ours() && !fd_table().find(to).is_ours()) return;
  if (!owns_memory()) return;
  if (entry.is_ours()) {
    fd_table().set(to, entry);
  } else {
    fd_table().clear(to);
  }
  if (before.is_carrier() && from != to) end_feed_of(before);
}

int copied(int from, long result) {
  if (result >= 0) note_copy(from, static_cast<int>(result));
  return real::answer_int(result);
}

// Descriptors of the shim's that the program is about to close, or to put something else over.
void give_up_ours(unsigned first, unsigned last) {
  if ((!has_feeds() && !has_spare_place(first, last)) || !owns_memory()) return;
  give_up_spare_place(first, last);
  give_up_feeds(first, last);
}

// The program is about to put something else at `target`.
void make_room(int fd, int target) {
  if (fd == target || target < 0) return;
  give_up_ours(static_cast<unsigned>(target), static_cast<unsigned>(target));
  if (!is_control(target) || !owns_memory()) return;
  const LockedSection lock;
  vacate(target);
}

// The program closes `fd`.
void end_ours_at(int fd, FdEntry entry) {
  if (fd < 0) return;
  if (!entry.is_carrier())
    return give_up_ours(static_cast<unsigned>(fd), static_cast<unsigned>(fd));
  if (has_feeds() && owns_memory()) end_feed_of(entry);
}

// A raw F_GETOWN cannot tell a process group from an error.
int get_owner(int fd) {
  f_owner_ex owner{};
  const long result = real::call(SYS_fcntl, fd, F_GETOWN_EX, &owner);
  if (result < 0) return real::answer_int(result);
  return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
}

int fcntl_with(int fd, int command, void* argument) {
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return copied(fd, real::call(SYS_fcntl, fd, command, argument));
    case F_SETLKW:
    case F_OFD_SETLKW:
      return real::answer_int(real::blocking(SYS_fcntl, fd, command, argument));
    case F_GETOWN:
      return get_owner(fd);
    case F_SETFL:
      return changed_waits(fd, real::call(SYS_fcntl, fd, command, argument));
    default:
      return real::answer_int(real::call(SYS_fcntl, fd, command, argument));
  }
}

// Closes [first, last] around the control descriptor.
long close_range_around(unsigned first, unsigned last, unsigned control, unsigned flags) {
  long result = 0;
  if (first < control) result = real::call(SYS_close_range, first, control - 1, flags);
  if (result == 0 && control < last) {
    result = real::call(SYS_close_range, control + 1, last, flags);
  }
  return result;
}

}  // namespace

int close(int fd) {
  const bool is_shims =
      is_control(fd) || has_spare_place(static_cast<unsigned>(fd), static_cast<unsigned>(fd));
  if (is_shims && owns_memory()) return real::answer_int(-EBADF);
  pthread_testcancel();  // a thread that ends here has not closed anything
  const Linger linger = Linger::before_close(fd);
  const FdEntry entry = has_feeds() ? fd_table().find(fd) : FdEntry{};
  forget(fd);
  end_ours_at(fd, entry);
  forget_epoll(fd);
  const long result = real::call(SYS_close, fd);
  linger.wait();
  return real::answer_int(result);
}

int __close(int fd) { return close(fd); }

int close_range(unsigned first, unsigned last, int flags) noexcept {
  const auto bits = static_cast<unsigned>(flags);
  const bool ends_here = (bits & (CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) == 0;
  const bool mine = owns_memory();
  const int control = control_descriptor();
  const auto number = static_cast<unsigned>(control);
  const bool hit = mine && control >= 0 && first <= number && number <= last;
  if (ends_here && mine) give_up_ours(first, last);
  const long result = hit ? close_range_around(first, last, number, bits)
                          : real::call(SYS_close_range, first, last, bits);
  if (result == 0 && ends_here && mine) {
    fd_table().clear_range(first, last);
    if (has_feeds()) end_unheld_feeds();
    forget_epolls(first, last);
  }
  return real::answer_int(result);
}

void closefrom(int first) noexcept {
  const auto from = static_cast<unsigned>(std::max(first, 0));
  const int saved = errno;
  if (close_range(from, ~0U, 0) != 0) {
    rlimit limit{};
    real::call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
    for (unsigned fd = from; fd < limit.rlim_cur; ++fd) close(static_cast<int>(fd));
  }
  errno = saved;
}

int dup(int fd) noexcept { return copied(fd, real::call(SYS_dup, fd)); }

int dup2(int fd, int target) noexcept {
  make_room(fd, target);
  return copied(fd, real::dup2(fd, target));
}

int __dup2(int fd, int target) noexcept { return dup2(fd, target); }

int dup3(int fd, int target, int flags) noexcept {
  make_room(fd, target);
  return copied(fd, real::call(SYS_dup3, fd, target, flags));
}

int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return fcntl_with(fd, command, argument);
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return fcntl_with(fd, command, argument);
}
