// Services that the host's administrator has registered (services.txt), and others. Cases 65, 135.
#include "tests/conformance/connections.h"
#include "tests/conformance/vmbus_command.h"
#include "tests/conformance/waiting.h"

namespace vmbus::cases {
namespace {

using std::chrono::milliseconds;

// In services.txt.
constexpr std::uint32_t kListedPort = 4100;
constexpr GUID kListedService{
    0xc3b2a190, 0x1234, 0x4567, {0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67}};
constexpr std::uint32_t kOtherPort = 4101;
constexpr GUID kOtherService{
    0xc3b2a191, 0x1234, 0x4567, {0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67}};

constexpr GUID kWslVmId{0x5e1f0000, 0, 0x4000, {0x80, 0, 0, 0, 0, 0, 0, 1}};  // setup.cc

Outcome binds(const GUID& vm_id, const GUID& service) {
  return stream().bind(hv_address(vm_id, service));
}

// A listener of the host whose own profile asks for no registration.
struct LenientHost {
  Peer peer{"host", {"VMBUS_PROFILE=default"}};
  RemoteSocket socket = peer.socket(AF_VSOCK);

  explicit LenientHost(std::uint32_t port) {
    EXPECT_EQ(socket.bind(vm_address(kHostCid, port)), gives(0));
    EXPECT_EQ(socket.listen(), gives(0));
  }
};

Outcome dial_host(std::uint32_t port) {
  const Socket socket = stream();
  EXPECT_EQ(limit_connect(socket, milliseconds(500)), gives(0));
  return socket.connect(vm_address(kHostCid, port));
}

Outcome dial_guest(const GUID& vm_id, std::uint32_t port) {
  const Socket socket = stream();
  EXPECT_EQ(socket.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, std::uint32_t{500}),
            gives(0));
  return socket.connect(hv_address(vm_id, service_of_port(port)));
}

struct GuestListener {
  Peer peer{"guest"};
  RemoteSocket socket = peer.socket(AF_VSOCK);

  explicit GuestListener(std::uint32_t port) {
    EXPECT_EQ(socket.bind(vm_address(kAny, port)), gives(0));
    EXPECT_EQ(socket.listen(), gives(0));
  }
};

}  // namespace

VMBUS_CASE(Registration, 65, kWindowsListed,
           "Windows: a service that is not registered cannot be bound: EACCES") {
  for (const GUID& many : {HV_GUID_WILDCARD, HV_GUID_CHILDREN, guest_vm_id()}) {
    EXPECT_EQ(binds(many, kOtherService), fails(EACCES));
    EXPECT_EQ(binds(many, service_of_port(kOtherPort)), fails(EACCES));
  }
  const Socket socket = stream();
  EXPECT_EQ(socket.bind(hv_address(HV_GUID_WILDCARD, kOtherService)), fails(EACCES));
  EXPECT_EQ(socket.bind(hv_address(HV_GUID_WILDCARD, kListedService)), gives(0))
      << "the socket is as it was";
}

VMBUS_CASE(Registration, 1133, kWindowsListed,
           "a registered service can be bound, and so can what only the host itself reaches") {
  EXPECT_EQ(binds(HV_GUID_WILDCARD, kListedService), gives(0));
  EXPECT_EQ(binds(HV_GUID_WILDCARD, service_of_port(kListedPort)), gives(0));
  EXPECT_EQ(binds(HV_GUID_LOOPBACK, kOtherService), gives(0));
  EXPECT_EQ(binds(HV_GUID_ZERO, GUID{}), gives(0)) << "a client that wants any name";
}

VMBUS_CASE(Registration, 1134, kWindowsListed,
           "AF_VSOCK on the host is bound by the same list, automatic ports are not") {
  const auto binds_port = [](std::uint32_t port) {
    return Socket(::socket(AF_VSOCK, SOCK_STREAM, 0)).bind(vm_address(kHostCid, port));
  };
  EXPECT_EQ(binds_port(kOtherPort), fails(EACCES));
  EXPECT_EQ(binds_port(kListedPort), gives(0));
  EXPECT_EQ(binds_port(kAny), gives(0));
}

VMBUS_CASE(Registration, 135, kStrictListed,
           "a guest's connect to a service that is not registered times out") {
  const LenientHost registered(kListedPort);
  EXPECT_EQ(dial_host(kListedPort), gives(0));
  const LenientHost other(kOtherPort);
  const Stopwatch watch;
  EXPECT_EQ(dial_host(kOtherPort), fails(ETIMEDOUT));
  EXPECT_GE(watch.elapsed(), milliseconds(480));
}

VMBUS_CASE(Registration, 1135, kWindowsListed,
           "nor does the host reach a guest by a service that is not registered") {
  const GuestListener registered(kListedPort);
  EXPECT_EQ(dial_guest(guest_vm_id(), kListedPort), gives(0));
  const GuestListener other(kOtherPort);
  EXPECT_EQ(dial_guest(guest_vm_id(), kOtherPort), fails(ETIMEDOUT));
}

VMBUS_CASE(Registration, 1136, kWindowsListed,
           "WSL needs no registration: its listeners name the VM, and the host dials it") {
  const Socket here = stream();
  ASSERT_EQ(here.bind(hv_address(kWslVmId, service_of_port(kOtherPort))), gives(0));
  ASSERT_EQ(here.listen(), gives(0));
  Peer wsl("wsl");
  EXPECT_EQ(wsl.socket(AF_VSOCK).connect(vm_address(kHostCid, kOtherPort)), gives(0));
  const RemoteSocket there = wsl.socket(AF_VSOCK);
  ASSERT_EQ(there.bind(vm_address(kAny, kOtherPort)), gives(0));
  ASSERT_EQ(there.listen(), gives(0));
  EXPECT_EQ(dial_guest(kWslVmId, kOtherPort), gives(0));
}

VMBUS_CASE(Registration, 1137, kStrictListed, "a service that is added later counts at once") {
  const LenientHost host(kOtherPort);
  EXPECT_EQ(dial_host(kOtherPort), fails(ETIMEDOUT));
  ASSERT_EQ(vmbus({"service", "add", std::to_string(kOtherPort)}), 0);
  EXPECT_EQ(dial_host(kOtherPort), gives(0));
  ASSERT_EQ(vmbus({"service", "remove", std::to_string(kOtherPort)}), 0);
  EXPECT_EQ(dial_host(kOtherPort), fails(ETIMEDOUT));
}

}  // namespace vmbus::cases
