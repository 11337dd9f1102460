// connect() from a guest to its host: cases 100 to 115 and 125 to 137. Other destinations:
// destination_cases.cc.
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kVintages = kLinux5_4 | kLinux6_12 | kLinux6_16 | kLinux2026;

// A name of the host that nobody listens on.
Address unanswered() { return vm_address(kHostCid, next_port()); }

// A listener there whose queue is full: who dials it waits until there is room.
struct FullListener {
  RemoteListener there = remote_listener(0);
  Socket first = stream();

  FullListener() { EXPECT_EQ(first.connect(there.reached_at), gives(0)); }
  const Address& name() const { return there.reached_at; }
  void make_room() const { const RemoteSocket taken = there.socket.accepted(); }
};

// Not blocking, and under way to a listener that is full.
Socket connecting(const FullListener& full) {
  Socket socket = stream(SOCK_NONBLOCK);
  EXPECT_EQ(socket.connect(full.name()), fails(EINPROGRESS));
  return socket;
}

// Not blocking, and its attempt has come to nothing.
Socket failed_later() {
  Socket socket = stream(SOCK_NONBLOCK);
  EXPECT_EQ(limit_connect(socket, milliseconds(100)), gives(0));
  EXPECT_EQ(socket.connect(unanswered()), fails(EINPROGRESS));
  EXPECT_NE(socket.poll(kLimit, POLLOUT), 0);
  return socket;
}

void expect_about(milliseconds elapsed, milliseconds expected) {
  EXPECT_GE(elapsed, expected - milliseconds(20));
  EXPECT_LE(elapsed, expected + milliseconds(700));  // a busy machine is late, never early
}

}  // namespace

VMBUS_CASE(Connect, 100, kLinux, "a connect to the host names both ends") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  const auto own = here.name().second.as<sockaddr_vm>();
  EXPECT_EQ(own.svm_cid, in(kStrict) ? kAny : kGuestCid);
  EXPECT_GE(own.svm_port, 1024U);
  EXPECT_NE(own.svm_port, kAny);
  EXPECT_EQ(here.peer_name().second, there.reached_at);
}

VMBUS_CASE(Connect, 101, kStrict,
           "a connect that nobody answers is ETIMEDOUT after 2 s, and leaves SO_ERROR 0") {
  const Socket here = stream();
  const Stopwatch watch;
  EXPECT_EQ(here.connect(unanswered()), fails(ETIMEDOUT));
  expect_about(watch.elapsed(), milliseconds(2000));
  EXPECT_EQ(here.so_error(), gives(0));
}

VMBUS_CASE(Connect, 102, kLinux, "a connect that failed leaves the automatic port bound") {
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, milliseconds(100)), gives(0));
  ASSERT_FALSE(here.connect(unanswered()).ok());
  const Address name = here.name().second;
  EXPECT_GE(port_of(name), 1024U);
  EXPECT_NE(port_of(name), kAny);
  EXPECT_EQ(stream().bind(vm_address(kAny, port_of(name))), fails(EADDRINUSE));
}

VMBUS_CASE(Connect, 103, kLinux, "a socket whose connect failed connects once somebody listens") {
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, milliseconds(100)), gives(0));
  const Address name = unanswered();
  ASSERT_EQ(here.connect(name), fails(in(kStrict) ? ETIMEDOUT : ECONNRESET));
  const std::uint32_t port = port_of(here.name().second);
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.bind(name), gives(0));
  ASSERT_EQ(there.listen(), gives(0));
  EXPECT_EQ(here.connect(name), gives(0));
  EXPECT_EQ(port_of(here.name().second), port);
}

VMBUS_CASE(Connect, 104, kStrict, "SO_VM_SOCKETS_CONNECT_TIMEOUT limits a connect") {
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, milliseconds(300)), gives(0));
  const Stopwatch watch;
  EXPECT_EQ(here.connect(unanswered()), fails(ETIMEDOUT));
  expect_about(watch.elapsed(), milliseconds(300));
}

