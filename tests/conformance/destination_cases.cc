// Where connect() leads: CIDs and ports of a Linux guest, VM ids of a Windows host, and what FreeBSD
// does. Cases 116 to 124, 133 and 134, 138 to 149.
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kHighPort = 0x80000001;

constexpr GUID kWslVmId{0x5e1f0000, 0, 0x4000, {0x80, 0, 0, 0, 0, 0, 0, 1}};  // setup.cc

Outcome dial(const Address& name) { return stream().connect(name); }

GUID fresh_service() { return service_of_port(next_port()); }

// A Windows socket that gives up after `limit`.
Socket windows_stream(milliseconds limit) {
  Socket socket = stream();
  const auto number = static_cast<std::uint32_t>(limit.count());
  EXPECT_EQ(socket.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, number), gives(0));
  return socket;
}

Socket windows_listener(const GUID& vm_id, const GUID& service) {
  Socket socket = stream();
  EXPECT_EQ(socket.bind(hv_address(vm_id, service)), gives(0));
  EXPECT_EQ(socket.listen(), gives(0));
  return socket;
}

}  // namespace

VMBUS_CASE(Connect, 116, kHyperV, "CID 0 is ENETUNREACH") {
  EXPECT_EQ(dial(vm_address(VMADDR_CID_HYPERVISOR, next_port())), fails(ENETUNREACH));
}

VMBUS_CASE(Connect, 117, kStrict, "CID 1 is ENETUNREACH without vsock_loopback") {
  EXPECT_EQ(dial(vm_address(VMADDR_CID_LOCAL, next_port())), fails(ENETUNREACH));
}

VMBUS_CASE(Connect, 118, kHyperV | kLinux5_4 | kLinux6_12 | kLinux6_16,
           "CID_ANY, or a CID that is nobody's, is ENETUNREACH") {
  EXPECT_EQ(dial(vm_address(77, next_port())), fails(ENETUNREACH));
  if (in(kDefault)) return;  // has loopback, which CID_ANY leads to
  EXPECT_EQ(dial(vm_address(kAny, next_port())), fails(ENETUNREACH));
}

VMBUS_CASE(Connect, 119, kLinux2026, "from 2026 on, a CID that is nobody's is ENODEV") {
  EXPECT_EQ(dial(vm_address(77, next_port())), fails(ENODEV));
  EXPECT_EQ(dial(vm_address(kAny, next_port())), fails(ENODEV));
}

VMBUS_CASE(Connect, 120, kLoopback | kDefault | kVirtio,
           "CID 1 leads to the guest's own listener") {
  const Listener here = listener();
  EXPECT_EQ(dial(vm_address(VMADDR_CID_LOCAL, port_of(here.name))), gives(0));
}

VMBUS_CASE(Connect, 121, kLoopback | kDefault,
           "CID_ANY is hv_sock's own CID, and leads to the guest's own listener") {
  const Listener here = listener();
  EXPECT_EQ(dial(vm_address(kAny, port_of(here.name))), gives(0));
}

VMBUS_CASE(Connect, 122, kLoopback | kDefault | kVirtio,
           "a connect to oneself that nobody listens to is ECONNRESET at once") {
  const Stopwatch watch;
  EXPECT_EQ(dial(vm_address(VMADDR_CID_LOCAL, next_port())), fails(ECONNRESET));
  EXPECT_LT(watch.elapsed(), milliseconds(1000));
}

VMBUS_CASE(Connect, 123, kVirtio | kDefault,
           "a port of the host that is bound and does not listen is ECONNRESET at once") {
  const RemoteSocket there = remote_stream();
  const Address name = vm_address(kHostCid, next_port());
  ASSERT_EQ(there.bind(name), gives(0));
  const Stopwatch watch;
  EXPECT_EQ(dial(name), fails(ECONNRESET));
  EXPECT_LT(watch.elapsed(), milliseconds(1000));
}

