// What all channel messages share: the header, and the shapes that several of them have.
//
// Contract    docs/protocol.md, "Layouts"
#ifndef VMBUS_EMU_PROTOCOL_MESSAGE_HEADER_H_
#define VMBUS_EMU_PROTOCOL_MESSAGE_HEADER_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "emu/protocol/ids.h"
#include "emu/protocol/message_info.h"

namespace vmbus::proto {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

// The first 8 bytes: number, then 4 reserved.  Each message struct fills in its own number, so that
// writers leave the header alone.
struct MessageHeader {
  MessageType type{};
  std::uint32_t reserved{};

  friend bool operator==(const MessageHeader&, const MessageHeader&) = default;
};
static_assert(sizeof(MessageHeader) == 8);

// A message that says all with its number.
template <MessageType kType>
struct BareMessage {
  MessageHeader header{kType};

  friend bool operator==(const BareMessage&, const BareMessage&) = default;
};

// A message that names one channel: 8 relid.
template <MessageType kType>
struct RelidMessage {
  MessageHeader header{kType};
  Relid relid{};

  friend bool operator==(const RelidMessage&, const RelidMessage&) = default;
};
static_assert(offsetof(RelidMessage<MessageType::kCloseChannel>, relid) == 8);

// A layout with data behind it: page numbers of a GPADL, 4-aligned at best.
// `tail` points into the bytes that were decoded, or those to be encoded.
template <typename Fixed>
struct WithTail {
  Fixed fixed{};
  std::span<const std::byte> tail{};

  friend bool operator==(const WithTail& a, const WithTail& b) {
    return a.fixed == b.fixed && std::ranges::equal(a.tail, b.tail);
  }
};

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_MESSAGE_HEADER_H_
