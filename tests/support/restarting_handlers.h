// Makes every handler of this process one with SA_RESTART: a sanitizer's runtime has some without.
#ifndef VMBUS_TESTS_SUPPORT_RESTARTING_HANDLERS_H_
#define VMBUS_TESTS_SUPPORT_RESTARTING_HANDLERS_H_

#include <signal.h>

namespace vmbus::test {

inline void make_handlers_restart() {
  for (int number = 1; number < SIGRTMIN; ++number) {
    struct sigaction action {};
    if (::sigaction(number, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) continue;
    action.sa_flags |= SA_RESTART;
    ::sigaction(number, &action, nullptr);
  }
}

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SUPPORT_RESTARTING_HANDLERS_H_
