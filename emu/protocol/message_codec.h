// Channel messages to bytes and back.  Both halves use it, each in both directions: what one end
// encodes, the other decodes.
//
// Trust       decode() takes any bytes; what it refuses names no memory outside of them.
// Never       Blocks, allocates, throws, or makes a system call.
// Contract    docs/protocol.md, "Decoding"
#ifndef VMBUS_EMU_PROTOCOL_MESSAGE_CODEC_H_
#define VMBUS_EMU_PROTOCOL_MESSAGE_CODEC_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "emu/protocol/ids.h"
#include "emu/protocol/message_info.h"
#include "emu/protocol/messages.h"
#include "emu/protocol/version.h"

namespace vmbus::proto {

enum class ParseErrorKind : std::uint8_t {
  kMessageTooSmall,     // shorter than the header, or than the layout in force
  kInvalidMessageType,  // not in the table, not for this direction, or not (yet) on this connection
};

struct ParseError {
  ParseErrorKind kind{};
  std::optional<std::uint32_t> type{};  // the number in the header, when there was one

  friend bool operator==(const ParseError&, const ParseError&) = default;
};

using DecodeResult = std::variant<ParseError, Message>;

// Decodes one message that travels in `direction` on a connection that runs with `negotiated`
// (nullopt: there is none yet).  Bytes behind a layout are ignored; the tail of a GPADL message
// points into `bytes`.  Bytes behind kMaxMessageBytes are not part of a message.
[[nodiscard]] DecodeResult decode(std::span<const std::byte> bytes, Direction direction,
                                  const std::optional<Negotiated>& negotiated);

// One message, ready to post.
struct EncodedMessage {
  std::array<std::byte, kMaxMessageBytes> storage{};
  std::size_t size = 0;

  std::span<const std::byte> bytes() const { return std::span(storage).first(size); }
};

// REQUIRES: fixed bytes and tail together are at most kMaxMessageBytes.
[[nodiscard]] EncodedMessage encode(const Message& message);

// What a trace shows of any message.
[[nodiscard]] MessageType type_of(const Message& message);
[[nodiscard]] std::optional<Relid> relid_of(const Message& message);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_MESSAGE_CODEC_H_
