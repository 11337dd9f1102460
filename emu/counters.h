// Counters: what happened, by kind; shown by `vmbus status` and documented in docs/counters.md.
//
// Whatever a peer or a program can trigger is counted here, once a kind, instead of being logged
// each time.
// Threads     The loop thread writes; reports read on the same thread.
#ifndef VMBUS_EMU_COUNTERS_H_
#define VMBUS_EMU_COUNTERS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmbus::emu {

enum class Counter : std::size_t {
#define VMBUS_COUNTER(id, name, meaning) id,
#include "emu/counters.inc"
#undef VMBUS_COUNTER
  kCount
};

class Counters {
 public:
  void add(Counter counter, std::uint64_t amount = 1) {
    values_[static_cast<std::size_t>(counter)] += amount;
  }
  std::uint64_t value(Counter counter) const { return values_[static_cast<std::size_t>(counter)]; }
  static std::string_view name(Counter counter);
  static std::string_view meaning(Counter counter);

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Counter::kCount)> values_{};
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_COUNTERS_H_
