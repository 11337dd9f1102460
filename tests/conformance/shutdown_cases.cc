// shutdown() and close(): cases 230 to 246.
#include <sys/wait.h>

#include <csignal>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using std::chrono::milliseconds;

// Where a thread sleeps whose close() lingers.
constexpr std::array<long, 1> kInLinger{SYS_ppoll};

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// A Peer of one case alone, which may be killed.
const char* other_partition() { return in(kWindows) ? "guest" : "host"; }
const char* own_partition() { return in(kWindows) ? "host" : "guest"; }

// Until `socket` has nobody to send to.
bool becomes_broken(const Socket& socket) {
  return eventually([&] { return socket.send("?") == fails(EPIPE); });
}

void kill_and_reap(const Peer& peer) {
  ::kill(peer.pid(), SIGKILL);
  siginfo_t ended{};
  ::waitid(P_PID, static_cast<id_t>(peer.pid()), &ended, WEXITED | WNOWAIT);  // ~Peer() reaps
}

// The victim dialled a listener here.
Socket accepted_from(Peer& victim, RemoteSocket& there) {
  const Listener here = listener();
  there = remote_stream(victim);
  EXPECT_EQ(there.connect(reachable(here.name)), gives(0));
  return here.socket.accepted();
}

}  // namespace

VMBUS_CASE(Shutdown, 230, kEverywhere, "shutdown() of what is no direction is EINVAL") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.shutdown(3), fails(EINVAL));
  EXPECT_EQ(pair.here.shutdown(-1), fails(EINVAL));
}

VMBUS_CASE(Shutdown, 231, kEverywhere, "without a connection shutdown() is ENOTCONN") {
  // What AF_UNIX says, the carrier must not let through; TCP takes it on a listener.
  const Outcome refused = in(kUnix) ? gives(0) : fails(ENOTCONN);
  const Socket fresh = stream();
  EXPECT_EQ(fresh.shutdown(SHUT_WR), refused);
  const Socket bound = stream();
  ASSERT_EQ(bound.bind(fresh_name()), gives(0));
  EXPECT_EQ(bound.shutdown(SHUT_WR), refused);
  const Listener listening = listener();
  EXPECT_EQ(listening.socket.shutdown(SHUT_WR), in(kPlain) ? gives(0) : fails(ENOTCONN));
}

VMBUS_CASE(Shutdown, 232, kEverywhere, "shutdown() may be repeated") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
}

VMBUS_CASE(Shutdown, 233, kLinux | kWindows | kPlain, "a half-closed connection still receives") {
  for (const bool dialled : {true, false}) {
    const Connection pair = dialled ? connected() : accepted();
    ASSERT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
    EXPECT_EQ(pair.there.receive(10).outcome, gives(0));
    EXPECT_EQ(pair.there.send("after the end"), gives(13));
    EXPECT_EQ(pair.here.receive(100).data, "after the end");
    ASSERT_EQ(pair.there.shutdown(SHUT_WR), gives(0));
    EXPECT_EQ(pair.here.receive(10).outcome, gives(0));
  }
}

VMBUS_CASE(Shutdown, 234, kHyperV | kFreeBsd | kWindows | kPlain,
           "the peer is not told of SHUT_RD: it goes on sending") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_RD), gives(0));
  const Outcome sent = in(kUnix) ? fails(EPIPE) : gives(1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pair.there.send("x"), sent);
}

VMBUS_CASE(Shutdown, 235, kVirtio | kUnix, "the peer is told of SHUT_RD: EPIPE") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_RD), gives(0));
  EXPECT_TRUE(eventually([&] { return pair.there.send("x") == fails(EPIPE); }));
}

