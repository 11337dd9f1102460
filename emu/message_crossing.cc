#include "emu/message_crossing.h"

#include <chrono>
#include <cstdint>

namespace vmbus::emu {

void MessageCrossing::crossed(Direction direction, std::span<const std::byte> payload) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  counters_.add(direction == Direction::kGuestToHost ? Counter::kMessagesGuestToHost
                                                     : Counter::kMessagesHostToGuest);
  log_.record(guest_, direction, payload, static_cast<std::uint64_t>(now_ns));
}

}  // namespace vmbus::emu