VMBUS_CASE(Connect, 105, kStrict, "SO_SNDTIMEO does not limit a connect") {
  const Socket here = stream();
  ASSERT_EQ(here.set_option(SOL_SOCKET, SO_SNDTIMEO, as_timeval(milliseconds(100))), gives(0));
  const Stopwatch watch;
  EXPECT_EQ(here.connect(unanswered()), fails(ETIMEDOUT));
  expect_about(watch.elapsed(), milliseconds(2000));
}

VMBUS_CASE(Connect, 106, kLinux,
           "a non-blocking connect is EINPROGRESS, then shows OUT and SO_ERROR 0") {
  const RemoteListener there = remote_listener();
  const Socket here = stream(SOCK_NONBLOCK);
  EXPECT_EQ(here.connect(there.reached_at), fails(EINPROGRESS));
  EXPECT_EQ(here.poll(kLimit), POLLOUT | POLLWRNORM);
  EXPECT_EQ(here.so_error(), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), fails(EISCONN));
}

// POLLERR, which belongs here, is not to be had: docs/limitations.md.
VMBUS_CASE(Connect, 107, kHyperV,
           "a non-blocking connect that fails shows ERR and OUT to poll(), without HUP, and its "
           "error once") {
  const Socket here = stream(SOCK_NONBLOCK);
  ASSERT_EQ(limit_connect(here, milliseconds(300)), gives(0));
  ASSERT_EQ(here.connect(unanswered()), fails(EINPROGRESS));
  if (in(kStrict)) {
    EXPECT_EQ(here.poll(), 0) << "nothing while it waits";
  }
  ASSERT_NE(here.poll(kLimit, POLLOUT), 0);
  EXPECT_EQ(here.poll(), POLLOUT | POLLWRNORM | POLLERR);
  EXPECT_EQ(here.poll(kLimit, POLLIN), POLLERR) << "asked for or not";
  EXPECT_EQ(here.so_error(), gives(in(kStrict) ? ETIMEDOUT : ECONNRESET));
  EXPECT_EQ(here.so_error(), gives(0));
  EXPECT_EQ(here.poll(), POLLOUT | POLLWRNORM);
}

VMBUS_CASE(Connect, 108, kHyperV, "an error that nobody read does not stop the next connect") {
  const RemoteListener there = remote_listener();
  const Socket here = failed_later();
  EXPECT_EQ(here.connect(there.reached_at), fails(EINPROGRESS));
  ASSERT_NE(here.poll(kLimit, POLLOUT), 0);
  EXPECT_EQ(here.so_error(), gives(0));
  EXPECT_EQ(here.peer_name().second, there.reached_at);
}

VMBUS_CASE(Connect, 109, kHyperV | kTcp, "connect while one is under way is EALREADY") {
  const FullListener full;
  const Socket here = connecting(full);
  EXPECT_EQ(here.connect(full.name()), fails(EALREADY));
}

VMBUS_CASE(Connect, 110, kHyperV | kTcp,
           "a blocking connect waits for the attempt that is under way, however it ends") {
  const FullListener full;
  const Socket here = connecting(full);
  ASSERT_EQ(here.set_nonblocking(false), gives(0));
  WaitingCall connect([&] { return here.connect(full.name()); }, kInConnect);
  ASSERT_TRUE(connect.sleeps());
  full.make_room();
  EXPECT_EQ(connect.result(), gives(0));
  EXPECT_EQ(here.peer_name().second, full.name());
  if (in(kTcp)) return;  // its attempts last for minutes

  const Socket late = stream(SOCK_NONBLOCK);
  ASSERT_EQ(limit_connect(late, milliseconds(300)), gives(0));
  ASSERT_EQ(late.connect(full.name()), fails(EINPROGRESS));
  ASSERT_EQ(late.set_nonblocking(false), gives(0));
  EXPECT_EQ(late.connect(full.name()), fails(ETIMEDOUT));
  EXPECT_EQ(late.so_error(), gives(0));
}

VMBUS_CASE(Connect, 111, kHyperV | kTcp,
           "the address of a connect that waits for another attempt is not looked at") {
  const RemoteListener other = remote_listener();
  const FullListener full;
  const Socket here = connecting(full);
  ASSERT_EQ(here.set_nonblocking(false), gives(0));
  WaitingCall connect([&] { return here.connect(other.reached_at); }, kInConnect);
  ASSERT_TRUE(connect.sleeps());
  full.make_room();
  EXPECT_EQ(connect.result(), gives(0));
  EXPECT_EQ(here.peer_name().second, full.name());
}

