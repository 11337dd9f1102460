// Any bytes, at any version, with any features, in both directions: decode() must stay inside the
// input, and what it accepts must survive encode() and a second decode() unchanged.
//
// Input: byte 0 picks the connection (not connected, or a version) and, by its top bit, the
// direction; byte 1 is the feature flags; the rest is the message.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <variant>

#include "emu/protocol/message_codec.h"

namespace {

using namespace vmbus::proto;

void require(bool condition) {
  if (!condition) std::abort();
}

std::optional<Negotiated> choose_connection(unsigned choice, std::uint8_t features) {
  const std::size_t index = choice % (kVersionsNewestFirst.size() + 1);
  if (index == kVersionsNewestFirst.size()) return std::nullopt;
  return Negotiated{.version = kVersionsNewestFirst[index],
                    .features = FeatureFlags::from_bits(features)};
}

void check_error(const ParseError& error, std::span<const std::byte> bytes) {
  require(error.type.has_value() == (bytes.size() >= sizeof(MessageHeader)));
}

void check_message(const Message& message, std::span<const std::byte> bytes, Direction direction,
                   const std::optional<Negotiated>& negotiated) {
  require(message_info(type_of(message)).direction == direction);
  require(exists(type_of(message), negotiated));
  const EncodedMessage encoded = encode(message);
  require(encoded.size <= bytes.size() && encoded.size <= kMaxMessageBytes);
  require(decode(encoded.bytes(), direction, negotiated) == DecodeResult(message));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kChoiceBytes = 2;
  if (size < kChoiceBytes) return 0;
  const Direction direction =
      (data[0] & 0x80) != 0 ? Direction::kHostToGuest : Direction::kGuestToHost;
  const std::optional<Negotiated> negotiated = choose_connection(data[0] & 0x7Fu, data[1]);
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(kChoiceBytes);

  const DecodeResult result = decode(bytes, direction, negotiated);
  if (const auto* error = std::get_if<ParseError>(&result)) check_error(*error, bytes);
  if (const auto* message = std::get_if<Message>(&result)) {
    check_message(*message, bytes, direction, negotiated);
    static_cast<void>(relid_of(*message));
  }
  return 0;
}
