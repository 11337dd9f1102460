// poll and ppoll: the carrier's own, with ERR for what only this process knows (zerocopy.h).
#include <signal.h>

#include "shim/interpose.h"
#include "shim/user_memory.h"
#include "shim/zerocopy.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

// libc's answer to a vector that is too small for the count a fortified call was given. Does not
// return.
extern "C" [[noreturn]] void __chk_fail();

namespace {

constexpr size_t kKernelSignalSetBytes = 8;

int poll_carriers(pollfd* asked, nfds_t count, timespec* limit, const sigset_t* mask) {
  const bool has_events = zerocopy_events_exist() && is_readable(asked, count * sizeof *asked) &&
                          has_zerocopy_events(asked, count);
  timespec now{};
  const long result = real::blocking(SYS_ppoll, asked, count, has_events ? &now : limit, mask,
                                     kKernelSignalSetBytes);
  if (!has_events || result < 0) return real::answer_int(result);
  return static_cast<int>(result) + add_zerocopy_events(asked, count);
}

}  // namespace

int poll(pollfd* asked, nfds_t count, int limit_ms) {
#ifdef SYS_poll
  // Where libc has a call of its own for it, a program's seccomp filter may know just that one.
  if (!zerocopy_events_exist()) {
    return real::answer_int(real::blocking(SYS_poll, asked, count, limit_ms));
  }
#endif
  timespec limit{limit_ms / 1000, limit_ms % 1000 * 1'000'000L};
  return poll_carriers(asked, count, limit_ms < 0 ? nullptr : &limit, nullptr);
}

int __poll_chk(pollfd* asked, nfds_t count, int limit_ms, size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return poll(asked, count, limit_ms);
}

int ppoll(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask) {
  if (limit == nullptr) return poll_carriers(asked, count, nullptr, mask);
  timespec copy{};  // the kernel changes it, libc does not
  if (copy_from_program(&copy, limit, sizeof copy) != 0) return real::answer_int(-EFAULT);
  return poll_carriers(asked, count, &copy, mask);
}

int __ppoll_chk(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask,
                size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return ppoll(asked, count, limit, mask);
}
