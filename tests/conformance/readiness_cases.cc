// poll(), select() and epoll: cases 247 to 266.
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

constexpr short kIn = POLLIN | POLLRDNORM;
constexpr short kOut = POLLOUT | POLLWRNORM;
constexpr short kEnd = kIn | POLLRDHUP;
// AF_UNIX and TCP call a socket writable that was shut for writing: the send fails at once.
short out_when_shut() { return in(kPlain) ? kOut : 0; }

struct Epoll {
  Socket set{::epoll_create1(EPOLL_CLOEXEC)};

  Outcome control(int operation, const Socket& socket, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    return outcome(::epoll_ctl(set.fd(), operation, socket.fd(), &event));
  }
  // The events of one descriptor; 0: none within the limit.
  std::uint32_t wait(std::chrono::milliseconds limit = {}) const {
    epoll_event event{};
    const int count = ::epoll_wait(set.fd(), &event, 1, static_cast<int>(limit.count()));
    return count == 1 ? event.events : 0;
  }
};

// A thread in poll(fd, -1), proved to be asleep there.
class BlockedPoll {
 public:
  explicit BlockedPoll(const Socket& socket) : thread_([this, fd = socket.fd()] { wait(fd); }) {
    EXPECT_TRUE(eventually([&] { return is_asleep(); }));
  }
  ~BlockedPoll() { thread_.join(); }
  BlockedPoll(const BlockedPoll&) = delete;
  BlockedPoll& operator=(const BlockedPoll&) = delete;

  // What woke it. A hang ends in the test's own time limit.
  short woken_by() {
    EXPECT_TRUE(eventually([&] { return events_ != 0; }));
    return events_;
  }

 private:
  void wait(int fd) {
    thread_id_ = static_cast<int>(::syscall(SYS_gettid));
    pollfd entry{fd, POLLIN | POLLRDHUP, 0};
    ::poll(&entry, 1, -1);
    events_ = entry.revents;
  }
  // The kernel shows the number of the call that a thread sleeps in.
  bool is_asleep() const {
    std::ifstream file("/proc/self/task/" + std::to_string(thread_id_) + "/syscall");
    std::string number;
    file >> number;
    return number == std::to_string(SYS_poll);
  }

  std::atomic<int> thread_id_{0};
  std::atomic<short> events_{0};
  std::thread thread_;  // last: it uses the others
};

}  // namespace

VMBUS_CASE(Readiness, 247, kLinux | kPlain,
           "a socket that never connected is writable, without HUP") {
  constexpr short kBands = POLLRDBAND | POLLWRBAND;
  short expected = in(kPlain) ? kOut | POLLHUP : kOut;
  if (in(kUnix)) expected |= POLLWRBAND;
  const Socket fresh = stream();
  EXPECT_EQ(fresh.poll({}, kAllEvents | kBands), expected);
  const Socket bound = stream();
  ASSERT_EQ(bound.bind(fresh_name()), gives(0));
  EXPECT_EQ(bound.poll({}, kAllEvents | kBands), expected);
}

VMBUS_CASE(Readiness, 248, kEverywhere, "a listener with an empty queue has no events") {
  const Listener here = listener();
  EXPECT_EQ(here.socket.poll(), 0);
}

VMBUS_CASE(Readiness, 249, kEverywhere, "a listener is readable while a connection waits") {
  const Listener here = listener();
  const RemoteSocket there = remote_stream();
  ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
  EXPECT_EQ(here.socket.poll(kLimit, POLLIN), POLLIN);
  EXPECT_EQ(here.socket.poll(), kIn);
  const Socket taken = here.socket.accepted();
  EXPECT_EQ(here.socket.poll(), 0);
}

VMBUS_CASE(Readiness, 250, kHyperV | kTcp, "a socket that is connecting has no events") {
  const RemoteListener there = remote_listener(0);
  const Socket first = stream();
  ASSERT_EQ(first.connect(there.reached_at), gives(0));
  const Socket second = stream(SOCK_NONBLOCK);  // the queue is full: it waits
  ASSERT_EQ(second.connect(there.reached_at), fails(EINPROGRESS));
  EXPECT_EQ(second.poll(), 0);
}

VMBUS_CASE(Readiness, 251, kEverywhere, "an idle connection is writable") {
  const Connection dialled = connected();
  EXPECT_EQ(dialled.here.poll(), kOut);
  const Connection taken = accepted();
  EXPECT_EQ(taken.here.poll(), kOut);
}

VMBUS_CASE(Readiness, 252, kEverywhere, "a connection with bytes to read is readable") {
  const Connection pair = connected();
  ASSERT_EQ(pair.there.send("x"), gives(1));
  EXPECT_EQ(pair.here.poll(kLimit, POLLIN), POLLIN);
  EXPECT_EQ(pair.here.poll(), kIn | kOut);
}

