#include "shim/fork.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#include <atomic>
#include <climits>
#include <cstddef>

#include "shim/epoll_sets.h"
#include "shim/feeds.h"
#include "shim/held_descriptor.h"
#include "shim/real.h"
#include "shim/spare_socket.h"
#include "shim/user_ranges.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kPageBytes = 4096;
// The daemon answers in microseconds, unless it is stopped; fork() takes some milliseconds in a large program.
constexpr std::int64_t kForkPatienceNs = 50'000'000;
constexpr std::uint64_t kAllSignals = ~std::uint64_t{0};

enum LockWord : std::uint32_t { kFree = 0, kHeld = 1, kHeldWithWaiters = 2 };

ProcessPage& page() { return *g_process_page.load(std::memory_order_acquire); }

void acquire(std::atomic<std::uint32_t>& lock) {
  std::uint32_t seen = kFree;
  if (lock.compare_exchange_strong(seen, kHeld)) return;
  while (lock.exchange(kHeldWithWaiters) != kFree) {
    real::call(SYS_futex, &lock, FUTEX_WAIT_PRIVATE, kHeldWithWaiters, nullptr);
  }
}

void release(std::atomic<std::uint32_t>& lock) {
  if (lock.exchange(kFree, std::memory_order_release) == kHeldWithWaiters) {
    real::call(SYS_futex, &lock, FUTEX_WAKE_PRIVATE, 1);
  }
}

void note_pid() {
  page().pid.store(static_cast<std::int32_t>(real::call(SYS_getpid)), std::memory_order_relaxed);
}

void restore_signals(std::uint64_t saved) {
  real::call(SYS_rt_sigprocmask, SIG_SETMASK, &saved, nullptr, sizeof saved);
}

// While `word` is `value`. False: for kForkPatience, and it still is.
bool wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  const std::int64_t until = real::now_ns() + kForkPatienceNs;
  while (word.load() == value) {
    const std::int64_t left = until - real::now_ns();
    if (left <= 0) return false;
    const timespec limit{0, static_cast<long>(left)};
    real::call(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, &limit);
  }
  return true;
}

// A fork that takes longer is waited for no more: it may itself wait, for a lock that our callers have again and again.
void wait_for_forks(std::uint32_t forking) {
  std::atomic<std::uint32_t>& word = page().forking;
  if (!wait_while(word, forking)) word.compare_exchange_strong(forking, 0);
}

void before_fork() {
  if (real::has_one_thread()) return;
  page().forking.fetch_add(1);
  // Whoever has the lock when it is free next has seen that.
  std::atomic<std::uint32_t>& lock = page().lock;
  std::uint32_t held = kFree;
  if (lock.compare_exchange_strong(held, kHeldWithWaiters)) return release(lock);
  lock.compare_exchange_strong(held, kHeldWithWaiters);
  wait_while(lock, kHeldWithWaiters);
}

void go_on_in_parent() {
  share_all_epolls();
  std::uint32_t forking = page().forking.load();
  while (forking != 0 && !page().forking.compare_exchange_weak(forking, forking - 1)) continue;
  real::call(SYS_futex, &page().forking, FUTEX_WAKE_PRIVATE, INT_MAX);
}

void begin_child() {
  note_pid();
  release_after_fork();
  close_feeds_after_fork();
  end_spare_place();
  forget_ranges();  // some of them may not have come along
  share_all_epolls();
}

}  // namespace

constinit std::atomic<ProcessPage*> g_process_page{nullptr};

int prepare_process() {
  if (g_process_page.load(std::memory_order_acquire) != nullptr) return 0;
  const long mapped = real::call(SYS_mmap, nullptr, kPageBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped < 0 && mapped >= -4095) return ENOMEM;
  auto* fresh = reinterpret_cast<ProcessPage*>(mapped);
  const long wiped = real::call(SYS_madvise, fresh, kPageBytes, MADV_WIPEONFORK);
  ProcessPage* expected = nullptr;
  if (wiped != 0 ||
      !g_process_page.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) {
    real::call(SYS_munmap, fresh, kPageBytes);
    return static_cast<int>(-wiped);
  }
  note_pid();
  // The pid only so that a child which forks and then vforks, without having called us in between, is
  // told from its own vfork child. A raw clone() skips this; its first call notes the pid.
  pthread_atfork(before_fork, go_on_in_parent, begin_child);
  return 0;
}

bool owns_memory() {
  if (g_process_page.load(std::memory_order_acquire) == nullptr) return true;
  const std::int32_t known = page().pid.load(std::memory_order_relaxed);
  if (known == 0) note_pid();
  return known == 0 || known == real::call(SYS_getpid);
}

bool owns_connection() { return page().owns_connection.load(std::memory_order_relaxed); }

void set_owns_connection(bool owned) {
  page().owns_connection.store(owned, std::memory_order_relaxed);
}

void set_gate_owner(std::uint32_t client) {
  page().gate_owner.store(client, std::memory_order_relaxed);
}

LockedSection::LockedSection() {
  // The raw call also blocks the two signals that libc keeps for cancellation and setuid().
  real::call(SYS_rt_sigprocmask, SIG_SETMASK, &kAllSignals, &saved_signals_, sizeof kAllSignals);
  acquire(page().lock);
  const std::uint32_t forking = page().forking.load();
  if (forking == 0) return;
  release(page().lock);
  wait_for_forks(forking);
  acquire(page().lock);
}

LockedSection::~LockedSection() {
  release(page().lock);
  restore_signals(saved_signals_);
}

}  // namespace vmbus::shim
