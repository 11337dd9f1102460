// Address layout and encoding: cases 1 to 12.
#include <sys/ioctl.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdio>

#include "emu/protocol/address.h"
#include "emu/protocol/guid.h"
#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

// Two digits a byte, as in memory.
std::string hex(const void* data, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<const unsigned char*>(data)[i]);
    text += digits;
  }
  return text;
}
template <typename T>
std::string hex(const T& value) {
  return hex(&value, sizeof value);
}
std::string hex(const Address& name) { return hex(&name.storage, name.size); }

// A name made of bytes alone, without the help of a struct.
template <typename T>
void put(Address* name, std::size_t offset, const T& value) {
  std::memcpy(reinterpret_cast<char*>(&name->storage) + offset, &value, sizeof value);
}

// getsockname() after bind(): the bytes.
std::string bound_bytes(const Address& name) {
  const Socket socket = stream();
  EXPECT_EQ(socket.bind(name), gives(0));
  return hex(socket.name().second);
}

// "12345678-9abc-def0-1122-334455667788" as the bytes of a GUID.
std::string parsed(std::string_view text) {
  const auto guid = proto::parse_guid(text);
  return guid ? hex(*guid) : "no GUID";
}

std::string text_of(const GUID& guid) {
  return std::string(proto::to_text(std::bit_cast<proto::Guid>(guid)).view());
}

}  // namespace

VMBUS_CASE(Address, 1, kLinux,
           "sockaddr_vm is 16 bytes: family at 0, port at 4, CID at 8, flags at 12") {
  static_assert(sizeof(sockaddr_vm) == 16 && offsetof(sockaddr_vm, svm_family) == 0);
  static_assert(offsetof(sockaddr_vm, svm_port) == 4 && offsetof(sockaddr_vm, svm_cid) == 8);
  static_assert(offsetof(sockaddr_vm, svm_flags) == 12);
  Address name;
  name.size = 16;
  put(&name, 0, std::uint16_t{40});
  put(&name, 4, next_port());
  put(&name, 8, std::uint32_t{0xFFFFFFFF});
  EXPECT_EQ(bound_bytes(name), hex(name));
}

VMBUS_CASE(Address, 2, kWindows, "SOCKADDR_HV is 36 bytes: VmId at 4, ServiceId at 20") {
  static_assert(sizeof(SOCKADDR_HV) == 36 && offsetof(SOCKADDR_HV, Family) == 0);
  static_assert(offsetof(SOCKADDR_HV, Reserved) == 2 && offsetof(SOCKADDR_HV, VmId) == 4);
  static_assert(offsetof(SOCKADDR_HV, ServiceId) == 20);
  Address name;
  name.size = 36;
  put(&name, 0, std::uint16_t{34});
  put(&name, 4, HV_GUID_LOOPBACK);
  put(&name, 20, service_of_port(next_port()));
  EXPECT_EQ(bound_bytes(name), hex(name));
}

VMBUS_CASE(Address, 3, kFreeBsd, "sockaddr_hvs is 20 bytes: length at 0, family at 1, port at 4") {
  static_assert(sizeof(FreeBsdName) == 20 && offsetof(FreeBsdName, sa_family) == 1);
  static_assert(offsetof(FreeBsdName, hvs_port) == 4 && offsetof(FreeBsdName, hvs_zero) == 8);
  Address name;
  name.size = 20;
  put(&name, 1, std::uint8_t{43});
  put(&name, 4, next_port());
  Address shown = name;
  put(&shown, 0, std::uint8_t{20});  // the system writes it, from the call's length argument
  EXPECT_EQ(bound_bytes(name), hex(shown));
}

VMBUS_CASE(Address, 4, kWindows, "a GUID's first three parts are little-endian in memory") {
  const char* memory = "78563412bc9af0de1122334455667788";
  EXPECT_EQ(parsed("12345678-9abc-def0-1122-334455667788"), memory);
  const GUID service{0x12345678, 0x9abc, 0xdef0, {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}};
  EXPECT_EQ(hex(service), memory);
  const std::string bound = bound_bytes(hv_address(HV_GUID_LOOPBACK, service));
  EXPECT_EQ(bound.substr(2 * 20), memory);
}

VMBUS_CASE(Address, 5, kWindows, "port 1234 is service 000004d2-facb-11e6-bd58-64006a7986d3") {
  const proto::Guid service = proto::service_id_of(proto::Port{1234});
  EXPECT_EQ(proto::to_text(service).view(), "000004d2-facb-11e6-bd58-64006a7986d3");
  EXPECT_EQ(hex(service), "d2040000cbfae611bd5864006a7986d3");
  // Both sides think so: the guest dials the port, the host listens on the service.
  const Socket server = stream();
  ASSERT_EQ(server.bind(hv_address(HV_GUID_WILDCARD, service_of_port(1234))), gives(0));
  ASSERT_EQ(server.listen(), gives(0));
  const RemoteSocket client = remote_stream();
  EXPECT_EQ(client.connect(vm_address(kHostCid, 1234)), gives(0));
}

