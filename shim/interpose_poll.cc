// poll and ppoll: the rings' bytes and the carrier's events, put right (poll_events.h).
#include <signal.h>

#include "shim/interpose.h"
#include "shim/poll_events.h"
#include "shim/ring_wait.h"
#include "shim/sandbox.h"
#include "shim/user_memory.h"
#include "shim/user_ranges.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

// libc's answer to a vector that is too small for the count a fortified call was given. Does not
// return.
extern "C" [[noreturn]] void __chk_fail();

namespace {

constexpr size_t kKernelSignalSetBytes = 8;
constexpr nfds_t kMostAsked = 64;  // who asks about more has much else to do

constexpr short kInput = POLLIN | POLLRDNORM;
// Rings know when there is none of it.
constexpr short kKnownToRings = kInput | POLLRDHUP | POLLPRI | POLLERR | POLLHUP | POLLNVAL;

// One call of poll(), or ppoll() with a time limit of its own and a mask.
class PollCall {
 public:
  PollCall(pollfd* asked, nfds_t count, int limit_ms)
      : asked_(asked), count_(count), limit_ms_(limit_ms), limit_(TimeLimit::of_ms(limit_ms)) {}
  PollCall(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask)
      : asked_(asked),
        count_(count),
        is_ppoll_(true),
        limit_spec_(limit),
        mask_(mask),
        limit_(TimeLimit::of(limit)) {}

  KnownPlaces places() {
    KnownPlaces places = 0;
    others_ = 0;
    const bool may_look = may_look_at_rings() && count_ <= kMostAsked &&
                          TimeLimit::is_legal(limit_spec_) &&
                          may_touch(asked_, count_ * sizeof *asked_, Access::kWrite);
    for (nfds_t i = 0; may_look && i < count_; ++i) {
      const int fd = asked_[i].fd;
      if (fd < 0) continue;
      const bool known = t_known_ends[known_place(fd)].fd == fd && (asked_[i].events & kInput) != 0;
      places |= known ? place_bit(fd) : 0;
      others_ += known && (asked_[i].events & ~kKnownToRings) == 0 ? 0 : 1;
    }
    known_ = __builtin_popcount(places);
    return places;
  }
  bool is_alone(int count) const {
    return others_ == 0 && count == known_ && mask_ == nullptr && !errors_may_exist();
  }

  long ask(Ask how, int /*room_kept*/) {
    const bool is_now = how == Ask::kNow || is_due();
    const long result = is_ppoll_ ? ask_ppoll(is_now) : ask_poll(is_now);
    return result < 0 ? result : amend_events(asked_, count_, static_cast<int>(result));
  }

  long report(const AskedEnds& ends, long found) {
    const bool is_clear = found == 0;
    for (nfds_t i = 0; i < count_; ++i) {
      if (is_clear) asked_[i].revents = 0;
      const auto events = static_cast<short>(asked_[i].events & kInput);
      if (events == 0 || !ends.is_readable(asked_[i].fd)) continue;
      if (asked_[i].revents == 0) ++found;
      asked_[i].revents = static_cast<short>(asked_[i].revents | events);
    }
    return found;
  }

  TimeLimit& limit() { return limit_; }
  bool may_sleep() const { return true; }
  bool begin_sleep(std::uint32_t& /*sleepers*/) const { return true; }
  void end_sleep() const {}

 private:
  // Is there to be no wait, because an event is there that the kernel does not see?
  bool is_due() {
    return errors_may_exist() && !is_sandboxed() && is_readable(asked_, count_ * sizeof *asked_) &&
           has_error(asked_, count_);
  }

  long ask_poll(bool is_now) {
    const int limit_ms = is_now ? 0 : (limit_.is_running() ? limit_.left_ms() : limit_ms_);
#ifdef SYS_poll
    // Where libc has a call of its own for it, a program's seccomp filter may know just that one.
    return real::blocking(SYS_poll, asked_, count_, limit_ms);
#else
    timespec limit{limit_ms / 1000, limit_ms % 1000 * 1'000'000L};
    return real::blocking(SYS_ppoll, asked_, count_, limit_ms < 0 ? nullptr : &limit, nullptr,
                          kKernelSignalSetBytes);
#endif
  }

  long ask_ppoll(bool is_now) {
    timespec limit{};  // the kernel changes it, libc does not
    if (!is_now && limit_spec_ != nullptr) {
      limit = limit_.is_running() ? limit_.left() : *limit_spec_;
    }
    const bool has_limit = is_now || limit_spec_ != nullptr;
    return real::blocking(SYS_ppoll, asked_, count_, has_limit ? &limit : nullptr, mask_,
                          kKernelSignalSetBytes);
  }

  pollfd* asked_;
  nfds_t count_;
  bool is_ppoll_ = false;
  int limit_ms_ = 0;
  const timespec* limit_spec_ = nullptr;
  const sigset_t* mask_ = nullptr;
  TimeLimit limit_;
  int known_ = 0;
  int others_ = 0;
};

}  // namespace

int poll(pollfd* asked, nfds_t count, int limit_ms) {
  PollCall call(asked, count, limit_ms);
  return real::answer_int(RingWait(call).run());
}

int __poll_chk(pollfd* asked, nfds_t count, int limit_ms, size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return poll(asked, count, limit_ms);
}

int ppoll(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask) {
  timespec copy{};
  if (limit != nullptr && copy_from_program(&copy, limit, sizeof copy) != 0) {
    return real::answer_int(-EFAULT);
  }
  PollCall call(asked, count, limit == nullptr ? nullptr : &copy, mask);
  return real::answer_int(RingWait(call).run());
}

int __ppoll_chk(pollfd* asked, nfds_t count, const timespec* limit, const sigset_t* mask,
                size_t room) {
  if (room / sizeof *asked < count) __chk_fail();
  return ppoll(asked, count, limit, mask);
}
