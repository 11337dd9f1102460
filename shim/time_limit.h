// TimeLimit: how long a wait may take. Its clock starts when somebody first asks what is left.
#ifndef VMBUS_SHIM_TIME_LIMIT_H_
#define VMBUS_SHIM_TIME_LIMIT_H_

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "shim/spin.h"

namespace vmbus::shim {

class TimeLimit {
 public:
  static constexpr std::int64_t kNone = INT64_MAX;
  static constexpr std::int64_t kSecondNs = 1'000'000'000;

  static TimeLimit of_ms(int limit_ms) {
    return TimeLimit(limit_ms < 0 ? kNone : std::int64_t{limit_ms} * 1'000'000);
  }
  // Will the kernel have it? Null: none.
  static bool is_legal(const timespec* limit) {
    return limit == nullptr ||
           (limit->tv_sec >= 0 && limit->tv_nsec >= 0 && limit->tv_nsec < kSecondNs);
  }
  static TimeLimit of(const timespec* limit) {
    std::int64_t ns = kNone;
    const bool ends = limit != nullptr && !__builtin_mul_overflow(limit->tv_sec, kSecondNs, &ns) &&
                      !__builtin_add_overflow(ns, limit->tv_nsec, &ns);
    return TimeLimit(ends ? ns : kNone);
  }

  std::int64_t left_ns() {
    if (limit_ns_ == 0 || limit_ns_ == kNone) return limit_ns_;
    const std::int64_t now = monotonic_ns();
    if (end_ns_ == 0) end_ns_ = now + std::min(limit_ns_, kNone - now);
    return std::max<std::int64_t>(end_ns_ - now, 0);
  }
  // Has left_ns() been asked for a limit that runs?
  bool is_running() const { return end_ns_ != 0; }
  // Rounded up.
  int left_ms() { return static_cast<int>((left_ns() + 999'999) / 1'000'000); }
  timespec left() {
    const std::int64_t ns = left_ns();
    return {ns / kSecondNs, ns % kSecondNs};
  }

 private:
  explicit TimeLimit(std::int64_t limit_ns) : limit_ns_(limit_ns) {}

  std::int64_t limit_ns_;
  std::int64_t end_ns_ = 0;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_TIME_LIMIT_H_
