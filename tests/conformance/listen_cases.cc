// listen(), and accept() up to the socket that it gives: cases 68 to 92. What that socket is like:
// accepted_cases.cc.
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kAll = kLinux | kFreeBsd | kWindows | kPlain;

// The other side dials and does not care what comes of it.
RemoteSocket dial(const Listener& here) {
  RemoteSocket there = remote_stream();
  EXPECT_EQ(there.connect(reachable(here.name)), gives(0));
  return there;
}

int status_flags(const Socket& socket) { return ::fcntl(socket.fd(), F_GETFL) & O_NONBLOCK; }
int descriptor_flags(const Socket& socket) { return ::fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC; }

}  // namespace

VMBUS_CASE(Listen, 68, kLinux | kWindows | kUnix,
           "listen on a socket that is not bound is EINVAL") {
  const Socket socket = stream();
  EXPECT_EQ(socket.listen(5), fails(EINVAL));
}

VMBUS_CASE(Listen, 69, kAll, "a bound socket listens, and SO_ACCEPTCONN says so") {
  const Socket socket = stream();
  ASSERT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.option(SOL_SOCKET, SO_ACCEPTCONN), gives(0));
  EXPECT_EQ(socket.listen(5), gives(0));
  EXPECT_EQ(socket.option(SOL_SOCKET, SO_ACCEPTCONN), gives(1));
}

VMBUS_CASE(Listen, 70, kAll, "listen again succeeds and changes the backlog") {
  const Listener here = listener(0);
  ASSERT_EQ(here.socket.listen(1), gives(0));
  const RemoteSocket first = dial(here);
  const RemoteSocket second = dial(here);
}

VMBUS_CASE(Listen, 71, kLinux | kPlain, "listen on a connected socket is EINVAL") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.listen(5), fails(EINVAL));
}

VMBUS_CASE(Listen, 72, kLinux | kWindows | kUnix, "connect on a listener is EINVAL") {
  const Listener here = listener();
  const RemoteListener there = remote_listener();
  EXPECT_EQ(here.socket.connect(there.reached_at), fails(EINVAL));
}

VMBUS_CASE(Listen, 73, kFreeBsd, "listen on a socket that is not bound is EADDRNOTAVAIL") {
  const Socket socket = stream();
  EXPECT_EQ(socket.listen(5), fails(EADDRNOTAVAIL));
}

VMBUS_CASE(Listen, 74, kAll, "accept on a socket that is bound and does not listen is EINVAL") {
  const Socket socket = stream();
  ASSERT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.accept(), fails(EINVAL));
}

VMBUS_CASE(Listen, 75, kAll, "a non-blocking accept with nothing queued is EAGAIN") {
  const Listener here = listener();
  ASSERT_EQ(here.socket.set_nonblocking(), gives(0));
  EXPECT_EQ(here.socket.accept(), fails(EAGAIN));
}

VMBUS_CASE(Listen, 76, kLinux | kPlain, "SO_RCVTIMEO ends an accept with EAGAIN") {
  const Listener here = listener();
  ASSERT_EQ(here.socket.set_option(SOL_SOCKET, SO_RCVTIMEO, as_timeval(milliseconds(200))),
            gives(0));
  const Stopwatch watch;
  EXPECT_EQ(here.socket.accept(), fails(EAGAIN));
  EXPECT_GE(watch.elapsed(), milliseconds(195));
  EXPECT_LT(watch.elapsed(), milliseconds(2000));
}

VMBUS_CASE(Listen, 77, kLinux | kPlain, "a signal with SA_RESTART lets accept go on") {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  const Listener here = listener();
  WaitingCall accept([&] { return here.socket.accept(); }, kInAccept);
  ASSERT_TRUE(accept.sleeps());
  accept.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return signals.take() == 1; }));
  EXPECT_TRUE(accept.sleeps());
  const RemoteSocket there = dial(here);
  const Socket accepted(static_cast<int>(accept.result().value));
  EXPECT_GE(accepted.fd(), 0);
}

VMBUS_CASE(Listen, 78, kLinux | kFreeBsd | kPlain,
           "a signal without SA_RESTART ends accept: EINTR") {
  const SignalCount signals(SIGUSR1);
  const Listener here = listener();
  WaitingCall accept([&] { return here.socket.accept(); }, kInAccept);
  ASSERT_TRUE(accept.sleeps());
  accept.signal(SIGUSR1);
  EXPECT_EQ(accept.result(), fails(EINTR));
}

VMBUS_CASE(Listen, 79, kLinux | kPlain,
           "where SO_RCVTIMEO is set a signal ends accept in spite of SA_RESTART: EINTR") {
  const SignalCount signals(SIGUSR1, SA_RESTART);
  const Listener here = listener();
  ASSERT_EQ(here.socket.set_option(SOL_SOCKET, SO_RCVTIMEO, as_timeval(kLimit)), gives(0));
  WaitingCall accept([&] { return here.socket.accept(); }, kInAccept);
  ASSERT_TRUE(accept.sleeps());
  accept.signal(SIGUSR1);
  EXPECT_EQ(accept.result(), fails(EINTR));
}

VMBUS_CASE(Listen, 80, kLinux | kFreeBsd | kPlain, "accept4 with a flag that is none is EINVAL") {
  const Listener here = listener();
  EXPECT_EQ(here.socket.accept(nullptr, 0x1), fails(EINVAL));
}

