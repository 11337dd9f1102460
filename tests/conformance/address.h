// Address: a socket address of any family that the cases use, with its length.
#ifndef VMBUS_TESTS_CONFORMANCE_ADDRESS_H_
#define VMBUS_TESTS_CONFORMANCE_ADDRESS_H_

#include <linux/vm_sockets.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tools/include/hvsocket.h"

namespace vmbus::cases {

inline constexpr std::uint32_t kAny = VMADDR_CID_ANY;  // also VMADDR_PORT_ANY
inline constexpr std::uint32_t kHostCid = VMADDR_CID_HOST;
inline constexpr std::uint32_t kGuestCid = 3;  // of the guest called "guest"

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }

  template <typename T>
  static Address of(const T& name) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof name <= sizeof(sockaddr_storage));
    Address address;
    std::memcpy(&address.storage, &name, sizeof name);
    address.size = sizeof name;
    return address;
  }
  // REQUIRES: the address holds a T.
  template <typename T>
  T as() const {
    T name{};
    std::memcpy(&name, &storage, sizeof name);
    return name;
  }
  Address with_size(socklen_t other) const {
    Address address = *this;
    address.size = other;
    return address;
  }
  friend bool operator==(const Address& a, const Address& b) {
    return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
  }
};

inline sockaddr_vm vm_name(std::uint32_t cid, std::uint32_t port) {
  sockaddr_vm name{};
  name.svm_family = AF_VSOCK;
  name.svm_cid = cid;
  name.svm_port = port;
  return name;
}
inline Address vm_address(std::uint32_t cid, std::uint32_t port) {
  return Address::of(vm_name(cid, port));
}

// The service that stands for a vsock port.
inline GUID service_of_port(std::uint32_t port) {
  GUID service = HV_GUID_VSOCK_TEMPLATE;
  service.Data1 = port;
  return service;
}
inline Address hv_address(const GUID& vm_id, const GUID& service) {
  SOCKADDR_HV name{};
  name.Family = AF_HYPERV;
  name.VmId = vm_id;
  name.ServiceId = service;
  return Address::of(name);
}

inline constexpr int kFreeBsdFamily = 43;

// FreeBSD's sockaddr_hvs (hvsocket.h declares it only instead of SOCKADDR_HV).
struct FreeBsdName {
  std::uint8_t sa_len;
  std::uint8_t sa_family;
  std::uint16_t padding;
  std::uint32_t hvs_port;
  std::uint8_t hvs_zero[12];
};
static_assert(sizeof(FreeBsdName) == 20);
inline Address hvs_address(std::uint32_t port) {
  FreeBsdName name{sizeof name, kFreeBsdFamily, 0, port, {}};
  return Address::of(name);
}

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_ADDRESS_H_