VMBUS_CASE(Readiness, 253, kLinux | kWindows | kPlain,
           "read to the end of a half-closed connection: readable, RDHUP, and still writable") {
  const Connection pair = connected();
  ASSERT_EQ(pair.there.send("x"), gives(1));
  ASSERT_EQ(pair.there.shutdown(SHUT_WR), gives(0));
  ASSERT_EQ(pair.here.receive(10).outcome, gives(1));
  ASSERT_EQ(pair.here.receive(10).outcome, gives(0));
  EXPECT_EQ(pair.here.poll(), kEnd | kOut);
}

VMBUS_CASE(Readiness, 254, kLinux | kWindows | kPlain,
           "an end of file that nobody read is readable") {
  const Connection pair = connected();
  ASSERT_EQ(pair.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.here.poll(kLimit, POLLIN), POLLIN);
  // On Hyper-V RDHUP comes later, after a look at the packet.
  const bool late = in(kStrict);
  EXPECT_EQ(pair.here.poll(), late ? kIn | kOut : kEnd | kOut);
  const Socket copy(::dup(pair.here.fd()));
  EXPECT_EQ(copy.receive(1).outcome, gives(0));
  EXPECT_EQ(pair.here.poll(), kEnd | kOut);
  EXPECT_EQ(copy.poll(), kEnd | kOut);
}

VMBUS_CASE(Readiness, 1254, kStrict,
           "a FIN that nobody read: who asks for RDHUP alone hears of it, "
           "and of what is more than a FIN everybody at once") {
  const Connection half = connected();
  ASSERT_EQ(half.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(half.here.poll(kLimit, POLLRDHUP), POLLRDHUP);
  EXPECT_EQ(half.here.poll({}, POLLIN | POLLRDHUP), POLLIN);
  pollfd asked{half.here.fd(), POLLIN | POLLRDHUP, 0};
  const timespec now{};
  EXPECT_EQ(outcome(::ppoll(&asked, 1, &now, nullptr)), gives(1));
  EXPECT_EQ(asked.revents, POLLIN) << "ppoll says the same";
  Connection closed = connected();
  closed.there.close();
  EXPECT_TRUE(eventually([&] { return closed.here.poll() == (kEnd | kOut); }));
}

VMBUS_CASE(Readiness, 255, kLinux | kPlain, "after an own SHUT_RD: readable, RDHUP, and writable") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(pair.here.poll(), kEnd | kOut);
}

VMBUS_CASE(Readiness, 256, kLinux | kPlain, "after an own SHUT_WR: no event, not even HUP") {
  const Connection dialled = connected();
  ASSERT_EQ(dialled.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(dialled.here.poll(), out_when_shut());
  const Connection taken = accepted();
  ASSERT_EQ(taken.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(taken.here.poll(), out_when_shut());
}

VMBUS_CASE(Readiness, 257, kLinux | kPlain, "after an own SHUT_RDWR: HUP, readable, RDHUP") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_RDWR), gives(0));
  EXPECT_EQ(pair.here.poll(), kEnd | POLLHUP | out_when_shut());
}

VMBUS_CASE(Readiness, 258, kLinux | kPlain, "an own SHUT_WR and the peer's are HUP together") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.shutdown(SHUT_WR), gives(0));
  ASSERT_EQ(pair.there.shutdown(SHUT_WR), gives(0));
  ASSERT_TRUE(pair.here.poll(kLimit, POLLRDHUP) & POLLRDHUP);
  EXPECT_TRUE(eventually([&] { return (pair.here.poll() & POLLHUP) != 0; }));
  EXPECT_EQ(pair.here.poll(), kEnd | POLLHUP | out_when_shut());
}

VMBUS_CASE(Readiness, 259, kLinux | kUnix, "a peer that closed is no HUP") {
  for (const bool dialled : {true, false}) {
    Connection pair = dialled ? connected() : accepted();
    pair.there.close();
    ASSERT_TRUE(eventually([&] { return pair.here.send("?") == fails(EPIPE); }));
    ASSERT_TRUE(pair.here.poll(kLimit, POLLRDHUP) & POLLRDHUP);
    EXPECT_EQ(pair.here.poll(), in(kUnix) ? kEnd | kOut | POLLHUP : kEnd | kOut);
  }
}

VMBUS_CASE(Readiness, 260, kHyperV | kUnix,
           "SO_RCVLOWAT does not keep a socket from being readable") {
  const RemoteListener listening = remote_listener();
  const Socket here = stream();
  ASSERT_EQ(here.set_option(SOL_SOCKET, SO_RCVLOWAT, 100), gives(0));
  ASSERT_EQ(here.connect(listening.reached_at), gives(0));
  const RemoteSocket there = listening.socket.accepted();
  ASSERT_EQ(there.send("x"), gives(1));
  EXPECT_EQ(here.poll(kLimit, POLLIN), POLLIN);
}