VMBUS_CASE(Listen, 81, kLinux | kPlain, "accept4's flags are the new descriptor's alone") {
  const Listener here = listener();
  const RemoteSocket there = dial(here);
  const Socket accepted(
      static_cast<int>(here.socket.accept(nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC).value));
  EXPECT_EQ(status_flags(accepted), O_NONBLOCK);
  EXPECT_EQ(descriptor_flags(accepted), FD_CLOEXEC);
  EXPECT_EQ(status_flags(here.socket), 0);
  EXPECT_EQ(descriptor_flags(here.socket), 0);
}

VMBUS_CASE(Listen, 82, kLinux | kPlain,
           "a non-blocking listener's accept gives a blocking socket") {
  const Listener here = listener();
  ASSERT_EQ(here.socket.set_nonblocking(), gives(0));
  const RemoteSocket there = dial(here);
  ASSERT_NE(here.socket.poll(kLimit, POLLIN), 0);
  const Socket accepted = here.socket.accepted();
  ASSERT_GE(accepted.fd(), 0);
  EXPECT_EQ(status_flags(accepted), 0);
  EXPECT_EQ(descriptor_flags(accepted), 0);
}

VMBUS_CASE(Listen, 83, kHyperV | kWindows | kPlain,
           "a queue of backlog + 1 is full: the next connect waits, and ends at its time limit") {
  const Listener here = listener(1);
  const RemoteSocket first = dial(here);
  const RemoteSocket second = dial(here);
  const RemoteSocket third = remote_stream();
  if (in(kPlain)) {  // TCP waits too, for longer; AF_UNIX does not wait when it may not block
    ASSERT_EQ(third.set_nonblocking(), gives(0));
    EXPECT_EQ(third.connect(reachable(here.name)), fails(in(kTcp) ? EINPROGRESS : EAGAIN));
  } else {
    ASSERT_EQ(limit_connect(third, milliseconds(300)), gives(0));
    EXPECT_EQ(third.connect(reachable(here.name)), fails(ETIMEDOUT));
  }
}

VMBUS_CASE(Listen, 84, kVirtio, "a queue of backlog + 1 is full: the next connect is ECONNRESET") {
  const Listener here = listener(1);
  const RemoteSocket first = dial(here);
  const RemoteSocket second = dial(here);
  const RemoteSocket third = remote_stream();
  const Stopwatch watch;
  EXPECT_EQ(third.connect(reachable(here.name)), fails(ECONNRESET));
  EXPECT_LT(watch.elapsed(), milliseconds(1000)) << "at once";
}

VMBUS_CASE(Listen, 85, kLinux | kPlain, "a backlog of 0 has room for one connection") {
  const Listener here = listener(0);
  const RemoteSocket there = dial(here);
}

VMBUS_CASE(Listen, 86, kAll, "bytes sent before accept wait for it") {
  const Listener here = listener();
  const RemoteSocket there = dial(here);
  ASSERT_EQ(there.send("ten bytes!"), gives(10));
  const Socket server = here.socket.accepted();
  EXPECT_EQ(server.receive(100).data, "ten bytes!");
}

VMBUS_CASE(Listen, 87, kLinux | kFreeBsd | kPlain,
           "a client that sent and closed before accept is accepted: its bytes, then the end") {
  const Listener here = listener();
  RemoteSocket there = dial(here);
  ASSERT_EQ(there.send("ten bytes!"), gives(10));
  ASSERT_EQ(there.close(), gives(0));
  const Socket server = here.socket.accepted();
  EXPECT_EQ(server.receive(100).data, "ten bytes!");
  EXPECT_EQ(server.receive(100).outcome, gives(0));
}

VMBUS_CASE(Listen, 88, kLinux | kWindows | kPlain,
           "closing a listener ends the connections in its queue: end of file, no reset") {
  Listener here = listener();
  const RemoteSocket first = dial(here);
  const RemoteSocket second = dial(here);
  ASSERT_EQ(here.socket.close(), gives(0));
  const Outcome expected = in(kPlain) ? fails(ECONNRESET) : gives(0);  // plain sockets reset them
  EXPECT_EQ(first.receive(100).outcome, expected);
  EXPECT_EQ(second.receive(100).outcome, expected);
}

VMBUS_CASE(Listen, 91, kLinux, "shutdown of a listener is ENOTCONN, and its accept goes on") {
  const Listener here = listener();
  WaitingCall accept([&] { return here.socket.accept(); }, kInAccept);
  ASSERT_TRUE(accept.sleeps());
  EXPECT_EQ(here.socket.shutdown(SHUT_RDWR), fails(ENOTCONN));
  EXPECT_TRUE(accept.sleeps());
  const RemoteSocket there = dial(here);
  const Socket accepted(static_cast<int>(accept.result().value));
  EXPECT_GE(accepted.fd(), 0);
}

VMBUS_CASE(Listen, 92, kLinux | kPlain,
           "an accept that waits outlives the close of its descriptor and takes one connection") {
  Listener here = listener();
  const int fd = here.socket.fd();
  WaitingCall accept([fd] { return outcome(::accept4(fd, nullptr, nullptr, 0)); }, kInAccept);
  ASSERT_TRUE(accept.sleeps());
  ASSERT_EQ(here.socket.close(), gives(0));
  EXPECT_TRUE(accept.sleeps());
  const RemoteSocket there = dial(here);
  const Socket accepted(static_cast<int>(accept.result().value));
  ASSERT_GE(accepted.fd(), 0);
  ASSERT_EQ(there.send("one"), gives(3));
  EXPECT_EQ(accepted.receive(100).data, "one");
}

}  // namespace vmbus::cases
