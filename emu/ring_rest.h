// RingRest: does a ring rest, and since when? Decides only; whoever asks has the clock.
//
// A ring's `mark` is a number that changes whenever bytes are written or read.
// Threads     The loop thread.
#ifndef VMBUS_EMU_RING_REST_H_
#define VMBUS_EMU_RING_REST_H_

#include <chrono>
#include <cstdint>

namespace vmbus::emu {

class RingRest {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Something has moved since the pages were given back, or they never were.
  bool has_moved(std::uint64_t mark) const { return mark != given_back_at_; }
  // Has nothing moved for so long? A mark that was not seen before begins a rest now.
  bool rests(std::uint64_t mark, Time now, std::chrono::nanoseconds long_enough) {
    if (mark != seen_) {
      seen_ = mark;
      since_ = now;
    }
    return now - since_ >= long_enough;
  }
  void gave_back(std::uint64_t mark) { given_back_at_ = mark; }

 private:
  static constexpr std::uint64_t kNever = UINT64_MAX;

  std::uint64_t given_back_at_ = kNever;
  std::uint64_t seen_ = kNever;
  Time since_{};
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_RING_REST_H_
