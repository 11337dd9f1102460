#include "emu/protocol/address.h"

#include <gtest/gtest.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <bit>
#include <cerrno>
#include <vector>

namespace vmbus::proto {
namespace {

std::vector<std::byte> raw_vm(std::uint16_t family, std::size_t size, std::uint8_t flags = 0) {
  const SockaddrVm sockaddr{.family = family, .port = Port{5000}, .cid = kCidHost, .flags = flags};
  const auto image = std::bit_cast<std::array<std::byte, sizeof sockaddr>>(sockaddr);
  std::vector<std::byte> raw(image.begin(), image.end());
  raw.resize(size, std::byte{0xEE});
  return raw;
}

std::vector<std::byte> raw_of(const Address& address) {
  const RawAddress raw = to_raw(address);
  return {raw.bytes().begin(), raw.bytes().end()};
}

const Address kVsock = vsock_address(kCidHost, Port{5000});
const Address kHyperV = hyperv_address(kHvGuidChildren, service_id_of(Port{5000}));
const Address kFreeBsd = freebsd_address(Port{5000});

// Case 1: sizeof and offsets of sockaddr_vm
TEST(Address, SockaddrVmIsTheKernels) {
  EXPECT_EQ(sizeof(SockaddrVm), 16u);
  EXPECT_EQ(offsetof(SockaddrVm, family), 0u);
  EXPECT_EQ(offsetof(SockaddrVm, port), 4u);
  EXPECT_EQ(offsetof(SockaddrVm, cid), 8u);
  EXPECT_EQ(offsetof(SockaddrVm, flags), 12u);
  EXPECT_EQ(sizeof(SockaddrVm), sizeof(sockaddr_vm));
  EXPECT_EQ(offsetof(SockaddrVm, port), offsetof(sockaddr_vm, svm_port));
  EXPECT_EQ(offsetof(SockaddrVm, cid), offsetof(sockaddr_vm, svm_cid));
}

// Case 2: sizeof and offsets of SOCKADDR_HV
TEST(Address, SockaddrHvIsWindows) {
  EXPECT_EQ(sizeof(SockaddrHv), 36u);
  EXPECT_EQ(offsetof(SockaddrHv, family), 0u);
  EXPECT_EQ(offsetof(SockaddrHv, reserved), 2u);
  EXPECT_EQ(offsetof(SockaddrHv, vm_id), 4u);
  EXPECT_EQ(offsetof(SockaddrHv, service_id), 20u);
  EXPECT_EQ(kFamilyHyperV, 34);
}

// Case 3: sizeof and offsets of sockaddr_hvs
TEST(Address, SockaddrHvsIsFreeBsds) {
  EXPECT_EQ(sizeof(SockaddrHvs), 20u);
  EXPECT_EQ(offsetof(SockaddrHvs, length), 0u);
  EXPECT_EQ(offsetof(SockaddrHvs, family), 1u);
  EXPECT_EQ(offsetof(SockaddrHvs, port), 4u);
  EXPECT_EQ(offsetof(SockaddrHvs, zero), 8u);
  EXPECT_EQ(kFamilyHyperVFreeBsd, 43);
}

// Case 5: make ServiceId of port 1234
TEST(ServiceId, CarriesThePortInData1) {
  const Guid service = service_id_of(Port{1234});
  EXPECT_EQ(to_text(service).view(), "000004d2-facb-11e6-bd58-64006a7986d3");
  EXPECT_EQ((std::bit_cast<std::array<std::uint8_t, 16>>(service)),
            (std::array<std::uint8_t, 16>{0xD2, 0x04, 0x00, 0x00, 0xCB, 0xFA, 0xE6, 0x11, 0xBD,
                                          0x58, 0x64, 0x00, 0x6A, 0x79, 0x86, 0xD3}));
}

// Row 177: port mapping
// Case 6: ports 0xFFFFFFFF and 0, and back
TEST(ServiceId, EveryPortComesBack) {
  for (const std::uint32_t port : {0u, 1024u, 0x8000'0000u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(port_of(service_id_of(Port{port})), Port{port});
  }
}

// Case 7: a GUID that differs from the template
TEST(ServiceId, AnyDifferenceBehindData1IsNoVsockService) {
  for (std::size_t i = 4; i < sizeof(Guid); ++i) {
    auto bytes = std::bit_cast<std::array<std::uint8_t, 16>>(service_id_of(Port{1234}));
    bytes[i] ^= 1;
    const auto service = std::bit_cast<Guid>(bytes);
    EXPECT_FALSE(is_vsock_service(service)) << i;
    EXPECT_EQ(port_of(service), std::nullopt) << i;
  }
}

// Case 11: CID constants
TEST(Address, CidsAreTheKernels) {
  EXPECT_EQ(kCidAny.value, 0xFFFF'FFFFu);
  EXPECT_EQ(kCidHypervisor.value, 0u);
  EXPECT_EQ(kCidLocal.value, 1u);
  EXPECT_EQ(kCidHost.value, 2u);
  EXPECT_EQ(kCidAny.value, VMADDR_CID_ANY);
  EXPECT_EQ(kPortAny.value, VMADDR_PORT_ANY);
  EXPECT_EQ(kFamilyVsock, AF_VSOCK);
}

// Case 12: IOCTL_VM_SOCKETS_GET_LOCAL_CID
TEST(Address, IoctlNumberIsTheKernels) {
  EXPECT_EQ(kIoctlGetLocalCid, 0x7B9u);
  EXPECT_EQ(kIoctlGetLocalCid, static_cast<unsigned long>(IOCTL_VM_SOCKETS_GET_LOCAL_CID));
}

TEST(ParseSockaddrVm, TakesSixteenTo128Bytes) {
  for (const std::size_t size : {16u, 28u, 128u}) {
    Address address;
    EXPECT_EQ(parse_sockaddr_vm(raw_vm(AF_VSOCK, size), address), 0) << size;
    EXPECT_EQ(address, kVsock) << size;
  }
}

TEST(ParseSockaddrVm, OtherLengthsAreEinval) {
  for (const std::size_t size : {0u, 2u, 8u, 15u, 129u}) {
    Address address = kFreeBsd;
    EXPECT_EQ(parse_sockaddr_vm(raw_vm(AF_VSOCK, size), address), EINVAL) << size;
    EXPECT_EQ(address, kFreeBsd) << "an error leaves the address alone";
  }
}

TEST(ParseSockaddrVm, OtherFamiliesAreEinval) {
  Address address;
  for (const std::uint16_t family : std::to_array<std::uint16_t>({AF_UNSPEC, AF_INET, 34})) {
    EXPECT_EQ(parse_sockaddr_vm(raw_vm(family, 16), address), EINVAL) << family;
  }
}

TEST(ParseSockaddrVm, KnowsOneFlag) {
  Address address;
  EXPECT_EQ(parse_sockaddr_vm(raw_vm(AF_VSOCK, 16, kVmaddrFlagToHost), address), 0);
  for (const std::uint8_t flags : std::to_array<std::uint8_t>({0x02, 0x03, 0x80})) {
    EXPECT_EQ(parse_sockaddr_vm(raw_vm(AF_VSOCK, 16, flags), address), EINVAL) << int{flags};
  }
}

TEST(ParseSockaddrVm, IgnoresReservedBytes) {
  auto raw = raw_vm(AF_VSOCK, 16);
  for (const std::size_t i : {2u, 3u, 13u, 14u, 15u}) raw[i] = std::byte{0xBE};
  Address address;
  EXPECT_EQ(parse_sockaddr_vm(raw, address), 0);
  EXPECT_EQ(raw_of(address), raw_vm(AF_VSOCK, 16)) << "and gives back zeros";
}

TEST(ParseSockaddrHv, NeedsItsLengthAndFamily) {
  auto raw = raw_of(kHyperV);
  Address address;
  EXPECT_EQ(parse_sockaddr_hv(raw, address), 0);
  EXPECT_EQ(address, kHyperV);

  raw[0] = std::byte{AF_VSOCK};
  EXPECT_EQ(parse_sockaddr_hv(raw, address), EAFNOSUPPORT);
  raw[0] = std::byte{34};
  raw.push_back(std::byte{0});
  EXPECT_EQ(parse_sockaddr_hv(raw, address), EFAULT);
  raw.resize(35);
  EXPECT_EQ(parse_sockaddr_hv(raw, address), EFAULT);
  EXPECT_EQ(parse_sockaddr_hv({}, address), EFAULT);
}

TEST(ParseSockaddrHvs, NeedsItsLengthAndFamily) {
  auto raw = raw_of(kFreeBsd);
  Address address;
  EXPECT_EQ(parse_sockaddr_hvs(raw, address), 0);
  EXPECT_EQ(address, kFreeBsd);

  raw[1] = std::byte{2};
  EXPECT_EQ(parse_sockaddr_hvs(raw, address), EAFNOSUPPORT);
  raw[1] = std::byte{43};
  for (const std::size_t size : {1u, 16u, 36u}) {
    raw.resize(size);
    EXPECT_EQ(parse_sockaddr_hvs(raw, address), EINVAL) << size;
  }
}

TEST(ParseSockaddrHvs, LengthByteIsNotLookedAt) {
  auto raw = raw_of(kFreeBsd);
  raw[0] = std::byte{0};
  Address address;
  EXPECT_EQ(parse_sockaddr_hvs(raw, address), 0);
}

TEST(Address, EveryKindComesBackFromItsBytes) {
  for (const Address& address : {kVsock, kHyperV, kFreeBsd}) {
    Address parsed;
    EXPECT_EQ(parse_sockaddr(address.kind, raw_of(address), parsed), 0);
    EXPECT_EQ(parsed, address);
  }
}

TEST(Address, NoKindHasNoBytes) { EXPECT_EQ(to_raw(Address{}).size, 0u); }

TEST(Address, AllFamiliesNameTheSameService) {
  EXPECT_EQ(service_id_of(kVsock), service_id_of(kHyperV));
  EXPECT_EQ(service_id_of(kFreeBsd), service_id_of(kHyperV));
}

}  // namespace
}  // namespace vmbus::proto
