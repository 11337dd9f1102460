#include "emu/timer_queue.h"

#include <utility>

namespace vmbus::emu {

TimerId TimerQueue::add(Time due, Task task) {
  const TimerId id{due, ++last_number_};
  timers_.emplace(id, std::move(task));
  return id;
}

bool TimerQueue::cancel(TimerId id) { return timers_.erase(id) != 0; }

std::optional<TimerQueue::Time> TimerQueue::next_due() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first.due;
}

void TimerQueue::run_due(Time now) {
  const std::uint64_t newest = last_number_;
  auto next = timers_.begin();
  while (next != timers_.end() && next->first.due <= now) {
    const TimerId id = next->first;
    if (id.number <= newest) {
      const auto running = timers_.extract(next);
      running.mapped()();
    }
    // The task may have changed the map around its own place, so look again from there.
    next = timers_.upper_bound(id);
  }
}

}  // namespace vmbus::emu
