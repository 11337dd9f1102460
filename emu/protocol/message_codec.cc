#include "emu/protocol/message_codec.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace vmbus::proto {
namespace {

constexpr std::size_t kTypeBytes = sizeof(MessageHeader::type);

std::uint32_t read_type(std::span<const std::byte> bytes) {
  std::array<std::byte, kTypeBytes> type;
  std::copy_n(bytes.begin(), type.size(), type.begin());
  return std::bit_cast<std::uint32_t>(type);
}

// REQUIRES: bytes.size() >= wire_bytes.
template <typename Struct>
Struct read_struct(std::span<const std::byte> bytes, std::size_t wire_bytes) {
  std::array<std::byte, sizeof(Struct)> image{};
  std::copy_n(bytes.begin(), wire_bytes, image.begin());
  std::fill(image.begin() + kTypeBytes, image.begin() + sizeof(MessageHeader), std::byte{0});
  return std::bit_cast<Struct>(image);
}

template <typename Struct, Tail kTail>
Message read_layout(std::span<const std::byte> bytes, std::size_t wire_bytes) {
  const auto fixed = read_struct<Struct>(bytes, wire_bytes);
  if constexpr (kTail == Tail::kData) {
    return WithTail<Struct>{.fixed = fixed, .tail = bytes.subspan(wire_bytes)};
  } else {
    return fixed;
  }
}

using LayoutReader = Message (*)(std::span<const std::byte>, std::size_t);

// Parallel to kMessageLayouts.
constexpr LayoutReader kLayoutReaders[] = {
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, ...) \
  read_layout<Name, Tail::tail>,
#define VMBUS_LAYOUT(Name, Struct, ...) read_layout<Struct, Tail::kIgnored>,
#include "emu/protocol/message_table.inc"
};
static_assert(std::size(kLayoutReaders) == kMessageLayouts.size());

// Index into kMessageLayouts of the longest layout in force that `size` bytes fill; nullopt if none
// does, or if a longer one is required.
std::optional<std::size_t> choose_layout(MessageType type, std::size_t size,
                                         const std::optional<Negotiated>& negotiated) {
  std::optional<std::size_t> chosen;
  for (std::size_t i = 0; i < kMessageLayouts.size(); ++i) {
    const MessageLayout& layout = kMessageLayouts[i];
    if (layout.type != type || !exists(layout, negotiated)) continue;
    if (size >= layout.bytes) {
      chosen = i;
    } else if (layout.choice == LayoutChoice::kRequired) {
      chosen.reset();
    }
  }
  return chosen;
}

void append(EncodedMessage& out, std::span<const std::byte> bytes) {
  assert(bytes.size() <= out.storage.size() - out.size);
  std::copy(bytes.begin(), bytes.end(),
            out.storage.begin() + static_cast<std::ptrdiff_t>(out.size));
  out.size += bytes.size();
}

template <typename Struct>
EncodedMessage write_layout(const Struct& message, std::size_t wire_bytes) {
  EncodedMessage out;
  append(out, std::as_bytes(std::span(&message, 1)).first(wire_bytes));
  return out;
}
template <typename Struct>
EncodedMessage write_layout(const WithTail<Struct>& message, std::size_t wire_bytes) {
  EncodedMessage out = write_layout(message.fixed, wire_bytes);
  append(out, message.tail);
  return out;
}

// The relid of a struct, or of the shorter layout it begins with.
template <typename Struct>
std::optional<Relid> find_relid(const Struct& message) {
  if constexpr (requires { message.relid; }) {
    return message.relid;
  } else if constexpr (requires { message.fixed; }) {
    return find_relid(message.fixed);
  } else if constexpr (requires { message.open; }) {
    return find_relid(message.open);
  } else {
    return std::nullopt;
  }
}

}  // namespace

DecodeResult decode(std::span<const std::byte> bytes, Direction direction,
                    const std::optional<Negotiated>& negotiated) {
  bytes = bytes.first(std::min(bytes.size(), kMaxMessageBytes));
  if (bytes.size() < sizeof(MessageHeader)) {
    return ParseError{.kind = ParseErrorKind::kMessageTooSmall};
  }
  const std::uint32_t number = read_type(bytes);
  const MessageInfo* info = find_message(number);
  if (info == nullptr || info->direction != direction || !exists(*info, negotiated)) {
    return ParseError{.kind = ParseErrorKind::kInvalidMessageType, .type = number};
  }
  const std::optional<std::size_t> layout = choose_layout(info->type, bytes.size(), negotiated);
  if (!layout) return ParseError{.kind = ParseErrorKind::kMessageTooSmall, .type = number};
  return kLayoutReaders[*layout](bytes, kMessageLayouts[*layout].bytes);
}

EncodedMessage encode(const Message& message) {
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, ...)      \
  if (const auto* layout = std::get_if<DecodedAs<Name, Tail::tail>>(&message)) { \
    return write_layout(*layout, bytes);                                         \
  }
#define VMBUS_LAYOUT(Name, Struct, bytes, ...) \
  if (const auto* layout = std::get_if<Struct>(&message)) return write_layout(*layout, bytes);
#include "emu/protocol/message_table.inc"
  assert(false && "the table covers every alternative");
  return {};
}

MessageType type_of(const Message& message) { return kMessageLayouts[message.index()].type; }

std::optional<Relid> relid_of(const Message& message) {
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, ...)      \
  if (const auto* layout = std::get_if<DecodedAs<Name, Tail::tail>>(&message)) { \
    return find_relid(*layout);                                                  \
  }
#define VMBUS_LAYOUT(Name, Struct, ...) \
  if (const auto* layout = std::get_if<Struct>(&message)) return find_relid(*layout);
#include "emu/protocol/message_table.inc"
  return std::nullopt;
}

}  // namespace vmbus::proto