VMBUS_CASE(Shutdown, 236, kEverywhere, "what was sent before close() arrives, and then the end") {
  const std::string hundred(100, 'h');
  Connection to_there = connected();
  ASSERT_EQ(to_there.here.send(hundred), gives(100));
  to_there.here.close();
  EXPECT_EQ(to_there.there.receive_all(100), hundred);
  EXPECT_EQ(to_there.there.receive(10).outcome, gives(0));
  if (in(kWindows)) return;  // what a host sees of a guest's close is case 226
  Connection to_here = connected();
  ASSERT_EQ(to_here.there.send(hundred), gives(100));
  to_here.there.close();
  EXPECT_EQ(to_here.here.receive(100, MSG_WAITALL).data, hundred);
  EXPECT_EQ(to_here.here.receive(10).outcome, gives(0));
}

VMBUS_CASE(Shutdown, 237, kEverywhere, "closing with unread bytes is an end of file, not a reset") {
  for (const bool dialled : {true, false}) {
    Connection pair = dialled ? connected() : accepted();
    ASSERT_EQ(pair.there.send("never read"), gives(10));
    ASSERT_TRUE(pair.here.poll(kLimit, POLLIN) & POLLIN);
    pair.here.close();
    EXPECT_EQ(pair.there.receive(10).outcome, in(kPlain) ? fails(ECONNRESET) : gives(0));
  }
}

VMBUS_CASE(Shutdown, 238, kLinux | kPlain,
           "SO_LINGER does not wait for a peer that does not read") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 5}), gives(0));
  ASSERT_EQ(pair.here.send("unread there"), gives(12));
  ASSERT_EQ(pair.there.send("unread here"), gives(11));
  ASSERT_TRUE(pair.here.poll(kLimit, POLLIN) & POLLIN);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(pair.here.close(), gives(0));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3));
}

// Unsent is what no ring had room for: the peer does not read.
VMBUS_CASE(Shutdown, 1238, kVirtio,
           "SO_LINGER: a close waits for its seconds while bytes are unsent") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 1}), gives(0));
  ASSERT_GT(fill(pair.here), 0U);
  const Stopwatch watch;
  EXPECT_EQ(pair.here.close(), gives(0));
  EXPECT_GE(watch.elapsed(), milliseconds(950));
}

VMBUS_CASE(Shutdown, 1239, kVirtio,
           "SO_LINGER: a close ends once the peer has made room, or at a signal") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 1000}), gives(0));
  const std::size_t sent = fill(pair.here);
  {
    WaitingCall close([&] { return pair.here.close(); }, kInLinger);
    ASSERT_TRUE(close.sleeps());
    std::size_t received = 0;
    while (const std::size_t more = pair.there.receive(65536).data.size()) received += more;
    EXPECT_EQ(received, sent) << "then the end";
    EXPECT_EQ(close.result(), gives(0));
  }
  Connection other = connected();
  ASSERT_EQ(other.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 1000}), gives(0));
  ASSERT_GT(fill(other.here), 0U);
  const SignalCount alarms(SIGUSR1, SA_RESTART);
  WaitingCall close([&] { return other.here.close(); }, kInLinger);
  ASSERT_TRUE(close.sleeps());
  EXPECT_TRUE(close.interrupt(SIGUSR1));
  EXPECT_EQ(close.result(), gives(0));
}

VMBUS_CASE(
    Shutdown, 1240, kVirtio,
    "SO_LINGER: a close waits for nothing where it is not the last, or of no seconds, or off") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 1000}), gives(0));
  ASSERT_GT(fill(pair.here), 0U);
  Socket copy(::dup(pair.here.fd()));
  EXPECT_EQ(pair.here.close(), gives(0)) << "a copy is left";
  for (const linger& none : {linger{1, 0}, linger{0, 1000}}) {
    ASSERT_EQ(copy.set_option(SOL_SOCKET, SO_LINGER, none), gives(0));
    Connection other = connected();
    ASSERT_GT(fill(other.here), 0U);
    ASSERT_EQ(other.here.set_option(SOL_SOCKET, SO_LINGER, none), gives(0));
    EXPECT_EQ(other.here.close(), gives(0));
  }
}

