#include "emu/protocol/guid.h"

#include <algorithm>
#include <bit>

#include "emu/protocol/sha1.h"

namespace vmbus::proto {
namespace {

// The sixteen bytes in the order of the text ("network order").
using TextOrder = std::array<std::uint8_t, 16>;

static_assert(std::endian::native == std::endian::little, "data1..data3 are kept little-endian");

// Exchanges text order and memory order; it is its own inverse.
constexpr TextOrder swap_order(TextOrder bytes) {
  std::reverse(bytes.begin(), bytes.begin() + 4);
  std::reverse(bytes.begin() + 4, bytes.begin() + 6);
  std::reverse(bytes.begin() + 6, bytes.begin() + 8);
  return bytes;
}

Guid from_text_order(const TextOrder& bytes) { return std::bit_cast<Guid>(swap_order(bytes)); }
TextOrder to_text_order(const Guid& guid) { return swap_order(std::bit_cast<TextOrder>(guid)); }

// Stamps version (high half of byte 6) and RFC 4122 variant (top two bits of byte 8).
Guid with_version(TextOrder bytes, unsigned version) {
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0Fu) | version << 4);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3Fu) | 0x80u);
  return from_text_order(bytes);
}

constexpr bool is_hyphen_position(std::size_t i) { return i == 8 || i == 13 || i == 18 || i == 23; }

std::optional<std::uint8_t> hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

// 86cb1445-4a4a-41ce-afc6-a1cca83ebf6b, made for this purpose.  Changing it renames every VM.
constexpr Guid kVmNameSpace{
    0x86CB'1445, 0x4A4A, 0x41CE, {0xAF, 0xC6, 0xA1, 0xCC, 0xA8, 0x3E, 0xBF, 0x6B}};

}  // namespace

std::optional<Guid> parse_guid(std::string_view text) {
  if (text.size() != kGuidTextLength) return std::nullopt;
  TextOrder bytes{};
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_hyphen_position(i)) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const std::optional<std::uint8_t> value = hex_value(text[i]);
    if (!value) return std::nullopt;
    std::uint8_t& byte = bytes[digits / 2];
    byte = static_cast<std::uint8_t>(byte << 4 | *value);
    ++digits;
  }
  return from_text_order(bytes);
}

GuidText to_text(const Guid& guid) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const TextOrder bytes = to_text_order(guid);
  GuidText text;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < kGuidTextLength; ++i) {
    if (is_hyphen_position(i)) {
      text.chars[i] = '-';
      continue;
    }
    const unsigned byte = bytes[digits / 2];
    text.chars[i] = kDigits[digits % 2 == 0 ? byte >> 4 : byte & 0xFu];
    ++digits;
  }
  return text;
}

Guid name_based_guid(const Guid& name_space, std::string_view name) {
  Sha1 sha1;
  sha1.update(to_text_order(name_space));
  for (const char c : name) {
    const std::array<std::uint8_t, 1> byte{static_cast<std::uint8_t>(c)};
    sha1.update(byte);
  }
  const Sha1::Digest digest = sha1.finish();
  TextOrder bytes;
  std::copy_n(digest.begin(), bytes.size(), bytes.begin());
  return with_version(bytes, 5);
}

Guid vm_id_from_name(std::string_view vm_name) { return name_based_guid(kVmNameSpace, vm_name); }

Guid random_guid(std::span<const std::uint8_t, 16> random_bytes) {
  TextOrder bytes;
  std::copy(random_bytes.begin(), random_bytes.end(), bytes.begin());
  return with_version(bytes, 4);
}

}  // namespace vmbus::proto
