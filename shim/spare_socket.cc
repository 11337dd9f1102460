#include "shim/spare_socket.h"

#include <errno.h>
#include <fcntl.h>

#include <atomic>

#include "shim/control_connection.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/sandbox.h"

namespace vmbus::shim {
namespace {

// The control connection has a lower number only where the program has few descriptors, and needs them itself.
constexpr int kFewDescriptors = 200;

constinit std::atomic<int> g_place{-1};
constinit unsigned long long g_cookie = 0;  // of what is there
constinit SpareSocket g_spare{};            // fd -1: none; else the place
constinit bool g_was_taken = false;

int place() { return g_place.load(std::memory_order_relaxed); }

// The program may have closed the number past our hooks, and put something else there.
bool is_intact() { return place() >= 0 && real::is_socket(place(), g_cookie); }

void forget_place() {
  g_place.store(-1, std::memory_order_relaxed);
  g_spare.fd = -1;
}

// False: the kernel refuses, or it is no socket any more; then there is no place. A filter of the program's may know neither
// call. REQUIRES: is_intact().
bool put(int fd) {
  if (!is_sandboxed() && real::call(SYS_dup3, fd, place(), O_CLOEXEC) >= 0 &&
      real::socket_cookie(place(), &g_cookie) == 0) {
    return true;
  }
  real::call(SYS_close, place());
  forget_place();
  return false;
}

// REQUIRES: is_intact().
void take_out() {
  g_spare.fd = -1;
  put(control_descriptor());
}

}  // namespace

bool has_spare_place(unsigned first, unsigned last) {
  const int fd = place();
  return fd >= 0 && first <= static_cast<unsigned>(fd) && static_cast<unsigned>(fd) <= last;
}

void make_spare_place() {
  end_spare_place();
  const int control = control_descriptor();
  if (control < kFewDescriptors) return;
  const long made = real::call(SYS_fcntl, control, F_DUPFD_CLOEXEC, control + 1);
  if (made < 0) return;
  fd_table().clear(static_cast<int>(made));  // what a close past us may have left there
  real::socket_cookie(static_cast<int>(made), &g_cookie);
  g_place.store(static_cast<int>(made), std::memory_order_relaxed);
}

void end_spare_place() {
  if (!is_sandboxed() && is_intact()) real::call(SYS_close, place());
  forget_place();
  g_was_taken = false;
}

void give_up_spare_place(unsigned first, unsigned last) {
  if (!has_spare_place(first, last)) return;
  const LockedSection lock;
  if (has_spare_place(first, last)) end_spare_place();
}

bool has_spare() { return g_spare.fd >= 0; }

// Another thread may have put a file of its own over the number that came.
void keep_spare(const SpareSocket& received) {
  if (received.fd < 0) return;
  if (!is_intact()) forget_place();
  if (place() < 0 || !put(received.fd)) {
    if (real::is_socket(received.fd, received.cookie)) real::call(SYS_close, received.fd);
    return;
  }
  if (g_cookie != received.cookie) return take_out();
  g_spare = received;
  g_spare.fd = place();
  real::call(SYS_close, received.fd);
}

int take_spare(SpareSocket* taken) {
  if (!has_spare() || is_sandboxed()) return EAGAIN;
  if (!is_intact()) {
    forget_place();
    return EAGAIN;
  }
  const long low = real::call(SYS_fcntl, g_spare.fd, F_DUPFD_CLOEXEC, 0);
  if (low < 0) return static_cast<int>(-low);
  *taken = g_spare;
  taken->fd = static_cast<int>(low);
  take_out();
  g_was_taken = true;
  return 0;
}

bool was_spare_taken() { return g_was_taken; }

void note_spare_told() { g_was_taken = false; }

void drop_spare() {
  if (!has_spare()) return;
  if (is_intact()) {
    take_out();
  } else {
    forget_place();
  }
}

}  // namespace vmbus::shim
