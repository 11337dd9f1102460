// EventFlags: 2048 bits that one side sets and the other takes, each bit atomically.
#ifndef VMBUS_EMU_EVENT_FLAGS_H_
#define VMBUS_EMU_EVENT_FLAGS_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace vmbus::emu {

inline constexpr std::size_t kEventFlagCount = 2048;
using EventFlags = std::array<std::atomic<std::uint64_t>, kEventFlagCount / 64>;
static_assert(sizeof(EventFlags) == 256 && std::atomic<std::uint64_t>::is_always_lock_free);

// True if the bit was clear before. REQUIRES: bit < kEventFlagCount.
inline bool set_flag(EventFlags& flags, std::size_t bit) {
  const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
  return (flags[bit / 64].fetch_or(mask) & mask) == 0;
}

// Visits each bit that is set, lowest first. A word is cleared before its bits are visited: a bit
// that is set during the visit is news, and is found the next time.
template <typename Visit>
void take_flags(EventFlags& flags, Visit visit) {
  for (std::size_t i = 0; i < flags.size(); ++i) {
    std::uint64_t word = flags[i].load() == 0 ? 0 : flags[i].exchange(0);
    for (; word != 0; word &= word - 1) {
      visit(i * 64 + static_cast<std::size_t>(std::countr_zero(word)));
    }
  }
}

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_EVENT_FLAGS_H_
