// epoll: instances are known (epoll_sets.h), and waits look at rings.
#include <signal.h>

#include <algorithm>

#include "shim/epoll_sets.h"
#include "shim/interpose.h"
#include "shim/ring_wait.h"
#include "shim/user_memory.h"
#include "shim/user_ranges.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

namespace {

constexpr size_t kKernelSignalSetBytes = 8;

constinit thread_local bool t_kernels_turn = false;

int new_epoll(long result) {
  if (result >= 0) note_epoll(static_cast<int>(result));
  return foreign_descriptor(result);
}

// One call of epoll_wait() or its kin.
class EpollCall {
 public:
  enum class Kind : unsigned char { kWait, kPwait, kPwait2 };

  EpollCall(int epoll_fd, epoll_event* events, int room, int limit_ms, Kind kind,
            const sigset_t* mask)
      : epoll_fd_(epoll_fd),
        events_(events),
        room_(room),
        kind_(kind),
        limit_ms_(limit_ms),
        mask_(mask),
        limit_(TimeLimit::of_ms(limit_ms)) {}
  EpollCall(int epoll_fd, epoll_event* events, int room, const timespec* limit,
            const sigset_t* mask)
      : epoll_fd_(epoll_fd),
        events_(events),
        room_(room),
        kind_(Kind::kPwait2),
        limit_spec_(limit),
        mask_(mask),
        limit_(TimeLimit::of(limit)) {}

  KnownPlaces places() {
    watched_ = watched_ends(epoll_fd_);
    if (watched_.places == 0 || !may_look_at_rings()) return 0;
    const auto most = static_cast<size_t>(std::clamp(room_, 0, static_cast<int>(kKnownEnds)));
    const bool may_look = most > 0 && TimeLimit::is_legal(limit_spec_) &&
                          may_touch(events_, most * sizeof *events_, Access::kWrite);
    return may_look ? watched_.places : 0;
  }
  bool is_alone(int count) const {
    return watched_.others == 0 && count == __builtin_popcount(watched_.places) && mask_ == nullptr;
  }

  // Where there is room for the rings' events alone, they and the kernel's take turns.
  long ask(Ask how, int room_kept) {
    int room = room_;
    if (room_kept > 0 && room_kept < room_) room -= room_kept;
    if (room_kept >= room_ && room_kept > 0) {
      t_kernels_turn = !t_kernels_turn;
      if (!t_kernels_turn) return 0;
    }
    if (kind_ == Kind::kPwait2) return ask_timespec(how, room);
    const int limit_ms =
        how == Ask::kNow ? 0 : (limit_.is_running() ? limit_.left_ms() : limit_ms_);
#ifdef SYS_epoll_wait
    // Where libc has a call of its own for it, a program's seccomp filter may know just that one.
    if (kind_ == Kind::kWait) {
      return real::blocking(SYS_epoll_wait, epoll_fd_, events_, room, limit_ms);
    }
#endif
    return real::blocking(SYS_epoll_pwait, epoll_fd_, events_, room, limit_ms, mask_,
                          kKernelSignalSetBytes);
  }

  long report(const AskedEnds& ends, long found) {
    const long by_kernel = found;
    for (KnownPlaces left = ends.readable(); left != 0; left &= left - 1) {
      const KnownEnd& known = first_known(left);
      const InputEvent input = input_event(epoll_fd_, known.fd);
      if (input.event.events == 0) continue;
      // The kernel speaks of it only if its carrier has something to say, or for what else is asked.
      const bool may_be_told = input.asks_kernel || known.end.asks_carrier();
      if (may_be_told && join(input.event, by_kernel)) continue;
      if (found < room_) events_[found++] = input.event;
    }
    return found;
  }

  TimeLimit& limit() { return limit_; }
  bool may_sleep() const { return true; }
  bool begin_sleep(std::uint32_t& sleepers) const {
    return begin_epoll_sleep(epoll_fd_, watched_.version, sleepers);
  }
  void end_sleep() const { end_epoll_sleep(epoll_fd_); }

 private:
  long ask_timespec(Ask how, int room) {
    timespec limit{};
    const timespec* asked = how == Ask::kNow ? &limit : limit_spec_;
    if (how == Ask::kUntilLimit && limit_.is_running()) {
      limit = limit_.left();
      asked = &limit;
    }
    return real::blocking(SYS_epoll_pwait2, epoll_fd_, events_, room, asked, mask_,
                          kKernelSignalSetBytes);
  }

  // To what the kernel said of the same descriptor, as far as its data tells.
  bool join(const epoll_event& event, long by_kernel) {
    for (long i = 0; i < by_kernel; ++i) {
      if (events_[i].data.u64 != event.data.u64) continue;
      events_[i].events |= event.events;
      return true;
    }
    return false;
  }

  int epoll_fd_;
  epoll_event* events_;
  int room_;
  Kind kind_;
  int limit_ms_ = 0;
  const timespec* limit_spec_ = nullptr;
  const sigset_t* mask_;
  TimeLimit limit_;
  WatchedEnds watched_;
};

}  // namespace

int epoll_create(int size) noexcept {
  return size <= 0 ? real::answer_int(-EINVAL) : epoll_create1(0);
}

int epoll_create1(int flags) noexcept { return new_epoll(real::call(SYS_epoll_create1, flags)); }

int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) noexcept {
  return real::answer_int(control_epoll(epoll_fd, operation, fd, event));
}

int epoll_wait(int epoll_fd, epoll_event* events, int room, int limit_ms) {
  EpollCall call(epoll_fd, events, room, limit_ms, EpollCall::Kind::kWait, nullptr);
  return real::answer_int(RingWait(call).run());
}

int epoll_pwait(int epoll_fd, epoll_event* events, int room, int limit_ms, const sigset_t* mask) {
  EpollCall call(epoll_fd, events, room, limit_ms, EpollCall::Kind::kPwait, mask);
  return real::answer_int(RingWait(call).run());
}

int epoll_pwait2(int epoll_fd, epoll_event* events, int room, const timespec* limit,
                 const sigset_t* mask) {
  timespec copy{};
  if (limit != nullptr && copy_from_program(&copy, limit, sizeof copy) != 0) {
    return real::answer_int(-EFAULT);
  }
  EpollCall call(epoll_fd, events, room, limit == nullptr ? nullptr : &copy, mask);
  return real::answer_int(RingWait(call).run());
}