VMBUS_CASE(Connect, 112, kLinux | kWindows | kPlain,
           "connect on a connected socket is EISCONN, whatever the address") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), fails(EISCONN));
  EXPECT_EQ(here.connect(remote_listener().reached_at), fails(EISCONN));
  if (in(kWindows | kPlain)) return;  // theirs is judged first
  EXPECT_EQ(here.connect(there.reached_at.with_size(3)), fails(EISCONN));
  EXPECT_EQ(here.connect(vm_address(77, 0)), fails(EISCONN));
  EXPECT_EQ(here.connect(Address::of(sockaddr_storage{})), fails(EISCONN)) << "AF_UNSPEC";
}

VMBUS_CASE(Connect, 113, kLinux, "connect after a shutdown is EINVAL") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.here.connect(unanswered()), fails(EINVAL));
}

VMBUS_CASE(Connect, 114, kHyperV,
           "shutdown while connecting succeeds, and no connect is possible after it") {
  const FullListener full;
  const Socket here = connecting(full);
  EXPECT_EQ(here.shutdown(SHUT_RDWR), gives(0));
  EXPECT_EQ(here.connect(full.name()), fails(EINVAL));
}

VMBUS_CASE(Connect, 115, kLinux, "a bad address is EINVAL and leaves the socket as it was") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  EXPECT_EQ(here.connect(there.reached_at.with_size(15)), fails(EINVAL));
  auto name = there.reached_at.as<sockaddr_vm>();
  name.svm_family = AF_UNSPEC;
  EXPECT_EQ(here.connect(Address::of(name)), fails(EINVAL));
  name.svm_family = AF_VSOCK;
  name.svm_flags = 0x80;
  EXPECT_EQ(here.connect(Address::of(name)), fails(EINVAL));
  EXPECT_EQ(port_of(here.name().second), kAny) << "not bound yet";
  EXPECT_EQ(here.connect(there.reached_at), gives(0));
}

VMBUS_CASE(Connect, 125, kHyperV, "SOCK_SEQPACKET cannot connect over hv_sock: ESOCKTNOSUPPORT") {
  const RemoteListener there = remote_listener();
  const Socket here(::socket(AF_VSOCK, SOCK_SEQPACKET, 0));
  EXPECT_EQ(here.connect(there.reached_at), fails(ESOCKTNOSUPPORT));
}

VMBUS_CASE(Connect, 126, kHyperV, "SO_ZEROCOPY set before makes connect EOPNOTSUPP on hv_sock") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.set_option(SOL_SOCKET, SO_ZEROCOPY, 1), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), fails(EOPNOTSUPP));
  EXPECT_EQ(port_of(here.name().second), kAny) << "not bound yet";
  ASSERT_EQ(here.set_option(SOL_SOCKET, SO_ZEROCOPY, 0), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), gives(0));
}

VMBUS_CASE(Connect, 127, kHyperV, "a signal ends a connect in spite of SA_RESTART: EINTR") {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  const FullListener full;
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, kLimit), gives(0));
  WaitingCall connect([&] { return here.connect(full.name()); }, kInConnect);
  ASSERT_TRUE(connect.sleeps());
  connect.signal(SIGUSR1);
  EXPECT_EQ(connect.result(), fails(EINTR));
}

VMBUS_CASE(Connect, 128, kHyperV, "after an interrupted connect the next one starts afresh") {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  const RemoteListener there = remote_listener();
  const FullListener full;
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, kLimit), gives(0));
  WaitingCall connect([&] { return here.connect(full.name()); }, kInConnect);
  ASSERT_TRUE(connect.sleeps());
  connect.signal(SIGUSR1);
  ASSERT_EQ(connect.result(), fails(EINTR));
  EXPECT_EQ(here.so_error(), gives(0));
  EXPECT_EQ(here.connect(there.reached_at), gives(0));
  EXPECT_EQ(here.peer_name().second, there.reached_at);
}

