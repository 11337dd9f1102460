// Spinning for a ring: when it is worth it, and for how long.
//
// Measured on two CPUs (docs/performance.md): a wake-up takes 30 to 50 times as long as the peer's answer,
// so a short spin is the largest gain there is; on one CPU, or beside a peer on the same one, it only
// keeps the peer from running. It never yields: that costs more than it gives when others are busy.
#ifndef VMBUS_SHIM_SPIN_H_
#define VMBUS_SHIM_SPIN_H_

#include <cstddef>
#include <cstdint>

#include "emu/protocol/lane.h"
#include "ringbuf/schedule_point.h"

namespace vmbus::shim {

inline void pause_cpu() {
  ring::schedule_pause();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

// Where libc keeps the kernel's word for the CPU that a thread runs on, from the thread pointer; 0: nowhere, or
// not looked for yet.
extern constinit std::ptrdiff_t g_cpu_offset;
void find_cpu_word();
// Plus one; 0: unknown.
[[gnu::always_inline]] inline std::uint32_t this_cpu() {
  if (g_cpu_offset == 0) return 0;
  auto* word = static_cast<char*>(__builtin_thread_pointer()) + g_cpu_offset;
  // The kernel stores it, for this thread alone; what is no CPU is negative.
  const ring::SharedCell cell(*reinterpret_cast<std::uint32_t*>(word));
  const std::uint32_t cpu = cell.load_relaxed();
  return cpu >> 31 != 0 ? 0 : cpu + 1;
}

// This CPU, for the peer to see.
[[gnu::always_inline]] inline void note_cpu(proto::Lane& lane) {
  const ring::SharedCell<std::uint32_t> shown(lane.cpu);
  if (const std::uint32_t cpu = this_cpu(); shown.load_relaxed() != cpu) shown.store_relaxed(cpu);
}

// Where the program of this lane was last seen.
enum class SeenOn : std::uint8_t { kNowhere, kOurCpu, kAnotherCpu };
inline SeenOn last_seen(proto::Lane& lane) {
  const std::uint32_t ours = this_cpu();
  const std::uint32_t its = ring::SharedCell(lane.cpu).load_relaxed();
  if (ours == 0 || its == 0) return SeenOn::kNowhere;
  return ours == its ? SeenOn::kOurCpu : SeenOn::kAnotherCpu;
}

// The peer of this lane was last seen on another CPU (or nowhere, and more than one is ours), and spins of
// this thread have not been in vain lately: after four it tries every sixteenth only.
bool is_spin_worth_it(const proto::LaneArea& area, std::uint32_t lane);
void note_spin(bool succeeded);
void note_send();

std::int64_t monotonic_ns();
std::int64_t spin_limit_ns();  // VMBUS_SPIN_US
// How many pauses between two looks: more, where this thread only receives, so that the line that both
// sides need is left to the sender for longer.
int pauses_between_looks();

// Until `is_ready`, or the limit. What it said last.
template <typename IsReady>
bool spin_until(IsReady is_ready, std::int64_t limit_ns) {
  constexpr int kLooksPerClock =
      ring::looks(32);  // an answer that comes at once never asks for the time
  const int pauses = pauses_between_looks();
  std::int64_t end = 0;
  while (true) {
    for (int look = 0; look < kLooksPerClock; ++look) {
      if (is_ready()) return true;
      for (int i = 0; i < pauses; ++i) pause_cpu();
    }
    const std::int64_t now = monotonic_ns();
    if (end == 0) end = now + limit_ns;
    if (now >= end) return is_ready();
  }
}

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SPIN_H_
