// What accept() gives: names, and what is inherited. Cases 89 to 99.
#include "tests/conformance/connections.h"
#include "tests/conformance/waiting.h"

namespace vmbus::cases {
namespace {

// A client of the host that dials the guest by VM id and service, so that its own name shows the
// endpoint's GUID.
RemoteSocket windows_client(const Listener& here) {
  RemoteSocket client = other_side().socket(AF_HYPERV, SOCK_STREAM, HV_PROTOCOL_RAW);
  EXPECT_EQ(client.connect(hv_address(guest_vm_id(), service_of_port(port_of(here.name)))),
            gives(0));
  return client;
}

GUID service_in(const Address& name) { return name.as<SOCKADDR_HV>().ServiceId; }

template <typename T>
T value_of(const Socket& socket, int level, int option) {
  T value{};
  socklen_t size = sizeof value;
  EXPECT_EQ(outcome(::getsockopt(socket.fd(), level, option, &value, &size)), gives(0));
  EXPECT_EQ(size, sizeof value);
  return value;
}

// A listener of this machine's loopback, and a connection to it.
struct LoopbackPair {
  Address listener;
  LocalConnection connection;
};
LoopbackPair loopback_pair() {
  const Socket listening = stream();
  const Address name = hv_address(HV_GUID_LOOPBACK, service_of_port(next_port()));
  EXPECT_EQ(listening.bind(name), gives(0));
  EXPECT_EQ(listening.listen(), gives(0));
  Socket client = stream();
  EXPECT_EQ(client.connect(name), gives(0));
  return {name, {std::move(client), listening.accepted()}};
}

}  // namespace

VMBUS_CASE(Listen, 89, kHyperV,
           "the accepted peer is CID 2, its port the endpoint GUID's first word") {
  const Listener here = listener();
  const RemoteSocket client = windows_client(here);
  Address peer;
  const Socket accepted(static_cast<int>(here.socket.accept(&peer).value));
  ASSERT_EQ(peer.size, sizeof(sockaddr_vm));
  EXPECT_EQ(peer.as<sockaddr_vm>().svm_cid, kHostCid);
  EXPECT_EQ(peer.as<sockaddr_vm>().svm_port, service_in(client.name().second).Data1);
  EXPECT_EQ(accepted.peer_name().second, peer);
}

VMBUS_CASE(Listen, 90, kLinux, "two clients of the host have different ports") {
  const Listener here = listener();
  const RemoteSocket first = remote_stream();
  ASSERT_EQ(first.connect(reachable(here.name)), gives(0));
  const RemoteSocket second = remote_stream();
  ASSERT_EQ(second.connect(reachable(here.name)), gives(0));
  Address first_peer;
  Address second_peer;
  const Socket first_accepted(static_cast<int>(here.socket.accept(&first_peer).value));
  const Socket second_accepted(static_cast<int>(here.socket.accept(&second_peer).value));
  EXPECT_NE(port_of(first_peer), port_of(second_peer));
  // On Hyper-V they are the endpoints', not the clients' own.
  EXPECT_EQ(port_of(first_peer) == port_of(first.name().second), !in(kStrict));
  EXPECT_EQ(port_of(second_peer) == port_of(second.name().second), !in(kStrict));
}

VMBUS_CASE(Listen, 93, kLinux | kUnix,
           "the accepted socket has none of the listener's time-outs, O_NONBLOCK and SO_LINGER") {
  const Listener here = listener();
  const linger lingering{1, 5};
  ASSERT_EQ(here.socket.set_option(SOL_SOCKET, SO_RCVTIMEO, as_timeval(kLimit)), gives(0));
  ASSERT_EQ(here.socket.set_option(SOL_SOCKET, SO_LINGER, lingering), gives(0));
  ASSERT_EQ(here.socket.set_nonblocking(), gives(0));
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
  ASSERT_NE(here.socket.poll(kLimit, POLLIN), 0);
  const Socket accepted = here.socket.accepted();
  EXPECT_EQ(value_of<timeval>(accepted, SOL_SOCKET, SO_RCVTIMEO).tv_sec, 0);
  EXPECT_EQ(value_of<linger>(accepted, SOL_SOCKET, SO_LINGER).l_onoff, 0);
  EXPECT_EQ(::fcntl(accepted.fd(), F_GETFL) & O_NONBLOCK, 0);
}

VMBUS_CASE(Listen, 94, kLinux, "the accepted socket inherits connect time-out and buffer size") {
  const Listener here = listener();
  const std::uint64_t buffer = 65536;
  ASSERT_EQ(limit_connect(here.socket, std::chrono::seconds(5)), gives(0));
  ASSERT_EQ(here.socket.set_option(AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, buffer), gives(0));
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
  const Socket accepted = here.socket.accepted();
  const auto limit = value_of<timeval>(accepted, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT);
  EXPECT_EQ(limit.tv_sec, 5);
  EXPECT_EQ(limit.tv_usec, 0);
  EXPECT_EQ(value_of<std::uint64_t>(accepted, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE), buffer);
}

VMBUS_CASE(Listen, 95, kLinux, "a Hyper-V guest's accepted socket shows buffers of 24576 bytes") {
  const Connection connection = accepted();
  const Outcome expected = gives(in(kStrict) ? 24576 : 212992);  // elsewhere: the default
  EXPECT_EQ(connection.here.option(SOL_SOCKET, SO_SNDBUF), expected);
  EXPECT_EQ(connection.here.option(SOL_SOCKET, SO_RCVBUF), expected);
}

VMBUS_CASE(Listen, 96, kFreeBsd, "the accepted peer's port is unknown: 0xFFFFFFFF") {
  const Listener here = listener();
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
  Address peer;
  const Socket accepted(static_cast<int>(here.socket.accept(&peer).value));
  EXPECT_EQ(peer.size, sizeof(FreeBsdName));
  EXPECT_EQ(port_of(peer), kAny);
}

VMBUS_CASE(Listen, 97, kWindows,
           "a loopback server sees its client as (LOOPBACK, client's service)") {
  const LoopbackPair pair = loopback_pair();
  const GUID own = service_in(pair.connection.client.name().second);
  EXPECT_EQ(pair.connection.server.peer_name().second, hv_address(HV_GUID_LOOPBACK, own));
}

VMBUS_CASE(Listen, 98, kWindows, "a loopback client's own name is (CHILDREN, a fresh service)") {
  const LoopbackPair first = loopback_pair();
  const LoopbackPair second = loopback_pair();
  const GUID own = service_in(first.connection.client.name().second);
  EXPECT_EQ(first.connection.client.name().second, hv_address(HV_GUID_CHILDREN, own));
  EXPECT_NE(first.connection.client.name().second, second.connection.client.name().second);
  EXPECT_NE(hv_address(HV_GUID_LOOPBACK, own), first.listener);
}

VMBUS_CASE(Listen, 99, kWindows, "a loopback client's peer has the listener's name") {
  const LoopbackPair pair = loopback_pair();
  EXPECT_EQ(pair.connection.client.peer_name().second, pair.listener);
}

}  // namespace vmbus::cases
