// MessageLog: the last control messages of every guest, in a bounded ring that the tools read
// (`vmbus messages`).
//
// Threads     The loop thread. Recording overwrites the oldest record; it allocates nothing after
//             construction.
#ifndef VMBUS_EMU_MESSAGE_LOG_H_
#define VMBUS_EMU_MESSAGE_LOG_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace vmbus::emu {

enum class Direction : std::uint8_t { kGuestToHost, kHostToGuest };

class MessageLog {
 public:
  static constexpr std::size_t kMaxPayload = 240;  // a SynIC message's (docs/protocol.md)
  struct Record {
    std::uint64_t sequence = 0;
    std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
    std::array<char, 32> guest{};
    Direction direction = Direction::kGuestToHost;
    std::uint8_t payload_bytes = 0;
    std::array<std::byte, kMaxPayload> payload{};
  };

  explicit MessageLog(std::size_t capacity = 4096);

  // The bytes as they crossed the bus. Longer payloads are cut at kMaxPayload.
  void record(std::string_view guest, Direction direction, std::span<const std::byte> payload,
              std::uint64_t now_ns);

  std::uint64_t recorded() const { return next_; }
  std::uint64_t dropped() const { return next_ > ring_.size() ? next_ - ring_.size() : 0; }
  bool has_any_of(std::string_view guest) const;
  // Oldest first.
  std::vector<Record> snapshot() const;

 private:
  std::vector<Record> ring_;
  std::uint64_t next_ = 0;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_MESSAGE_LOG_H_
