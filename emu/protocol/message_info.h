// What message_table.inc says, as types and constexpr tables: message numbers, names, directions,
// layouts, and the question "does this message exist on this connection?".
//
// Contract    docs/protocol.md, "Messages"
#ifndef VMBUS_EMU_PROTOCOL_MESSAGE_INFO_H_
#define VMBUS_EMU_PROTOCOL_MESSAGE_INFO_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "emu/protocol/version.h"

namespace vmbus::proto {

// A SynIC message carries this much; a longer one cannot be posted.
inline constexpr std::size_t kMaxMessageBytes = 240;

enum class MessageType : std::uint32_t {
#define VMBUS_MESSAGE(number, Name, ...) k##Name = (number),
#include "emu/protocol/message_table.inc"
};

enum class Direction : std::uint8_t { kGuestToHost, kHostToGuest };

// What stands behind the fixed bytes of a layout.
enum class Tail : std::uint8_t { kIgnored, kData };

// When a layout's version and features are in force: is a shorter message an error?
enum class LayoutChoice : std::uint8_t { kIfItFits, kRequired };

// Older than every version: the message needs no connection.
inline constexpr ProtocolVersion kBeforeContact{0};

struct MessageInfo {
  MessageType type;
  std::string_view name;  // as the trace shows it: "OPEN_CHANNEL"
  Direction direction;
  ProtocolVersion since;
  FeatureFlags any_feature;  // empty, or one of these must be granted
};

// One of the layouts of a message; those of one type stand together, shortest first.
struct MessageLayout {
  MessageType type;
  std::string_view struct_name;
  std::size_t bytes;
  Tail tail;
  ProtocolVersion since;
  FeatureFlags any_feature;
  LayoutChoice choice;
};

inline constexpr auto kMessages = [] {
  using enum Direction;
  using enum ProtocolVersion;
  return std::to_array<MessageInfo>({
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, since, features) \
  {MessageType::k##Name, #WIRE_NAME, direction, since, features},
#include "emu/protocol/message_table.inc"
  });
}();

inline constexpr auto kMessageLayouts = [] {
  using enum LayoutChoice;
  using enum ProtocolVersion;
  return std::to_array<MessageLayout>({
#define VMBUS_MESSAGE(number, Name, WIRE_NAME, direction, bytes, tail, since, features) \
  {MessageType::k##Name, #Name, bytes, Tail::tail, since, features, kRequired},
#define VMBUS_LAYOUT(Name, Struct, bytes, since, features, choice) \
  {MessageType::k##Name, #Struct, bytes, Tail::kIgnored, since, features, choice},
#include "emu/protocol/message_table.inc"
  });
}();

// The row of a message number as it came from the wire; null for 0 and above the last.
constexpr const MessageInfo* find_message(std::uint32_t number) {
  return number >= 1 && number <= kMessages.size() ? &kMessages[number - 1] : nullptr;
}
constexpr const MessageInfo& message_info(MessageType type) {
  return kMessages[static_cast<std::uint32_t>(type) - 1];
}

// The wire name, "UNKNOWN" for numbers outside the table.
constexpr std::string_view message_name(std::uint32_t number) {
  const MessageInfo* info = find_message(number);
  return info != nullptr ? info->name : "UNKNOWN";
}

// Does a connection that runs with `negotiated` (nullopt: none yet) have this message or layout?
template <typename Row>
constexpr bool exists(const Row& row, const std::optional<Negotiated>& negotiated) {
  if (row.since == kBeforeContact) return true;
  if (!negotiated || negotiated->version < row.since) return false;
  return row.any_feature.empty() || negotiated->features.intersects(row.any_feature);
}
constexpr bool exists(MessageType type, const std::optional<Negotiated>& negotiated) {
  return exists(message_info(type), negotiated);
}

static_assert(
    [] {
      for (std::uint32_t i = 0; i < kMessages.size(); ++i) {
        if (kMessages[i].type != MessageType{i + 1}) return false;
      }
      return true;
    }(),
    "numbers run from 1 without a gap: kMessages is indexed by them");

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_MESSAGE_INFO_H_
