// SintTarget: where the host sends messages and signals, namely to one synthetic interrupt source
// of a processor.
#ifndef VMBUS_EMU_SINT_TARGET_H_
#define VMBUS_EMU_SINT_TARGET_H_

#include <cstdint>

#include "emu/protocol/ids.h"

namespace vmbus::emu {

// The source for the signals of a channel whose guest asked for redirection at open.
inline constexpr std::uint8_t kRedirectedSint = 7;

struct SintTarget {
  proto::VpIndex vp{0};
  std::uint8_t sint = proto::kVmbusSint;

  friend bool operator==(const SintTarget&, const SintTarget&) = default;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_SINT_TARGET_H_
