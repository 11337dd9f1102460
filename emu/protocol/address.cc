#include "emu/protocol/address.h"

#include <algorithm>
#include <bit>
#include <cerrno>

namespace vmbus::proto {
namespace {

constexpr std::size_t kMaxSockaddrBytes = 128;  // sizeof(sockaddr_storage): the generic layer's cap

// REQUIRES: raw.size() >= sizeof(Sockaddr).
template <typename Sockaddr>
Sockaddr read_sockaddr(std::span<const std::byte> raw) {
  std::array<std::byte, sizeof(Sockaddr)> image;
  std::copy_n(raw.begin(), image.size(), image.begin());
  return std::bit_cast<Sockaddr>(image);
}

template <typename Sockaddr>
RawAddress write_sockaddr(const Sockaddr& sockaddr) {
  static_assert(sizeof(Sockaddr) <= sizeof(RawAddress::storage));
  RawAddress raw;
  std::ranges::copy(std::as_bytes(std::span(&sockaddr, 1)), raw.storage.begin());
  raw.size = sizeof(Sockaddr);
  return raw;
}

}  // namespace

int parse_sockaddr_vm(std::span<const std::byte> raw, Address& address) {
  if (raw.size() < sizeof(SockaddrVm) || raw.size() > kMaxSockaddrBytes) return EINVAL;
  const auto sockaddr = read_sockaddr<SockaddrVm>(raw);
  if (sockaddr.family != kFamilyVsock) return EINVAL;
  if ((sockaddr.flags & ~kVmaddrFlagToHost) != 0) return EINVAL;
  address = vsock_address(sockaddr.cid, sockaddr.port);
  return 0;
}

int parse_sockaddr_hv(std::span<const std::byte> raw, Address& address) {
  if (raw.size() != sizeof(SockaddrHv)) return EFAULT;
  const auto sockaddr = read_sockaddr<SockaddrHv>(raw);
  if (sockaddr.family != kFamilyHyperV) return EAFNOSUPPORT;
  address = hyperv_address(sockaddr.vm_id, sockaddr.service_id);
  return 0;
}

int parse_sockaddr_hvs(std::span<const std::byte> raw, Address& address) {
  if (raw.size() != sizeof(SockaddrHvs)) return EINVAL;
  const auto sockaddr = read_sockaddr<SockaddrHvs>(raw);
  if (sockaddr.family != kFamilyHyperVFreeBsd) return EAFNOSUPPORT;
  address = freebsd_address(sockaddr.port);
  return 0;
}

int parse_sockaddr(AddressKind kind, std::span<const std::byte> raw, Address& address) {
  switch (kind) {
    case AddressKind::kVsock:
      return parse_sockaddr_vm(raw, address);
    case AddressKind::kHyperV:
      return parse_sockaddr_hv(raw, address);
    case AddressKind::kFreeBsd:
      return parse_sockaddr_hvs(raw, address);
    case AddressKind::kNone:
      break;
  }
  return EAFNOSUPPORT;
}

RawAddress to_raw(const Address& address) {
  switch (address.kind) {
    case AddressKind::kVsock:
      return write_sockaddr(SockaddrVm{.port = address.port, .cid = address.cid});
    case AddressKind::kHyperV:
      return write_sockaddr(SockaddrHv{.vm_id = address.vm_id, .service_id = address.service_id});
    case AddressKind::kFreeBsd:
      return write_sockaddr(SockaddrHvs{.port = address.port});
    case AddressKind::kNone:
      break;
  }
  return {};
}

}  // namespace vmbus::proto
