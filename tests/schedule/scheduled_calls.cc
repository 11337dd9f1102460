// The calls of the daemon's and the shim's that stand aside for the scheduler: the linker puts these in the place
// of the functions they are named after (option --wrap; CMakeLists.txt lists them).
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <chrono>

#include "tests/schedule/lane_world.h"

using vmbus::test::LaneWorld;

namespace {

// Returns whether the call goes on; it always does.
void step(int fd, bool changes, const char* what) {
  if (LaneWorld* world = LaneWorld::current()) world->step_descriptor(fd, changes, what);
}

}  // namespace

extern "C" {

ssize_t __real_sendmsg(int fd, const msghdr* message, int flags);
ssize_t __real_recv(int fd, void* buffer, size_t bytes, int flags);
ssize_t __real_readv(int fd, const iovec* parts, int count);
int __real_ioctl(int fd, unsigned long request, void* argument);
int __real_shutdown(int fd, int how);
int __real_poll(pollfd* entries, nfds_t count, int timeout);
int __real_close(int fd);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);

ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  step(fd, true, "sends to");
  return __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_recv(int fd, void* buffer, size_t bytes, int flags) {
  step(fd, true, "takes from");
  return __real_recv(fd, buffer, bytes, flags);
}

ssize_t __wrap_readv(int fd, const iovec* parts, int count) {
  step(fd, true, "takes from");
  return __real_readv(fd, parts, count);
}

int __wrap_ioctl(int fd, unsigned long request, void* argument) {
  step(fd, false, "asks about");
  return __real_ioctl(fd, request, argument);
}

int __wrap_shutdown(int fd, int how) {
  step(fd, true, "shuts");
  return __real_shutdown(fd, how);
}

int __wrap_poll(pollfd* entries, nfds_t count, int timeout) {
  if (count == 1) step(entries->fd, false, "asks about");
  return __real_poll(entries, count, timeout);
}

int __wrap_close(int fd) {
  step(fd, true, "closes");
  return __real_close(fd);
}

int __wrap_epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  LaneWorld* world = LaneWorld::current();
  if (world == nullptr) return ::epoll_pwait(epoll, events, most, 0, nullptr);
  return world->wait_for_events(epoll, events, most, timeout);
}

long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
  LaneWorld* world = LaneWorld::current();
  const auto* word = reinterpret_cast<const void*>(a);
  const bool wakes = number == SYS_futex && (b & FUTEX_CMD_MASK) == FUTEX_WAKE;
  if (wakes && world != nullptr && world->scheduler().is_running() && world->has_place(word)) {
    return world->wake(word, c);
  }
  return __real_syscall(number, a, b, c, d, e, f);
}

}  // extern "C"

// ---- C++ functions, by the names they have for the linker -------------------------------------------

namespace vmbus::test {

// std::chrono::steady_clock::now()
std::chrono::steady_clock::time_point scheduled_now() asm(
    "__wrap__ZNSt6chrono3_V212steady_clock3nowEv");
std::chrono::steady_clock::time_point scheduled_now() {
  const LaneWorld* world = LaneWorld::current();
  return std::chrono::steady_clock::time_point(
      std::chrono::nanoseconds(world == nullptr ? 0 : world->daemon_now_ns()));
}

// shim::monotonic_ns(): each look takes a while, so a spin ends after a few.
std::int64_t spin_now() asm("__wrap__ZN5vmbus4shim12monotonic_nsEv");
std::int64_t spin_now() { return LaneWorld::current()->spin_now_ns(); }

// shim::spin_limit_ns()
std::int64_t spin_limit() asm("__wrap__ZN5vmbus4shim13spin_limit_nsEv");
std::int64_t spin_limit() { return 30'000; }

// shim::pauses_between_looks()
int pauses() asm("__wrap__ZN5vmbus4shim20pauses_between_looksEv");
int pauses() { return 1; }

// shim::is_spin_worth_it()
bool is_spin_worth_it(const proto::LaneArea& area, std::uint32_t lane) asm(
    "__wrap__ZN5vmbus4shim16is_spin_worth_itERKNS_5proto8LaneAreaEj");
bool is_spin_worth_it(const proto::LaneArea&, std::uint32_t) {
  return LaneWorld::current()->options().spins;
}

// shim::ring_daemon()
void ring_daemon(shim::FdEntry entry) asm("__wrap__ZN5vmbus4shim11ring_daemonENS0_7FdEntryE");
void ring_daemon(shim::FdEntry) { LaneWorld::current()->ring_daemon(); }

// shim::request_feed()
int request_feed(int fd, shim::FdEntry entry, int* b, std::uint32_t* generation) asm(
    "__wrap__ZN5vmbus4shim12request_feedEiNS0_7FdEntryEPiPj");
int request_feed(int, shim::FdEntry, int* b, std::uint32_t* generation) {
  return LaneWorld::current()->give_feed(b, generation);
}

}  // namespace vmbus::test
