#include "shim/signals.h"

#include <signal.h>

#include <atomic>

#include "shim/real.h"

namespace vmbus::shim {
namespace {

constexpr int kSignals = 64;  // of the kernel

// As rt_sigaction() writes it.
struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  std::uint64_t mask;
};

KernelAction action_of(int number) {
  KernelAction action{};
  real::call(SYS_rt_sigaction, number, nullptr, &action, sizeof action.mask);
  return action;
}

bool is_handled(const KernelAction& action) {
  return action.handler != SIG_DFL && action.handler != SIG_IGN;
}

}  // namespace

constinit std::atomic<bool> g_handles_signals{false};

void note_handler() { g_handles_signals.store(true, std::memory_order_relaxed); }

bool all_handlers_restart() {
  for (int number = 1; number <= kSignals; ++number) {
    const KernelAction action = action_of(number);
    if (is_handled(action) && (action.flags & SA_RESTART) == 0) return false;
  }
  return true;
}

void BlockedSignals::block() {
  if (!handles_signals()) return;
  const std::uint64_t all = ~std::uint64_t{0};
  real::call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &saved_, sizeof all);
  is_blocking_ = true;
}

void BlockedSignals::restore() {
  if (!is_blocking_) return;
  is_blocking_ = false;
  real::call(SYS_rt_sigprocmask, SIG_SETMASK, &saved_, nullptr, sizeof saved_);
}

bool BlockedSignals::would_interrupt(bool restarts) const {
  std::uint64_t pending = 0;
  if (!is_blocking_ || real::call(SYS_rt_sigpending, &pending, sizeof pending) != 0) return false;
  for (pending &= ~saved_; pending != 0; pending &= pending - 1) {
    const KernelAction action = action_of(__builtin_ctzll(pending) + 1);
    if (is_handled(action) && !(restarts && (action.flags & SA_RESTART) != 0)) return true;
  }
  return false;
}

}  // namespace vmbus::shim
