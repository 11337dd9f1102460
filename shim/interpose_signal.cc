// Calls that install signal handlers: seen, and passed on to libc by its other names for them.
#include <signal.h>

#include "shim/interpose.h"
#include "shim/signals.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

extern "C" int __sigaction(int number, const struct sigaction* action, struct sigaction* before);

namespace {

void note(sighandler_t handler) {
  if (handler != SIG_DFL && handler != SIG_IGN) note_handler();
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
