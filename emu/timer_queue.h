// TimerQueue: what is to be done at which time. Decides only; the event loop has the clock and
// waits.
//
// Threads     The loop thread.
// Order       By due time; equal times in the order of add().
// Re-entry    A task may add and cancel timers, also ones that are due in the same run_due().
#ifndef VMBUS_EMU_TIMER_QUEUE_H_
#define VMBUS_EMU_TIMER_QUEUE_H_

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

namespace vmbus::emu {

// Names one timer. A default one names none; cancelling it does nothing.
struct TimerId {
  std::chrono::steady_clock::time_point due{};
  std::uint64_t number = 0;

  friend auto operator<=>(const TimerId&, const TimerId&) = default;
};

class TimerQueue {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Task = std::function<void()>;

  TimerId add(Time due, Task task);
  // False: it has run, or never was.
  bool cancel(TimerId id);
  std::optional<Time> next_due() const;
  // Runs what is due, each once. A timer that a task adds waits for the next call, however short it
  // is, so that timers cannot keep the loop from its descriptors.
  void run_due(Time now);

 private:
  std::map<TimerId, Task> timers_;
  std::uint64_t last_number_ = 0;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_TIMER_QUEUE_H_
