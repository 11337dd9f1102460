#include "emu/message_log.h"

#include <algorithm>

namespace vmbus::emu {

MessageLog::MessageLog(std::size_t capacity) : ring_(capacity) {}

void MessageLog::record(std::string_view guest, Direction direction,
                        std::span<const std::byte> payload, std::uint64_t now_ns) {
  Record& slot = ring_[next_ % ring_.size()];
  slot.sequence = next_++;
  slot.time_ns = now_ns;
  slot.guest.fill('\0');
  std::copy_n(guest.begin(), std::min(guest.size(), slot.guest.size() - 1), slot.guest.begin());
  slot.direction = direction;
  slot.payload_bytes = static_cast<std::uint8_t>(std::min(payload.size(), kMaxPayload));
  std::copy_n(payload.begin(), slot.payload_bytes, slot.payload.begin());
}

bool MessageLog::has_any_of(std::string_view guest) const {
  const auto end =
      ring_.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(next_, ring_.size()));
  return std::any_of(ring_.begin(), end,
                     [&](const Record& record) { return guest == record.guest.data(); });
}

std::vector<MessageLog::Record> MessageLog::snapshot() const {
  std::vector<Record> records;
  const std::uint64_t first = dropped();
  records.reserve(static_cast<std::size_t>(next_ - first));
  for (std::uint64_t i = first; i < next_; ++i) records.push_back(ring_[i % ring_.size()]);
  return records;
}

}  // namespace vmbus::emu