VMBUS_CASE(Connect, 124, kLinux,
           "on a machine that is nobody's guest CID 2 is the machine itself") {
  const RemoteSocket listening = remote_stream();
  const std::uint32_t port = next_port();
  ASSERT_EQ(listening.bind(vm_address(kAny, port)), gives(0));
  ASSERT_EQ(listening.listen(), gives(0));
  const RemoteSocket client = remote_stream();
  EXPECT_EQ(client.connect(vm_address(kHostCid, port)), gives(0));
}

VMBUS_CASE(Connect, 133, kHyperV | kLinux6_12 | kLinux6_16 | kLinux2026,
           "ports above 0x7FFFFFFF connect") {
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.bind(vm_address(kHostCid, kHighPort)), gives(0));
  ASSERT_EQ(there.listen(), gives(0));
  EXPECT_EQ(dial(vm_address(kHostCid, kHighPort)), gives(0));
}

VMBUS_CASE(Connect, 134, kLinux5_4, "before Linux 5.6 ports above 0x7FFFFFFF are ENETUNREACH") {
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.bind(vm_address(kHostCid, kHighPort)), gives(0));
  ASSERT_EQ(there.listen(), gives(0));
  EXPECT_EQ(dial(vm_address(kHostCid, kHighPort)), fails(ENETUNREACH));
}

VMBUS_CASE(Connect, 1130, kVirtio, "a virtio guest asks its device for any CID: ECONNRESET") {
  for (const std::uint32_t cid : {0U, 77U, kAny}) {
    EXPECT_EQ(dial(vm_address(cid, next_port())), fails(ECONNRESET)) << cid;
  }
}

VMBUS_CASE(
    Connect, 1131, kLinux,
    "the host learns of a guest's port that nobody listens on when its time is up, or at once") {
  const RemoteSocket host = remote_stream();
  ASSERT_EQ(limit_connect(host, milliseconds(400)), gives(0));
  const Stopwatch watch;
  EXPECT_EQ(host.connect(vm_address(kGuestCid, next_port())),
            fails(in(kStrict) ? ETIMEDOUT : ECONNRESET));
  EXPECT_EQ(watch.elapsed() >= milliseconds(380), in(kStrict)) << watch.elapsed().count();
}

// ---- a Windows host -----------------------------------------------------------------------------

VMBUS_CASE(Connect, 138, kWindows, "a loopback connect that nobody listens to is refused at once") {
  const Stopwatch watch;
  EXPECT_EQ(dial(hv_address(HV_GUID_LOOPBACK, fresh_service())), fails(ECONNREFUSED));
  EXPECT_LT(watch.elapsed(), milliseconds(50));
}

VMBUS_CASE(Connect, 139, kWindows, "HVSOCKET_CONNECT_TIMEOUT limits a connect to a guest") {
  const Socket socket = windows_stream(milliseconds(500));
  const Stopwatch watch;
  EXPECT_EQ(socket.connect(hv_address(guest_vm_id(), fresh_service())), fails(ETIMEDOUT));
  EXPECT_GE(watch.elapsed(), milliseconds(480));
  EXPECT_LE(watch.elapsed(), milliseconds(1500));
}

VMBUS_CASE(Connect, 140, kWindows, "VM ids that mean many are EADDRNOTAVAIL") {
  for (const GUID& many : {HV_GUID_WILDCARD, HV_GUID_CHILDREN, HV_GUID_BROADCAST}) {
    EXPECT_EQ(dial(hv_address(many, fresh_service())), fails(EADDRNOTAVAIL));
  }
}

VMBUS_CASE(Connect, 141, kWindows, "a physical host has no parent: EADDRNOTAVAIL") {
  EXPECT_EQ(dial(hv_address(HV_GUID_PARENT, fresh_service())), fails(EADDRNOTAVAIL));
}

VMBUS_CASE(Connect, 142, kWindows,
           "a VM id and a port's service lead to the guest, which sees CID 2") {
  const RemoteListener guest = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.connect(guest.reached_at), gives(0));
  const RemoteSocket there = guest.socket.accepted();
  const auto [result, peer] = there.peer_name();
  ASSERT_EQ(result, gives(0));
  EXPECT_EQ(peer.as<sockaddr_vm>().svm_cid, kHostCid);
  EXPECT_EQ(there.name().second.as<sockaddr_vm>().svm_cid, kGuestCid);
}