VMBUS_CASE(Readiness, 261, kVirtio | kFreeBsd | kTcp,
           "a socket is readable once SO_RCVLOWAT bytes are there") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_RCVLOWAT, 100), gives(0));
  ASSERT_EQ(pair.there.send("x"), gives(1));
  ASSERT_TRUE(eventually([&] { return pair.here.ioctl_int(FIONREAD) == gives(1); }));
  EXPECT_EQ(pair.here.poll(), kOut);
  ASSERT_EQ(pair.there.send(std::string(99, 'x')), gives(99));
  EXPECT_EQ(pair.here.poll(kLimit, POLLIN), POLLIN);
}

VMBUS_CASE(Readiness, 262, kLinux | kPlain, "select() finds a fresh socket writable") {
  const Socket fresh = stream();
  fd_set readable;
  fd_set writable;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(fresh.fd(), &readable);
  FD_SET(fresh.fd(), &writable);
  timeval now{};
  EXPECT_EQ(outcome(::select(fresh.fd() + 1, &readable, &writable, nullptr, &now)),
            gives(in(kPlain) ? 2 : 1));
  EXPECT_TRUE(FD_ISSET(fresh.fd(), &writable));
  EXPECT_EQ(FD_ISSET(fresh.fd(), &readable) != 0, in(kPlain)) << "HUP makes it readable";
}

VMBUS_CASE(Readiness, 263, kEverywhere, "edge-triggered epoll tells of each arrival") {
  const Connection pair = connected();
  const Epoll epoll;
  ASSERT_EQ(epoll.control(EPOLL_CTL_ADD, pair.here, EPOLLIN | EPOLLET), gives(0));
  // A ring that is not empty is not signalled (hv_signal_on_write in include/linux/hyperv.h), so with strict
  // rings only the first arrival is an event.
  const bool tells_once = in(kStrict) && works_rings();
  for (int arrival = 0; arrival < 3; ++arrival) {
    ASSERT_EQ(pair.there.send("unread"), gives(6));
    if (arrival > 0 && tells_once) continue;
    EXPECT_EQ(epoll.wait(kLimit), EPOLLIN) << arrival;
  }
  EXPECT_EQ(pair.here.receive(18, MSG_WAITALL).outcome, gives(18));
}

VMBUS_CASE(Readiness, 264, kEverywhere, "EPOLLONESHOT tells once, until it is armed again") {
  const Connection pair = connected();
  const Epoll epoll;
  ASSERT_EQ(epoll.control(EPOLL_CTL_ADD, pair.here, EPOLLIN | EPOLLONESHOT), gives(0));
  ASSERT_EQ(pair.there.send("one"), gives(3));
  EXPECT_EQ(epoll.wait(kLimit), EPOLLIN);
  ASSERT_EQ(pair.there.send("two"), gives(3));
  ASSERT_EQ(pair.here.receive(6, MSG_WAITALL).data, "onetwo");
  ASSERT_EQ(pair.there.send("three"), gives(5));
  ASSERT_EQ(pair.here.poll(kLimit, POLLIN), POLLIN);
  EXPECT_EQ(epoll.wait(), 0U);
  ASSERT_EQ(epoll.control(EPOLL_CTL_MOD, pair.here, EPOLLIN | EPOLLONESHOT), gives(0));
  EXPECT_EQ(epoll.wait(kLimit), EPOLLIN);
  EXPECT_EQ(epoll.wait(), 0U);
}

VMBUS_CASE(Readiness, 265, kEverywhere, "epoll forgets a socket with its last descriptor") {
  Connection pair = connected();
  const Epoll epoll;
  ASSERT_EQ(epoll.control(EPOLL_CTL_ADD, pair.here, EPOLLIN), gives(0));
  ASSERT_EQ(pair.there.send("x"), gives(1));
  ASSERT_EQ(epoll.wait(kLimit), EPOLLIN);
  Socket copy(::dup(pair.here.fd()));
  ASSERT_EQ(pair.here.close(), gives(0));
  EXPECT_EQ(epoll.wait(), EPOLLIN) << "a copy is left";
  ASSERT_EQ(copy.close(), gives(0));
  EXPECT_EQ(epoll.wait(), 0U);
}

VMBUS_CASE(Readiness, 266, kEverywhere,
           "a poll() without limit wakes for a connection, bytes and the end") {
  const Listener here = listener();
  RemoteSocket there = remote_stream();
  {
    BlockedPoll poll(here.socket);
    ASSERT_EQ(there.connect(reachable(here.name)), gives(0));
    EXPECT_EQ(poll.woken_by(), POLLIN);
  }
  const Socket server = here.socket.accepted();
  {
    BlockedPoll poll(server);
    ASSERT_EQ(there.send("x"), gives(1));
    EXPECT_EQ(poll.woken_by(), POLLIN);
  }
  ASSERT_EQ(server.receive(10).outcome, gives(1));
  {
    BlockedPoll poll(server);
    there.close();
    EXPECT_TRUE(poll.woken_by() & POLLIN);
  }
}

}  // namespace vmbus::cases
