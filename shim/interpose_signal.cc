// Calls that install signal handlers: seen, and passed on to libc by its other names for them.
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "shim/interpose.h"
#include "shim/signals.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

extern "C" int __sigaction(int number, const struct sigaction* action, struct sigaction* before);

namespace {

void note(sighandler_t handler) {
  if (handler != SIG_DFL && handler != SIG_IGN) note_handler();
}

sighandler_t refused() {
  errno = EINVAL;
  return SIG_ERR;
}

sighandler_t current(int number) {
  struct sigaction before {};
  return __sigaction(number, nullptr, &before) == 0 ? before.sa_handler : SIG_ERR;
}

// What was there before.
sighandler_t installed(int number, sighandler_t handler, int flags) {
  note(handler);
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  return __sigaction(number, &action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

}  // namespace

int sigaction(int number, const struct sigaction* action, struct sigaction* before) noexcept {
  // A bad pointer is the kernel's to refuse; that there is a handler then costs a little time.
  if (action != nullptr) note_handler();
  return __sigaction(number, action, before);
}

sighandler_t signal(int number, sighandler_t handler) noexcept {
  note(handler);
  return ssignal(number, handler);
}

sighandler_t bsd_signal(int number, sighandler_t handler) noexcept {
  return signal(number, handler);
}

// System V's: what signal() is with -std=c11 and its like. The handler is gone once it runs, and nothing restarts.
sighandler_t sysv_signal(int number, sighandler_t handler) noexcept {
  if (handler == SIG_ERR) return refused();
  return installed(number, handler, static_cast<int>(SA_RESETHAND) | SA_NODEFER);
}

sighandler_t __sysv_signal(int number, sighandler_t handler) noexcept {
  return sysv_signal(number, handler);
}

// SIG_HOLD stands for a signal that is blocked, which any other handler unblocks.
sighandler_t sigset(int number, sighandler_t handler) noexcept {
  sigset_t one;
  sigset_t before;
  sigemptyset(&one);
  if (handler == SIG_ERR || sigaddset(&one, number) != 0) return refused();
  const bool holds = handler == SIG_HOLD;
  const sighandler_t replaced = holds ? current(number) : installed(number, handler, 0);
  if (replaced == SIG_ERR) return SIG_ERR;
  pthread_sigmask(holds ? SIG_BLOCK : SIG_UNBLOCK, &one, &before);
  return sigismember(&before, number) == 1 ? SIG_HOLD : replaced;
}
