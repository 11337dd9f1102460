#include "shim/signals.h"

#include <signal.h>

#include <atomic>

#include "shim/real.h"

namespace vmbus::shim {

constinit std::atomic<bool> g_handles_signals{false};

void note_handler() { g_handles_signals.store(true, std::memory_order_relaxed); }

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

}  // namespace vmbus::shim
