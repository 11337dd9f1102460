// ProtocolError: what one end of the bus did against the rules, as the other end sees it.
//
// An error costs the peer its message, at most its channel; it never ends the connection and never
// touches another channel. What goes back, if anything does, is decided where the error arises.
// Each kind has a counter of its own.
// Contract    docs/protocol.md, "What is refused"
#ifndef VMBUS_EMU_CONTROL_PROTOCOL_ERROR_H_
#define VMBUS_EMU_CONTROL_PROTOCOL_ERROR_H_

#include <cstdint>
#include <optional>
#include <tl/expected.hpp>

#include "emu/counters.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/message_codec.h"

namespace vmbus::emu {

enum class ProtocolError : std::uint8_t {
#define VMBUS_PROTOCOL_ERROR(id, name, meaning) id,
#include "emu/control/protocol_errors.inc"
#undef VMBUS_PROTOCOL_ERROR
};

// What the peer's message came to.
template <typename T>
using Checked = tl::expected<T, ProtocolError>;

// An effect of both halves: a message was refused. The relid is the one it named, if any.
struct Reject {
  ProtocolError error{};
  std::optional<proto::Relid> relid{};

  friend bool operator==(const Reject&, const Reject&) = default;
};

constexpr ProtocolError protocol_error(proto::ParseErrorKind kind) {
  return kind == proto::ParseErrorKind::kMessageTooSmall ? ProtocolError::kMessageTooSmall
                                                         : ProtocolError::kInvalidMessageType;
}

constexpr Counter counter_of(ProtocolError error) {
  switch (error) {
#define VMBUS_PROTOCOL_ERROR(id, name, meaning) \
  case ProtocolError::id:                       \
    return Counter::id;
#include "emu/control/protocol_errors.inc"
#undef VMBUS_PROTOCOL_ERROR
  }
  return Counter::kCount;
}

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_PROTOCOL_ERROR_H_
