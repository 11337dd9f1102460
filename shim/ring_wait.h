// A wait in poll, select or epoll that looks at rings before it asks the kernel: the steps that all have in
// common. What is asked, and where the answer goes, is the Call's:
//
//   KnownPlaces places()      the sockets asked for input, of those that this thread has read lately
//   bool is_alone(count)      so many of them are all that is asked about: the rings' answer needs no kernel
//   long ask(how, room_kept)  the kernel's call, at once or until the limit; some room is kept for the rings'
//                             events. -errno or a count
//   long report(ends, found)  adds what the rings have to the kernel's `found`; 0: it found nothing. A count
//   TimeLimit& limit()
//   bool may_sleep()          who is alone with one ring may sleep on its lane
//   bool begin_sleep(word)    and nothing has changed. end_sleep()
//
// Signals     End a sleep with EINTR, as they end a wait in the kernel, whatever their handler's flags.
#ifndef VMBUS_SHIM_RING_WAIT_H_
#define VMBUS_SHIM_RING_WAIT_H_

#include <errno.h>

#include <algorithm>
#include <cstdint>

#include "shim/asked_ends.h"
#include "shim/lane_sleep.h"
#include "shim/real.h"
#include "shim/spin.h"
#include "shim/time_limit.h"

namespace vmbus::shim {

// Outside of every result.
inline constexpr long kLookAgain = -7000;
inline constexpr long kWaitInKernel = -7001;

enum class Ask : unsigned char { kNow, kUntilLimit };

template <typename Call>
class RingWait {
 public:
  explicit RingWait(Call& call) : call_(call) {}

  long run() {
    while (true) {
      const long result = attempt();
      if (result == kWaitInKernel) return call_.ask(Ask::kUntilLimit, 0);
      if (result != kLookAgain) return result;
    }
  }

 private:
  // All that is held of the thread's knowledge is given up before the kernel is waited in.
  long attempt() {
    AskedEnds ends(call_.places());
    if (ends.count() == 0) return kWaitInKernel;
    const bool is_alone = call_.is_alone(ends.count());
    if (ends.look()) return answer(ends, is_alone);
    const bool is_now = call_.limit().left_ns() == 0;
    if (is_now || !is_alone) {
      const long found = call_.ask(Ask::kNow, 0);
      if (is_now || found != 0) return found;
    }
    long others = 0;
    const auto ask_others = [&] {
      if (!is_alone) others = call_.ask(Ask::kNow, 0);
      return others != 0;
    };
    const std::int64_t limit_ns = std::min(spin_limit_ns(), call_.limit().left_ns());
    const bool has_news = ends.spin(limit_ns, ask_others) && ends.look();
    if (others < 0) return others;
    if (others > 0) return call_.report(ends, others);
    if (has_news) return answer(ends, is_alone);
    if (is_alone && ends.count() == 1 && call_.may_sleep()) return sleep(ends.only());
    ends.cool();
    return kWaitInKernel;
  }

  long answer(AskedEnds& ends, bool is_alone) {
    real::cancellation_point();
    const bool asks = ends.asks_kernel() || !is_alone || AskedEnds::is_kernels_turn();
    const int readable = __builtin_popcount(ends.readable());
    const long found = asks ? call_.ask(Ask::kNow, readable) : 0;
    // A signal, and there is something to say: that comes first.
    if (found < 0 && !(found == -EINTR && readable != 0)) return found;
    const long count = call_.report(ends, std::max(found, 0L));
    if (count != 0) return count;
    // The daemon has yet to bring it, or did so long ago.
    ends.cool();
    return kWaitInKernel;
  }

  long sleep(const DirectEnd& end) {
    const std::int64_t limit_ns = std::min(kReaderSleepNs, call_.limit().left_ns());
    const Slept slept = end.sleep_until_stirred(
        limit_ns, [&](std::uint32_t& sleepers) { return call_.begin_sleep(sleepers); });
    call_.end_sleep();
    if (slept == Slept::kInterrupted) return -EINTR;
    if (slept == Slept::kNever) {
      end.cool();
      return kWaitInKernel;
    }
    if (slept == Slept::kWoken) return kLookAgain;
    // Nobody wakes on behalf of a daemon that was killed.
    const long found = call_.ask(Ask::kNow, 0);
    return found != 0 || call_.limit().left_ns() == 0 ? found : kLookAgain;
  }

  Call& call_;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_RING_WAIT_H_