VMBUS_CASE(Shutdown, 239, kLinux | kPlain,
           "SO_LINGER of no seconds does not reset the connection") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_LINGER, linger{1, 0}), gives(0));
  ASSERT_EQ(pair.here.send("the last words"), gives(14));
  ASSERT_TRUE(pair.there.poll(kLimit, POLLIN) & POLLIN);  // before TCP's reset
  EXPECT_EQ(pair.here.close(), gives(0));
  EXPECT_EQ(pair.there.receive(100).data, "the last words");
  EXPECT_EQ(pair.there.receive(100).outcome, in(kTcp) ? fails(ECONNRESET) : gives(0));
}

VMBUS_CASE(Shutdown, 240, kEverywhere, "a connection lives as long as one of its descriptors") {
  Connection pair = connected();
  const Socket copy(::dup(pair.here.fd()));
  ASSERT_EQ(pair.here.close(), gives(0));
  EXPECT_EQ(copy.send("from the copy"), gives(13));
  EXPECT_EQ(pair.there.receive(100).data, "from the copy");
  EXPECT_EQ(pair.there.send("to the copy"), gives(11));
  EXPECT_EQ(copy.receive(100).data, "to the copy");
}

VMBUS_CASE(Shutdown, 241, kLinux | kPlain,
           "a killed process leaves an end of file, and then EPIPE") {
  Peer victim(other_partition());
  RemoteSocket its_end;
  const Socket here = accepted_from(victim, its_end);
  kill_and_reap(victim);
  EXPECT_EQ(here.receive(10).outcome, gives(0));
  EXPECT_TRUE(becomes_broken(here));

  Peer neighbour(own_partition());
  const RemoteListener there = remote_listener();
  const RemoteSocket dialler = remote_stream(neighbour);
  ASSERT_EQ(dialler.connect(there.reached_at), gives(0));
  const RemoteSocket served = there.socket.accepted();
  kill_and_reap(neighbour);
  EXPECT_EQ(served.receive(10).outcome, gives(0));
  // A Linux guest says no more than FIN until the host has closed too, so a strict host goes on.
  if (in(kStrict)) return;
  EXPECT_TRUE(eventually([&] { return served.send("?") == fails(EPIPE); }));
}

VMBUS_CASE(Shutdown, 242, kLinux,
           "a host that went away is readable and writable, without HUP or ERR") {
  Peer host(other_partition());
  RemoteSocket its_end;
  const Socket here = accepted_from(host, its_end);
  kill_and_reap(host);
  ASSERT_TRUE(becomes_broken(here));
  ASSERT_EQ(here.poll(kLimit, POLLRDHUP), POLLRDHUP);
  EXPECT_EQ(here.poll(), POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM);
  EXPECT_EQ(here.so_error(), gives(0));
}

VMBUS_CASE(Shutdown, 243, kFreeBsd, "SHUT_WR says nothing to the peer before close()") {
  Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.here.send("x"), fails(EPIPE));
  // Over the same connection, so that a FIN would have arrived by the end of it.
  ASSERT_EQ(pair.there.send("still here?"), gives(11));
  ASSERT_EQ(pair.here.receive(100).data, "still here?");
  ASSERT_EQ(pair.there.send("and now?"), gives(8));
  ASSERT_EQ(pair.here.receive(100).data, "and now?");
  EXPECT_EQ(pair.there.poll(), POLLOUT | POLLWRNORM);
  pair.there.start_receive(10);
  pair.here.close();
  EXPECT_EQ(pair.there.collect().outcome, gives(0));
}

VMBUS_CASE(Shutdown, 244, kFreeBsd | kLinux | kWindows | kPlain,
           "SHUT_RDWR ends the peer's reading") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_RDWR), gives(0));
  EXPECT_EQ(pair.there.receive(10).outcome, gives(0));
}

VMBUS_CASE(Shutdown, 245, kWindows, "a host may shut its sending side twice") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.there.receive(10).outcome, gives(0));
}

VMBUS_CASE(Shutdown, 246, kEverywhere, "shutdown() of a closed descriptor is EBADF") {
  Connection pair = connected();
  const int fd = pair.here.fd();
  ASSERT_EQ(pair.here.close(), gives(0));
  EXPECT_EQ(outcome(::shutdown(fd, SHUT_WR)), fails(EBADF));
}

}  // namespace vmbus::cases