VMBUS_CASE(Connect, 143, kWindows, "a Linux guest ignores a service that is no port: ETIMEDOUT") {
  const RemoteListener guest = remote_listener();
  GUID service = guest.reached_at.as<SOCKADDR_HV>().ServiceId;
  EXPECT_EQ(dial(hv_address(guest_vm_id(), service)), gives(0)) << "the port's";
  service.Data4[7] ^= 1;
  const Socket socket = windows_stream(milliseconds(300));
  EXPECT_EQ(socket.connect(hv_address(guest_vm_id(), service)), fails(ETIMEDOUT));
}

VMBUS_CASE(Connect, 144, kWindows,
           "a guest's port that is bound and does not listen is ETIMEDOUT") {
  const RemoteSocket there = remote_stream();
  const std::uint32_t port = next_port();
  ASSERT_EQ(there.bind(vm_address(kAny, port)), gives(0));
  const Socket socket = windows_stream(milliseconds(300));
  EXPECT_EQ(socket.connect(hv_address(guest_vm_id(), service_of_port(port))), fails(ETIMEDOUT));
}

VMBUS_CASE(Connect, 145, kWindows,
           "of two listeners of a service, the one on the VM's own id serves it") {
  const GUID service = fresh_service();
  const Socket any = windows_listener(HV_GUID_WILDCARD, service);
  const Socket own = windows_listener(guest_vm_id(), service);
  const RemoteSocket guest = remote_stream();
  ASSERT_EQ(guest.connect(vm_address(kHostCid, service.Data1)), gives(0));
  EXPECT_NE(own.poll(kLimit, POLLIN), 0);
  EXPECT_EQ(any.poll(), 0);
}

VMBUS_CASE(Connect, 146, kWindows, "a WSL guest is served by listeners on its own VM id alone") {
  const GUID service = fresh_service();
  const Socket any = windows_listener(HV_GUID_WILDCARD, service);
  Peer wsl("wsl");
  const RemoteSocket guest = remote_stream(wsl);
  ASSERT_EQ(limit_connect(guest, milliseconds(300)), gives(0));
  EXPECT_EQ(guest.connect(vm_address(kHostCid, service.Data1)), fails(ETIMEDOUT));
  EXPECT_EQ(any.poll(), 0);
  const Socket own = windows_listener(kWslVmId, service);
  EXPECT_EQ(guest.connect(vm_address(kHostCid, service.Data1)), gives(0));
  EXPECT_NE(own.poll(kLimit, POLLIN), 0);
}

// ---- a FreeBSD guest ----------------------------------------------------------------------------

VMBUS_CASE(Connect, 147, kFreeBsd,
           "FreeBSD's connect waits without limit, and an interrupted one stays under way") {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  const Socket here = stream();
  const Address name = hvs_address(next_port());
  WaitingCall connect([&] { return here.connect(name); }, kInConnect);
  ASSERT_TRUE(connect.sleeps());
  connect.signal(SIGUSR1);
  EXPECT_EQ(connect.result(), fails(EINTR));
  EXPECT_EQ(here.connect(name), fails(EALREADY));
  const Socket patient = stream(SOCK_NONBLOCK);
  ASSERT_EQ(patient.connect(name), fails(EINPROGRESS));
  EXPECT_EQ(patient.poll(milliseconds(2500)), 0) << "longer than Linux would wait";
}

VMBUS_CASE(Connect, 148, kFreeBsd, "FreeBSD's connect takes a fresh high port, bound or not") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  const Address name = fresh_name();
  ASSERT_EQ(here.bind(name), gives(0));
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  EXPECT_NE(port_of(here.name().second), port_of(name));
  EXPECT_GE(port_of(here.name().second), 0xFFFF0000U);
}

VMBUS_CASE(Connect, 149, kFreeBsd, "connect on a connected socket is EISCONN") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), fails(EISCONN));
}

}  // namespace vmbus::cases