VMBUS_CASE(Connect, 129, kLinux | kPlain, "connect from a bound socket keeps its name") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.bind(fresh_name()), gives(0));
  const Address name = here.name().second;
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  if (in(kPlain)) {
    EXPECT_EQ(here.name().second, name);
  } else {
    EXPECT_EQ(port_of(here.name().second), port_of(name));
  }
}

VMBUS_CASE(Connect, 130, kLinux | kTcp, "connect binds the socket: bind after it is EINVAL") {
  const RemoteListener there = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  EXPECT_EQ(here.bind(fresh_name()), fails(EINVAL));
}

VMBUS_CASE(
    Connect, 131, kHyperV,
    "a client's port stays taken after its close for as long as the host holds the channel") {
  const RemoteListener there = remote_listener();
  const Address name = fresh_name();
  Socket client = stream();
  ASSERT_EQ(client.bind(name), gives(0));
  ASSERT_EQ(client.connect(there.reached_at), gives(0));
  RemoteSocket server = there.socket.accepted();
  ASSERT_EQ(client.close(), gives(0));
  const Socket next = stream();
  EXPECT_EQ(next.bind(name),
            in(kStrict) ? fails(EADDRINUSE) : gives(0));  // default: let go at once
  ASSERT_EQ(server.close(), gives(0));
  if (in(kStrict)) {
    EXPECT_TRUE(eventually([&] { return next.bind(name) == gives(0); }));
  }
}

VMBUS_CASE(Connect, 1132, kStrict,
           "a host that never closes holds a client's port for eight seconds after the close") {
  const RemoteListener there = remote_listener();
  const Address name = fresh_name();
  Socket client = stream();
  ASSERT_EQ(client.bind(name), gives(0));
  ASSERT_EQ(client.connect(there.reached_at), gives(0));
  const RemoteSocket server = there.socket.accepted();
  const Stopwatch watch;
  ASSERT_EQ(client.close(), gives(0));
  const Socket next = stream();
  EXPECT_TRUE(eventually([&] { return next.bind(name) == gives(0); }));
  EXPECT_GE(watch.elapsed(), milliseconds(7900));
  EXPECT_LE(watch.elapsed(), milliseconds(12000));
}

VMBUS_CASE(Connect, 132, kLinux | kUnix, "the same pair of names connects again after a close") {
  const RemoteListener there = remote_listener();
  const Address name = fresh_name();
  for (int round = 0; round < 3; ++round) {
    Socket client = stream();
    ASSERT_TRUE(eventually([&] { return client.bind(name) == gives(0); })) << round;
    ASSERT_EQ(client.connect(there.reached_at), gives(0)) << round;
    RemoteSocket server = there.socket.accepted();
    ASSERT_EQ(client.close(), gives(0));
    EXPECT_EQ(server.receive(1).outcome, gives(0)) << round;
  }
}

VMBUS_CASE(Connect, 136, kHyperV | kVintages,
           "listen after a connect that failed: EINVAL, up to Linux 6.12 success") {
  const Socket here = stream();
  ASSERT_EQ(limit_connect(here, milliseconds(100)), gives(0));
  ASSERT_FALSE(here.connect(unanswered()).ok());
  EXPECT_EQ(here.listen(5), in(kLinux5_4 | kLinux6_12) ? gives(0) : fails(EINVAL));
}

VMBUS_CASE(
    Connect, 137, kVirtio,
    "after a reset that came later, connect is EALREADY until a blocking one has collected it") {
  const Address name = unanswered();
  const Socket here = stream(SOCK_NONBLOCK);
  ASSERT_EQ(here.connect(name), fails(EINPROGRESS));
  ASSERT_NE(here.poll(kLimit, POLLOUT), 0);
  EXPECT_EQ(here.connect(name), fails(EALREADY));
  ASSERT_EQ(here.set_nonblocking(false), gives(0));
  EXPECT_EQ(here.connect(name), fails(ECONNRESET));
  const RemoteListener there = remote_listener();
  EXPECT_EQ(here.connect(there.reached_at), gives(0));
}

}  // namespace vmbus::cases