VMBUS_CASE(Address, 6, kWindows, "ports 0 and 0xFFFFFFFF have services too, and come back") {
  for (const std::uint32_t port : {0U, 0xFFFFFFFFU}) {
    const proto::Guid service = proto::service_id_of(proto::Port{port});
    EXPECT_EQ(proto::port_of(service), proto::Port{port});
    EXPECT_EQ(hex(service), hex(service_of_port(port)));
    const Address name = hv_address(HV_GUID_LOOPBACK, service_of_port(port));
    EXPECT_EQ(bound_bytes(name), hex(name));
  }
}

VMBUS_CASE(Address, 7, kWindows, "a GUID that differs from the template after Data1 is no port's") {
  const proto::Guid service = proto::service_id_of(proto::Port{1234});
  ASSERT_TRUE(proto::is_vsock_service(service));
  for (std::size_t byte = 0; byte < sizeof service; ++byte) {
    auto other = std::bit_cast<std::array<unsigned char, sizeof service>>(service);
    other[byte] ^= 1;
    EXPECT_EQ(proto::is_vsock_service(std::bit_cast<proto::Guid>(other)), byte < 4) << byte;
  }
}

VMBUS_CASE(Address, 8, kWindows, "the well-known VmIds have the bytes that Windows gives them") {
  const struct {
    GUID header;
    proto::Guid ours;
    const char* memory;
  } rows[] = {
      {HV_GUID_WILDCARD, proto::kHvGuidWildcard, "00000000000000000000000000000000"},
      {HV_GUID_BROADCAST, proto::kHvGuidBroadcast, "ffffffffffffffffffffffffffffffff"},
      {HV_GUID_CHILDREN, proto::kHvGuidChildren, "898bdb90350d794f8ce949ea0ac8b7cd"},
      {HV_GUID_LOOPBACK, proto::kHvGuidLoopback, "9761e1e056dd104a91955ee7a155a838"},
      {HV_GUID_PARENT, proto::kHvGuidParent, "da7c2ea43fd00c489cc2a4de20abb878"},
      {HV_GUID_SILOHOST, proto::kHvGuidSiloHost, "5c0cbd367672234288ba7d03b654c568"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(hex(row.header), row.memory);
    EXPECT_EQ(hex(row.ours), row.memory);
    const Address name = hv_address(row.header, service_of_port(next_port()));
    EXPECT_EQ(bound_bytes(name).substr(2 * 4, 2 * 16), row.memory);
  }
}

VMBUS_CASE(Address, 9, kWindows, "the text of a GUID may be of any case") {
  const std::string memory = hex(HV_GUID_PARENT);
  EXPECT_EQ(parsed("a42e7cda-d03f-480c-9cc2-a4de20abb878"), memory);
  EXPECT_EQ(parsed("A42E7CDA-D03F-480C-9CC2-A4DE20ABB878"), memory);
  EXPECT_EQ(parsed("A42e7cDa-d03F-480c-9Cc2-A4De20aBb878"), memory);
  EXPECT_EQ(text_of(HV_GUID_PARENT), "a42e7cda-d03f-480c-9cc2-a4de20abb878");
}

VMBUS_CASE(Address, 10, kWindows, "HV_GUID_ZERO and HV_GUID_WILDCARD are the same") {
  EXPECT_EQ(hex(HV_GUID_ZERO), hex(HV_GUID_WILDCARD));
  EXPECT_EQ(proto::kHvGuidZero, proto::kHvGuidWildcard);
}

VMBUS_CASE(Address, 11, kLinux, "the CIDs ANY, HYPERVISOR, LOCAL and HOST are -1, 0, 1 and 2") {
  static_assert(VMADDR_CID_ANY == 0xFFFFFFFF && VMADDR_CID_HYPERVISOR == 0);
  static_assert(VMADDR_CID_LOCAL == 1 && VMADDR_CID_HOST == 2);
  EXPECT_EQ(proto::kCidAny.value, VMADDR_CID_ANY);
  EXPECT_EQ(proto::kCidHypervisor.value, VMADDR_CID_HYPERVISOR);
  EXPECT_EQ(proto::kCidLocal.value, VMADDR_CID_LOCAL);
  EXPECT_EQ(proto::kCidHost.value, VMADDR_CID_HOST);
}

VMBUS_CASE(Address, 12, kLinux, "GET_LOCAL_CID is request 0x7B9 of /dev/vsock") {
  static_assert(IOCTL_VM_SOCKETS_GET_LOCAL_CID == 0x7B9);
  const Socket device(::open("/dev/vsock", O_RDONLY | O_CLOEXEC));
  ASSERT_GE(device.fd(), 0);
  std::uint32_t cid = 0;
  EXPECT_EQ(outcome(::ioctl(device.fd(), 0x7B9, &cid)), gives(0));
  EXPECT_EQ(cid, in(kStrict) ? kAny : kGuestCid);
}

}  // namespace vmbus::cases
