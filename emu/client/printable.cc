#include "emu/client/printable.h"

#include <algorithm>
#include <cstdint>

namespace vmbus::client {
namespace {

// What a first byte says about its character: how many bytes, and from which code point on so many
// are needed (a longer form than needed is no UTF-8).
struct Form {
  std::size_t bytes = 0;  // 0: no first byte
  std::uint32_t bits = 0;
  std::uint32_t smallest = 0;
};

Form form_of(std::uint8_t first) {
  if (first < 0x80) return {1, first, 0};
  if (first >= 0xc0 && first < 0xe0) return {2, first & 0x1fU, 0x80};
  if (first >= 0xe0 && first < 0xf0) return {3, first & 0x0fU, 0x800};
  if (first >= 0xf0 && first < 0xf8) return {4, first & 0x07U, 0x10000};
  return {};
}

struct Character {
  std::size_t bytes = 0;  // 0: these bytes begin with none
  std::uint32_t code = 0;
};

Character first_character(std::string_view text) {
  const Form form = form_of(static_cast<std::uint8_t>(text.front()));
  if (form.bytes == 0 || form.bytes > text.size()) return {};
  std::uint32_t code = form.bits;
  for (const char byte : text.substr(1, form.bytes - 1)) {
    const auto next = static_cast<std::uint8_t>(byte);
    if ((next & 0xc0) != 0x80) return {};
    code = code << 6 | (next & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  if (code < form.smallest || code > 0x10ffff || surrogate) return {};
  return {form.bytes, code};
}

bool is_control(std::uint32_t code) { return code < 0x20 || (code >= 0x7f && code < 0xa0); }

}  // namespace

std::string printable(std::string_view bytes, std::size_t max_bytes) {
  std::string text;
  while (!bytes.empty()) {
    const Character character = first_character(bytes);
    const bool shown = character.bytes != 0 && !is_control(character.code);
    const std::string_view next = shown ? bytes.substr(0, character.bytes) : "?";
    if (text.size() + next.size() > max_bytes) break;
    text += next;
    bytes.remove_prefix(std::max<std::size_t>(character.bytes, 1));
  }
  return text;
}

}  // namespace vmbus::client
