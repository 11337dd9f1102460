// The channel messages: one struct for each layout of message_table.inc, its bytes as on the wire,
// and Message, which holds any of them.
//
// Offsets count from the start of the message and include the 8-byte header.  Everything is
// little-endian; what no field names is written as zero and not looked at.  The guest is the
// client, the host offers channels.  A message of several layouts has one struct each, a longer one
// beginning with the shorter: OpenChannel2{.open = short_form} is short_form in the long layout.
//
// Contract    docs/protocol.md, "Layouts"
#ifndef VMBUS_EMU_PROTOCOL_MESSAGES_H_
#define VMBUS_EMU_PROTOCOL_MESSAGES_H_

#include <cstddef>
#include <type_traits>
#include <variant>

#include "emu/protocol/channel_messages.h"
#include "emu/protocol/connection_messages.h"
#include "emu/protocol/message_header.h"
#include "emu/protocol/message_info.h"

namespace vmbus::proto {

// How a layout stands in Message: with its tail, if it has one.
template <typename Struct, Tail kTail>
using DecodedAs = std::conditional_t<kTail == Tail::kData, WithTail<Struct>, Struct>;

// Lets each row of the table begin with a comma.
template <typename, typename... Alternatives>
using VariantWithoutFirst = std::variant<Alternatives...>;

using Message = VariantWithoutFirst<void
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, ...) \
  , DecodedAs<Name, Tail::tail>
#define VMBUS_LAYOUT(Name, Struct, ...) , Struct
#include "emu/protocol/message_table.inc"
                                    >;

// A wire struct is as long as its row says, up to the padding behind a last field of one byte.
template <typename Struct>
constexpr bool is_wire_struct(std::size_t bytes) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  static_assert(std::is_standard_layout_v<Struct>);
  const std::size_t rounded_up = (bytes + alignof(Struct) - 1) / alignof(Struct) * alignof(Struct);
  return sizeof(Struct) == rounded_up && bytes <= kMaxMessageBytes;
}
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, ...) \
  static_assert(is_wire_struct<Name>(bytes));
#define VMBUS_LAYOUT(Name, Struct, bytes, ...) static_assert(is_wire_struct<Struct>(bytes));
#include "emu/protocol/message_table.inc"

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_MESSAGES_H_
