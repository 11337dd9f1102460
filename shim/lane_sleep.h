// Sleeping on a lane until a sender, or the daemon, has something for its reader: a futex, so the one
// who wakes does it with one call and without the daemon.
//
// Signals     A sleep ends with EINTR, or goes on, as the handler's SA_RESTART says: futex_waitv (Linux
//             5.16) restarts like recv does, even with a time limit, FUTEX_WAIT with one never does, and is faster:
//             it is for programs without handlers, and of one thread, as another might install one meanwhile. Where the kernel lacks the former, or a filter forbids it, readers
//             of the others wait on the carrier.
// Limits      Nobody wakes on behalf of a daemon that was killed, or of a shutdown that no hook saw: a
//             reader's sleep ends every half second, and it looks at the carrier. A writer's ends after
//             some milliseconds without room, and it goes on through the carrier.
#ifndef VMBUS_SHIM_LANE_SLEEP_H_
#define VMBUS_SHIM_LANE_SLEEP_H_

#include <cstdint>

namespace vmbus::shim {

inline constexpr std::int64_t kReaderSleepNs = 500'000'000;
inline constexpr std::int64_t kWriterSleepNs = 5'000'000;

enum class Slept : unsigned char {
  kWoken,        // or there was no reason to sleep
  kLongEnough,   // the limit is over
  kInterrupted,  // by a signal
  kNever,        // this process cannot
};

// Whether a call on `fd` that has to wait may do so on a lane: it has no time limit of its own
// (`option`: SO_RCVTIMEO or SO_SNDTIMEO).
bool may_sleep_on_lane(int fd, int option);
// What the kernel said of a descriptor's waits (O_NONBLOCK, SO_RCVTIMEO) holds while this number stays the same; it is
// never 0. One number for all: such changes are rare beside receives.
std::uint32_t waits_epoch();
void note_waits_changed();
// The last change that a hook saw of the socket with this entry: a number, or another one since. 0: of none that is
// remembered.
std::uint64_t last_waits_change(std::uint16_t endpoint);
void note_waits_changed_of(std::uint16_t endpoint);
struct LaneSleep {
  std::int64_t limit_ns;
  bool restarts;  // after a handler with SA_RESTART; otherwise any signal ends it
};
// While `word` is `value`. A cancellation point; holds nothing.
Slept sleep_on_lane(std::uint32_t& word, std::uint32_t value, LaneSleep how);
// How many slept on `word`.
long wake_from_lane(std::uint32_t& word);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_LANE_SLEEP_H_
