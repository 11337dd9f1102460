// Socket addresses of the three families that lead to a VMBus channel, and how their parts map:
// a vsock port is the service GUID <port>-facb-11e6-bd58-64006a7986d3.
//
//   family          struct       bytes  names
//   AF_VSOCK 40     SockaddrVm      16  CID and port                Linux
//   AF_HYPERV 34    SockaddrHv      36  VM id and service id        Windows
//   AF_HYPERV 43    SockaddrHvs     20  port; the peer is the host  FreeBSD
//
// Parsing answers as each system's kernel does: 0 or an errno value.
//
// Contract    docs/protocol.md, "Addresses"
#ifndef VMBUS_EMU_PROTOCOL_ADDRESS_H_
#define VMBUS_EMU_PROTOCOL_ADDRESS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"

namespace vmbus::proto {

inline constexpr std::uint16_t kFamilyVsock = 40;
inline constexpr std::uint16_t kFamilyHyperV = 34;  // Windows' number
inline constexpr std::uint8_t kFamilyHyperVFreeBsd = 43;

inline constexpr Cid kCidHypervisor{0};
inline constexpr Cid kCidLocal{1};
inline constexpr Cid kCidHost{2};
inline constexpr Cid kCidAny{0xFFFF'FFFF};
inline constexpr Port kPortAny{0xFFFF'FFFF};
inline constexpr Port kFirstUnprivilegedPort{1024};

inline constexpr unsigned long kIoctlGetLocalCid = 0x7B9;  // on /dev/vsock, stores a u32

// ---- Ports and services -------------------------------------------------------------------------

// The service id of port 0; its data1 is replaced by the port.
inline constexpr Guid kVsockServiceTemplate{
    0, 0xFACB, 0x11E6, {0xBD, 0x58, 0x64, 0x00, 0x6A, 0x79, 0x86, 0xD3}};

constexpr Guid service_id_of(Port port) {
  Guid service = kVsockServiceTemplate;
  service.data1 = port.value;
  return service;
}

// Equal to the template in all but data1?  Other service ids are legal, but carry no port, and a
// Linux or FreeBSD guest ignores offers of them.
constexpr bool is_vsock_service(const Guid& service_id) {
  return service_id == service_id_of(Port{service_id.data1});
}

constexpr std::optional<Port> port_of(const Guid& service_id) {
  return is_vsock_service(service_id) ? std::optional(Port{service_id.data1}) : std::nullopt;
}

// ---- The socket address structs -----------------------------------------------------------------

//   offset  size  field
//        0     2  family    40
//        2     2  reserved  ignored on input
//        4     4  port      host order
//        8     4  cid       host order
//       12     1  flags     bit 0 VMADDR_FLAG_TO_HOST; no other is legal
//       13     3  zero      ignored on input
struct SockaddrVm {
  std::uint16_t family{kFamilyVsock};
  std::uint16_t reserved{};
  Port port{};
  Cid cid{};
  std::uint8_t flags{};
  std::array<std::uint8_t, 3> zero{};
};
static_assert(sizeof(SockaddrVm) == 16 && offsetof(SockaddrVm, port) == 4 &&
              offsetof(SockaddrVm, cid) == 8 && offsetof(SockaddrVm, flags) == 12);

inline constexpr std::uint8_t kVmaddrFlagToHost = 0x01;

//   offset  size  field
//        0     2  family      34
//        2     2  reserved
//        4    16  vm_id
//       20    16  service_id
struct SockaddrHv {
  std::uint16_t family{kFamilyHyperV};
  std::uint16_t reserved{};
  Guid vm_id{};
  Guid service_id{};
};
static_assert(sizeof(SockaddrHv) == 36 && offsetof(SockaddrHv, reserved) == 2 &&
              offsetof(SockaddrHv, vm_id) == 4 && offsetof(SockaddrHv, service_id) == 20);

//   offset  size  field
//        0     1  length  20; on input the length argument counts instead
//        1     1  family  43
//        4     4  port    host order
//        8    10  zero    two bytes of padding follow
struct SockaddrHvs {
  std::uint8_t length{sizeof(SockaddrHvs)};
  std::uint8_t family{kFamilyHyperVFreeBsd};
  Port port{};
  std::array<std::uint8_t, 10> zero{};
};
static_assert(sizeof(SockaddrHvs) == 20 && offsetof(SockaddrHvs, family) == 1 &&
              offsetof(SockaddrHvs, port) == 4 && offsetof(SockaddrHvs, zero) == 8);

// ---- Address ------------------------------------------------------------------------------------

enum class AddressKind : std::uint8_t { kNone, kVsock, kHyperV, kFreeBsd };

// One address of any family.  The kind says which fields count; the others are zero.
struct Address {
  AddressKind kind{AddressKind::kNone};
  Cid cid{};          // kVsock
  Port port{};        // kVsock, kFreeBsd
  Guid vm_id{};       // kHyperV
  Guid service_id{};  // kHyperV

  friend bool operator==(const Address&, const Address&) = default;
};

constexpr Address vsock_address(Cid cid, Port port) {
  return {.kind = AddressKind::kVsock, .cid = cid, .port = port};
}
constexpr Address hyperv_address(const Guid& vm_id, const Guid& service_id) {
  return {.kind = AddressKind::kHyperV, .vm_id = vm_id, .service_id = service_id};
}
constexpr Address freebsd_address(Port port) {
  return {.kind = AddressKind::kFreeBsd, .port = port};
}

// The service an address names, whatever its family.
constexpr Guid service_id_of(const Address& address) {
  return address.kind == AddressKind::kHyperV ? address.service_id : service_id_of(address.port);
}

// Each reads what a program passed to bind or connect, and tests length, family and flags.
// 0, or an errno value with `address` untouched.
//   vm   shorter than 16, longer than 128, another family, an unknown flag: EINVAL
//   hv   not 36 long: EFAULT; another family: EAFNOSUPPORT
//   hvs  not 20 long: EINVAL; another family: EAFNOSUPPORT
[[nodiscard]] int parse_sockaddr_vm(std::span<const std::byte> raw, Address& address);
[[nodiscard]] int parse_sockaddr_hv(std::span<const std::byte> raw, Address& address);
[[nodiscard]] int parse_sockaddr_hvs(std::span<const std::byte> raw, Address& address);
// By kind, which is the family of the *socket*.  REQUIRES: kind is not kNone.
[[nodiscard]] int parse_sockaddr(AddressKind kind, std::span<const std::byte> raw,
                                 Address& address);

// A socket address as getsockname gives it: `size` bytes, 0 for kNone.
struct RawAddress {
  std::array<std::byte, sizeof(SockaddrHv)> storage{};
  std::size_t size = 0;

  std::span<const std::byte> bytes() const { return std::span(storage).first(size); }
};
[[nodiscard]] RawAddress to_raw(const Address& address);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_ADDRESS_H_
