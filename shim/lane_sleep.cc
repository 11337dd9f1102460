#include "shim/lane_sleep.h"

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include <atomic>

#include "shim/real.h"
#include "shim/signals.h"
#include "shim/spin.h"

#ifndef SYS_futex_waitv  // Linux 5.16
#define SYS_futex_waitv 449
#endif

namespace vmbus::shim {
namespace {

// struct futex_waitv, which libc's headers have from Linux 5.16 on.
struct Waiter {
  std::uint64_t value;
  std::uint64_t address;
  std::uint32_t flags;
  std::uint32_t reserved;
};
constexpr std::uint32_t kWord32 = 2;  // FUTEX_32; shared between processes

constexpr std::int64_t kSecondNs = 1'000'000'000;

constinit std::atomic<bool> g_cannot{false};
constinit std::atomic<std::uint32_t> g_waits_epoch{1};

// By entry: which one, and the epoch from then on.
constexpr std::size_t kChanges = 64;
constexpr int kEndpointShift = 32;
constinit std::atomic<std::uint64_t> g_changes[kChanges];

// A handler that no hook saw has ended a sleep that was to go on after those with SA_RESTART.
Slept judge_unseen_handler() {
  note_handler();
  return all_handlers_restart() ? Slept::kWoken : Slept::kInterrupted;
}

}  // namespace

std::uint32_t waits_epoch() { return g_waits_epoch.load(std::memory_order_acquire); }

void note_waits_changed() {
  if (g_waits_epoch.fetch_add(1, std::memory_order_acq_rel) == UINT32_MAX) note_waits_changed();
}

std::uint64_t last_waits_change(std::uint16_t endpoint) {
  const std::uint64_t last = g_changes[endpoint % kChanges].load(std::memory_order_acquire);
  return last >> kEndpointShift == endpoint ? last : 0;
}

void note_waits_changed_of(std::uint16_t endpoint) {
  const std::uint64_t epoch = g_waits_epoch.load(std::memory_order_relaxed);
  g_changes[endpoint % kChanges].store(std::uint64_t{endpoint} << kEndpointShift | (epoch + 1),
                                       std::memory_order_release);
  note_waits_changed();
}

bool may_sleep_on_lane(int fd, int option) {
  if (g_cannot.load(std::memory_order_relaxed)) return false;
  timeval limit{};
  socklen_t length = sizeof limit;
  const long result = real::call(SYS_getsockopt, fd, SOL_SOCKET, option, &limit, &length);
  return result == 0 && limit.tv_sec == 0 && limit.tv_usec == 0;
}

Slept sleep_on_lane(std::uint32_t& word, std::uint32_t value, LaneSleep how) {
  const std::int64_t end = monotonic_ns() + how.limit_ns;
  const timespec until{end / kSecondNs, end % kSecondNs};
  const Waiter waiter{value, reinterpret_cast<std::uintptr_t>(&word), kWord32, 0};
  const bool may_restart = how.restarts && (handles_signals() || !real::has_one_thread());
  const long result = may_restart
                          ? real::blocking(SYS_futex_waitv, &waiter, 1, 0, &until, CLOCK_MONOTONIC)
                          : real::blocking(SYS_futex, &word, FUTEX_WAIT_BITSET, value, &until,
                                           nullptr, FUTEX_BITSET_MATCH_ANY);
  switch (result) {
    case -ETIMEDOUT:
      return Slept::kLongEnough;
    case -EINTR:
      return how.restarts && !may_restart ? judge_unseen_handler() : Slept::kInterrupted;
    case -ENOSYS:
    case -EPERM:
    case -EACCES:
      g_cannot.store(true, std::memory_order_relaxed);
      return Slept::kNever;
    default:  // woken, or the word had changed
      return Slept::kWoken;
  }
}

long wake_from_lane(std::uint32_t& word) {
  return real::call(SYS_futex, &word, FUTEX_WAKE, 0x7FFFFFFF);
}

}  // namespace vmbus::shim
