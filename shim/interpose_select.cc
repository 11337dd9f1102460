// select and pselect: the rings' bytes and the carriers'.
#include <signal.h>

#include <array>
#include <cstring>

#include "shim/interpose.h"
#include "shim/ring_wait.h"
#include "shim/user_memory.h"
#include "shim/user_ranges.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

namespace {

constexpr size_t kKernelSignalSetBytes = 8;
constexpr long kSecondUs = 1'000'000;

// pselect6's last argument.
struct MaskArgument {
  const sigset_t* mask;
  size_t bytes;
};

// One call. The kernel puts its answer where the question was, so that is kept.
class SelectCall {
 public:
  SelectCall(int count, std::array<fd_set*, 3> sets, timespec* limit, const sigset_t* mask)
      : count_(count),
        sets_(sets),
        limit_spec_(limit),
        mask_{mask, kKernelSignalSetBytes},
        limit_(TimeLimit::of(limit)) {}

  KnownPlaces places() {
    if (!may_look_at_rings() || !may_look()) return 0;
    restore();
    KnownPlaces places = 0;
    for (KnownPlaces left = t_known_places; left != 0; left &= left - 1) {
      const int fd = first_known(left).fd;
      if (fd >= 0 && fd < count_ && FD_ISSET(fd, &asked_[0])) places |= left & -left;
    }
    return places;
  }
  bool is_alone(int /*count*/) const { return false; }

  long ask(Ask how, int /*room_kept*/) {
    restore();
    timespec now{};
    if (how == Ask::kUntilLimit && limit_.is_running()) *limit_spec_ = limit_.left();
    is_answered_ = is_kept_;
    return real::blocking(SYS_pselect6, count_, sets_[0], sets_[1], sets_[2],
                          how == Ask::kNow ? &now : limit_spec_,
                          mask_.mask == nullptr ? nullptr : &mask_);
  }

  long report(const AskedEnds& ends, long found) {
    for (fd_set* set : sets_) {
      if (found == 0 && set != nullptr) std::memset(set, 0, set_bytes());
    }
    is_answered_ = true;
    for (int fd = 0; fd < count_; ++fd) {
      if (!ends.is_readable(fd) || !FD_ISSET(fd, &asked_[0]) || FD_ISSET(fd, sets_[0])) continue;
      FD_SET(fd, sets_[0]);
      ++found;
    }
    if (limit_.is_running()) *limit_spec_ = limit_.left();
    return found;
  }

  TimeLimit& limit() { return limit_; }
  bool may_sleep() const { return false; }
  bool begin_sleep(std::uint32_t& /*sleepers*/) const { return false; }
  void end_sleep() const {}

 private:
  size_t set_bytes() const { return (static_cast<size_t>(count_) + 63) / 64 * 8; }

  // Keeps what is asked, the first time.
  bool may_look() {
    if (is_kept_) return true;
    const bool is_shared = sets_[0] == sets_[1] || sets_[0] == sets_[2];  // one answer upon another
    if (count_ <= 0 || count_ > FD_SETSIZE || sets_[0] == nullptr || is_shared ||
        !TimeLimit::is_legal(limit_spec_)) {
      return false;
    }
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (sets_[i] == nullptr) continue;
      if (!may_touch(sets_[i], set_bytes(), Access::kWrite)) return false;
      std::memcpy(&asked_[i], sets_[i], set_bytes());
    }
    is_kept_ = true;
    return true;
  }

  void restore() {
    if (!is_answered_) return;
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (sets_[i] != nullptr) std::memcpy(sets_[i], &asked_[i], set_bytes());
    }
    is_answered_ = false;
  }

  int count_;
  std::array<fd_set*, 3> sets_;
  timespec* limit_spec_;
  MaskArgument mask_;
  TimeLimit limit_;
  std::array<fd_set, 3> asked_;
  bool is_kept_ = false;
  bool is_answered_ = false;  // the program's sets hold an answer
};

long select_until(int count, fd_set* readable, fd_set* writable, fd_set* excepted, timespec* limit,
                  const sigset_t* mask) {
  SelectCall call(count, {readable, writable, excepted}, limit, mask);
  return RingWait(call).run();
}

}  // namespace

int select(int count, fd_set* readable, fd_set* writable, fd_set* excepted, timeval* limit) {
  if (limit == nullptr) {
    return real::answer_int(select_until(count, readable, writable, excepted, nullptr, nullptr));
  }
  timeval asked{};
  if (copy_from_program(&asked, limit, sizeof asked) != 0) return real::answer_int(-EFAULT);
  if (asked.tv_sec < 0 || asked.tv_usec < 0) return real::answer_int(-EINVAL);
  timespec left{};  // the kernel leaves there what it did not use, and Linux' select tells it
  if (__builtin_add_overflow(asked.tv_sec, asked.tv_usec / kSecondUs, &left.tv_sec)) {
    return real::answer_int(-EINVAL);
  }
  left.tv_nsec = asked.tv_usec % kSecondUs * 1000;
  const long result = select_until(count, readable, writable, excepted, &left, nullptr);
  const timeval rest{left.tv_sec, left.tv_nsec / 1000};
  static_cast<void>(
      copy_to_program(limit, &rest, sizeof rest));  // may be read-only, as for the kernel
  return real::answer_int(result);
}

int pselect(int count, fd_set* readable, fd_set* writable, fd_set* excepted, const timespec* limit,
            const sigset_t* mask) {
  if (limit == nullptr) {
    return real::answer_int(select_until(count, readable, writable, excepted, nullptr, mask));
  }
  timespec copy{};  // the kernel changes it, libc does not
  if (copy_from_program(&copy, limit, sizeof copy) != 0) return real::answer_int(-EFAULT);
  return real::answer_int(select_until(count, readable, writable, excepted, &copy, mask));
}
