// Guid: 128 bits in the Windows layout, used for devices, services and virtual machines.
//
//   offset  size  field   in memory       in text 12345678-9abc-def0-1122-334455667788
//        0     4  data1   little-endian   78 56 34 12
//        4     2  data2   little-endian   bc 9a
//        6     2  data3   little-endian   f0 de
//        8     8  data4   as written      11 22 33 44 55 66 77 88
//
// This is Python's `bytes_le`; libuuid and RFC 4122 keep all sixteen bytes as written.
// Guids order by data1, data2, data3 as numbers, then data4 byte by byte.
#ifndef VMBUS_EMU_PROTOCOL_GUID_H_
#define VMBUS_EMU_PROTOCOL_GUID_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace vmbus::proto {

struct Guid {
  std::uint32_t data1{};
  std::uint16_t data2{};
  std::uint16_t data3{};
  std::array<std::uint8_t, 8> data4{};

  friend constexpr auto operator<=>(const Guid&, const Guid&) = default;
};
static_assert(sizeof(Guid) == 16 && offsetof(Guid, data3) == 6 && offsetof(Guid, data4) == 8);
static_assert(std::is_trivially_copyable_v<Guid> && std::is_standard_layout_v<Guid>);

inline constexpr std::size_t kGuidTextLength = 36;

// Text of a Guid, lower case, zero-terminated.
struct GuidText {
  std::array<char, kGuidTextLength + 1> chars{};

  constexpr const char* c_str() const { return chars.data(); }
  constexpr std::string_view view() const { return {chars.data(), kGuidTextLength}; }
};

// Accepts what UuidFromString of Windows accepts: exactly 36 characters, hyphens at 8, 13, 18 and
// 23, hexadecimal digits of any case elsewhere; no braces.
std::optional<Guid> parse_guid(std::string_view text);
GuidText to_text(const Guid& guid);

// The Guid of RFC 4122 version 5 (SHA-1): the same name in the same name space gives the same Guid.
Guid name_based_guid(const Guid& name_space, std::string_view name);
// The VmId of a virtual machine that was given none: name-based, in our own name space.
Guid vm_id_from_name(std::string_view vm_name);
// A version 4 Guid made of the caller's random bytes.
Guid random_guid(std::span<const std::uint8_t, 16> random_bytes);

// Well-known VmIds.  They stand in SOCKADDR_HV only, never in a VMBus message.
inline constexpr Guid kHvGuidZero{};
inline constexpr Guid kHvGuidWildcard = kHvGuidZero;
inline constexpr Guid kHvGuidBroadcast{
    0xFFFF'FFFF, 0xFFFF, 0xFFFF, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}};
inline constexpr Guid kHvGuidChildren{
    0x90DB'8B89, 0x0D35, 0x4F79, {0x8C, 0xE9, 0x49, 0xEA, 0x0A, 0xC8, 0xB7, 0xCD}};
inline constexpr Guid kHvGuidLoopback{
    0xE0E1'6197, 0xDD56, 0x4A10, {0x91, 0x95, 0x5E, 0xE7, 0xA1, 0x55, 0xA8, 0x38}};
inline constexpr Guid kHvGuidParent{
    0xA42E'7CDA, 0xD03F, 0x480C, {0x9C, 0xC2, 0xA4, 0xDE, 0x20, 0xAB, 0xB8, 0x78}};
inline constexpr Guid kHvGuidSiloHost{
    0x36BD'0C5C, 0x7276, 0x4223, {0x88, 0xBA, 0x7D, 0x03, 0xB6, 0x54, 0xC5, 0x68}};

}  // namespace vmbus::proto

template <>
struct std::hash<vmbus::proto::Guid> {
  std::size_t operator()(const vmbus::proto::Guid& guid) const noexcept {
    std::uint64_t low =
        guid.data1 | std::uint64_t{guid.data2} << 32 | std::uint64_t{guid.data3} << 48;
    for (const std::uint8_t byte : guid.data4) low = (low ^ byte) * 0x0000'0100'0000'01B3;  // FNV
    return static_cast<std::size_t>(low ^ low >> 29);
  }
};

#endif  // VMBUS_EMU_PROTOCOL_GUID_H_
