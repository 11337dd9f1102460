// poll and ppoll: the carrier's own, put right (poll_events.h).
#include <signal.h>

#include "shim/interpose.h"
#include "shim/poll_events.h"
#include "shim/polling.h"
#include "shim/sandbox.h"
#include "shim/user_memory.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

// libc's answer to a vector that is too small for the count a fortified call was given. Does not
// return.
extern "C" [[noreturn]] void __chk_fail();

namespace {

constexpr size_t kKernelSignalSetBytes = 8;

int amended(pollfd* asked, nfds_t count, long result) {
  if (result < 0) return real::answer_int(result);
  return amend_events(asked, count, static_cast<int>(result));
}

// Is there to be no wait, because an event is there that the kernel does not see?
bool is_due(pollfd* asked, nfds_t count) {
  begin_polling();
  return errors_may_exist() && !is_sandboxed() && is_readable(asked, count * sizeof *asked) &&
         has_error(asked, count);
}

int ppoll_carriers(pollfd* asked, nfds_t count, timespec* limit, const sigset_t* mask) {
  timespec now{};
  return amended(asked, count,
                 real::blocking(SYS_ppoll, asked, count, is_due(asked, count) ? &now : limit, mask,
                                kKernelSignalSetBytes));
}

}  // namespace

int poll(pollfd* asked, nfds_t count, int limit_ms) {
#ifdef SYS_poll
  // Where libc has a call of its own for it, a program's seccomp filter may know just that one.
  return amended(asked, count,
                 real::blocking(SYS_poll, asked, count, is_due(asked, count) ? 0 : limit_ms));
#else
  timespec limit{limit_ms / 1000, limit_ms % 1000 * 1'000'000L};
  return ppoll_carriers(asked, count, limit_ms < 0 ? nullptr : &limit, nullptr);
#endif
}

int __poll_chk(pollfd* asked, nfds_t count, int limit_ms, size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return poll(asked, count, limit_ms);
}

int ppoll(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask) {
  if (limit == nullptr) return ppoll_carriers(asked, count, nullptr, mask);
  timespec copy{};  // the kernel changes it, libc does not
  if (copy_from_program(&copy, limit, sizeof copy) != 0) return real::answer_int(-EFAULT);
  return ppoll_carriers(asked, count, &copy, mask);
}

int __ppoll_chk(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask,
                size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return ppoll(asked, count, limit, mask);
}
