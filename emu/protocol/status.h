// Status: the 32-bit outcome that result messages carry.  Read as signed, >= 0 is success.
#ifndef VMBUS_EMU_PROTOCOL_STATUS_H_
#define VMBUS_EMU_PROTOCOL_STATUS_H_

#include <cstdint>

namespace vmbus::proto {

struct Status {
  std::uint32_t value{};

  constexpr bool ok() const { return static_cast<std::int32_t>(value) >= 0; }
  friend constexpr bool operator==(const Status&, const Status&) = default;
};

inline constexpr Status kStatusSuccess{0};
inline constexpr Status kStatusUnsuccessful{0x8000'FFFF};       // GPADL, open and modify
inline constexpr Status kStatusConnectionRefused{0xC000'0236};  // TL_CONNECT_RESULT

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_STATUS_H_
