// The recv family: states, flags, ends of the stream; cases 193 to 198 and 205 to 229. What one
// receive takes of several packets is in receive_packet_cases.cc.
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <array>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// The peer sent it, and it can be read here.
void arrives(const Connection& connection, std::string_view data) {
  ASSERT_EQ(connection.there.send(data), gives(static_cast<long>(data.size())));
  ASSERT_TRUE(eventually(
      [&] { return connection.here.ioctl_int(FIONREAD).value == static_cast<long>(data.size()); }));
}

void ends(const Connection& connection) {
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  ASSERT_NE(connection.here.poll(kLimit, POLLRDHUP) & POLLRDHUP, 0);
}

// The peer closed, its channel is withdrawn, and this end has learned it.
void withdraw(Connection& connection) {
  ASSERT_EQ(connection.there.close(), gives(0));
  ASSERT_TRUE(eventually([&] { return connection.here.send("?") == fails(EPIPE); }));
}

}  // namespace

VMBUS_CASE(Receive, 193, kLinux | kWindows | kPlain,
           "a socket that was never connected says ENOTCONN, bound and listening too") {
  const Outcome expected = fails(in(kUnix) ? EINVAL : ENOTCONN);
  const Socket socket = stream();
  EXPECT_EQ(socket.receive(1).outcome, expected);
  ASSERT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.receive(1).outcome, expected);
  ASSERT_EQ(socket.listen(), gives(0));
  EXPECT_EQ(socket.receive(1).outcome, expected);
}

VMBUS_CASE(Receive, 194, kLinux | kTcp, "an empty error queue is EAGAIN, whatever the state") {
  EXPECT_EQ(stream().receive(1, MSG_ERRQUEUE).outcome, fails(EAGAIN));
  EXPECT_EQ(connected().here.receive(1, MSG_ERRQUEUE).outcome, fails(EAGAIN));
}

VMBUS_CASE(Receive, 195, kEverywhere, "nothing is there and nobody wants to wait: EAGAIN") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.receive(1, MSG_DONTWAIT).outcome, fails(EAGAIN));
  ASSERT_EQ(connection.here.set_nonblocking(), gives(0));
  EXPECT_EQ(connection.here.receive(1).outcome, fails(EAGAIN));
}

VMBUS_CASE(Receive, 196, kEverywhere, "SO_RCVTIMEO ends a receive with EAGAIN") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.set_option(SOL_SOCKET, SO_RCVTIMEO, timeval{0, 200000}), gives(0));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(connection.here.receive(1).outcome, fails(EAGAIN));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 190ms);
}

VMBUS_CASE(Receive, 197, kLinux | kWindows, "wanting no bytes waits for none") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.receive(0).outcome, gives(0));
  ASSERT_EQ(connection.there.send("x"), gives(1));
  EXPECT_EQ(connection.here.receive(0).outcome, gives(0));
  EXPECT_EQ(connection.here.receive(1).data, "x");
}

VMBUS_CASE(Receive, 198, kLinux, "a connected socket knows no MSG_OOB") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("x"), gives(1));
  EXPECT_EQ(connection.here.receive(1, MSG_OOB).outcome, fails(EOPNOTSUPP));
  EXPECT_EQ(connection.here.receive(1).data, "x");
}

VMBUS_CASE(Receive, 205, kLinux | kWindows | kPlain, "MSG_PEEK with nothing there is EAGAIN") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.set_nonblocking(), gives(0));
  EXPECT_EQ(connection.here.receive(1, MSG_PEEK).outcome, fails(EAGAIN));
}

VMBUS_CASE(Receive, 206, kStrict, "MSG_PEEK waits for data, then says EOPNOTSUPP and takes none") {
  const Connection connection = connected();
  WaitingCall peeking([&] { return connection.here.receive(10, MSG_PEEK).outcome; });
  EXPECT_TRUE(peeking.sleeps());
  ASSERT_EQ(connection.there.send("abcde"), gives(5));
  EXPECT_EQ(peeking.result(), fails(EOPNOTSUPP));
  EXPECT_EQ(connection.here.receive(3, MSG_PEEK).outcome, fails(EOPNOTSUPP));
  EXPECT_EQ(connection.here.receive(10).data, "abcde");
}

VMBUS_CASE(Receive, 207, kLinux | kWindows | kPlain, "MSG_PEEK at the end of the stream is 0") {
  const Connection connection = connected();
  ends(connection);
  EXPECT_EQ(connection.here.receive(1, MSG_PEEK).outcome, gives(0));
}

VMBUS_CASE(Receive, 208, kVirtio | kDefault | kPlain,
           "MSG_PEEK shows what the next receive takes") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("abcde"), gives(5));
  EXPECT_EQ(connection.here.receive(10, MSG_PEEK).data, "abcde");
  EXPECT_EQ(connection.here.receive(3, MSG_PEEK).data, "abc");
  EXPECT_EQ(connection.here.receive(10).data, "abcde");
}

VMBUS_CASE(Receive, 209, kFreeBsd, "FreeBSD: MSG_PEEK is EOPNOTSUPP without a wait") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.receive(1, MSG_PEEK).outcome, fails(EOPNOTSUPP));
  ASSERT_EQ(connection.there.send("x"), gives(1));
  EXPECT_EQ(connection.here.receive(1, MSG_PEEK).outcome, fails(EOPNOTSUPP));
  EXPECT_EQ(connection.here.receive(1).data, "x");
}

VMBUS_CASE(Receive, 210, kLinux | kUnix, "MSG_TRUNC changes nothing for a stream") {
  const Connection connection = connected();
  arrives(connection, "abcde");
  const Received first = connection.here.receive(2, MSG_TRUNC);
  EXPECT_EQ(first.outcome, gives(2));
  EXPECT_EQ(first.data, "ab");
  EXPECT_EQ(connection.here.receive(10).data, "cde");
}

VMBUS_CASE(Receive, 211, kLinux | kPlain, "recvfrom names no sender") {
  const Connection connection = accepted();
  ASSERT_EQ(connection.there.send("x"), gives(1));
  char byte = 0;
  Address sender;
  sender.storage.ss_family = 0x7777;
  sender.size = sizeof sender.storage;
  EXPECT_EQ(outcome(::recvfrom(connection.here.fd(), &byte, 1, 0, sender.get(), &sender.size)),
            gives(1));
  EXPECT_EQ(sender.size, 0U);
  EXPECT_EQ(sender.storage.ss_family, 0x7777) << "not written to";
}

VMBUS_CASE(Receive, 212, kLinux | kWindows | kPlain,
           "recvmsg brings no control data, no flags and no name") {
  const Connection connection = accepted();
  ASSERT_EQ(connection.there.send("x"), gives(1));
  char byte = 0;
  char control[64];
  sockaddr_storage name{};
  iovec piece{&byte, 1};
  msghdr message{};
  message.msg_name = &name;
  message.msg_namelen = sizeof name;
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  message.msg_flags = MSG_CTRUNC;
  EXPECT_EQ(outcome(::recvmsg(connection.here.fd(), &message, 0)), gives(1));
  EXPECT_EQ(message.msg_namelen, 0U);
  EXPECT_EQ(message.msg_controllen, 0U);
  EXPECT_EQ(message.msg_flags, 0);
}

VMBUS_CASE(Receive, 213, kEverywhere, "a buffer that is not there is EFAULT, and the data stay") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("abcde"), gives(5));
  const HalfMapped memory;
  EXPECT_EQ(outcome(::recv(connection.here.fd(), memory.bad(), 5, 0)), fails(EFAULT));
  EXPECT_EQ(connection.here.receive(10).data, "abcde");
}

VMBUS_CASE(Receive, 214, kEverywhere, "after the peer's SHUT_WR: what it sent, then 0 for ever") {
  const Connection connection = connected();
  const std::string data = pattern(100);
  ASSERT_EQ(connection.there.send(data), gives(100));
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(read_exactly(connection.here, 100), data);
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
}

VMBUS_CASE(Receive, 215, kLinux | kFreeBsd | kPlain,
           "after an own SHUT_RD: 0, even with data there (plain streams give it)") {
  const Connection connection = connected();
  arrives(connection, "abc");
  ASSERT_EQ(connection.here.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(connection.here.receive(10).outcome, gives(in(kPlain) ? 3 : 0));
  EXPECT_EQ(connection.here.receive(10).outcome, gives(0));
}

VMBUS_CASE(Receive, 216, kLinux | kFreeBsd | kPlain,
           "an own SHUT_RD ends a receive that waits, with 0") {
  const Connection connection = connected();
  WaitingCall receiving([&] { return connection.here.receive(1).outcome; });
  EXPECT_TRUE(receiving.sleeps());
  EXPECT_EQ(connection.here.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(receiving.result(), gives(0));
}

VMBUS_CASE(Receive, 217, kLinux, "what a peer sent before it was gone can be read, then comes 0") {
  Connection connection = connected();
  const std::string data = pattern(100);
  ASSERT_EQ(connection.there.send(data), gives(100));
  withdraw(connection);
  EXPECT_EQ(connection.here.receive(1000).data, data);
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
  EXPECT_EQ(connection.here.so_error(), gives(0));
}

VMBUS_CASE(Receive, 218, kLinux,
           "peer gone, all read, then an own shutdown: ENOTCONN, made 0 for convenience") {
  Connection connection = connected();
  withdraw(connection);
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
  EXPECT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.here.receive(1).outcome, in(kDefault) ? gives(0) : fails(ENOTCONN));
}

VMBUS_CASE(Receive, 219, kEverywhere,
           "a signal ends a receive with EINTR, unless SA_RESTART starts it again") {
  const Connection connection = connected();
  const auto receive = [&] { return connection.here.receive(10).outcome; };
  {
    const SignalCount signals(SIGUSR1);
    WaitingCall ended(receive);
    EXPECT_TRUE(ended.sleeps());
    EXPECT_TRUE(ended.interrupt(SIGUSR1));
    EXPECT_EQ(ended.result(), fails(EINTR));
  }
  const SignalCount signals(SIGUSR1, SA_RESTART);
  WaitingCall restarted(receive);
  EXPECT_TRUE(restarted.sleeps());
  restarted.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return signals.take() == 1; }));
  EXPECT_TRUE(restarted.sleeps());
  ASSERT_EQ(connection.there.send("abc"), gives(3));
  EXPECT_EQ(restarted.result(), gives(3));
}

VMBUS_CASE(Receive, 220, kEverywhere, "a signal ends a MSG_WAITALL with what has come") {
  const Connection connection = connected();
  arrives(connection, std::string(40, 'x'));
  const SignalCount signals(SIGUSR1, SA_RESTART);
  WaitingCall receiving([&] { return connection.here.receive(100, MSG_WAITALL).outcome; });
  EXPECT_TRUE(eventually([&] { return connection.here.ioctl_int(FIONREAD) == gives(0); }));
  EXPECT_TRUE(receiving.sleeps());
  EXPECT_TRUE(receiving.interrupt(SIGUSR1));
  EXPECT_EQ(receiving.result(), gives(40));
}

VMBUS_CASE(Receive, 221, kEverywhere, "the peer's end ends a MSG_WAITALL with what has come") {
  const Connection connection = connected();
  WaitingCall receiving([&] { return connection.here.receive(100, MSG_WAITALL).outcome; });
  ASSERT_EQ(connection.there.send(std::string(40, 'x')), gives(40));
  EXPECT_TRUE(receiving.sleeps());
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(receiving.result(), gives(40));
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
}

VMBUS_CASE(Receive, 222, kEverywhere, "readv fills its pieces one after the other") {
  const Connection connection = connected();
  arrives(connection, "abcde");
  char first[2], second[2], third[4];
  const std::array<iovec, 3> pieces{iovec{first, 2}, iovec{second, 2}, iovec{third, 4}};
  EXPECT_EQ(outcome(::readv(connection.here.fd(), pieces.data(), 3)), gives(5));
  EXPECT_EQ(std::string(first, 2) + std::string(second, 2) + std::string(third, 1), "abcde");
}

VMBUS_CASE(Receive, 223, kEverywhere,
           "recvmmsg that does not wait brings the one message there is") {
  const Connection connection = connected();
  arrives(connection, "abcde");
  std::array<std::array<char, 10>, 3> buffers;
  std::array<iovec, 3> pieces{};
  std::array<mmsghdr, 3> messages{};
  for (std::size_t i = 0; i < messages.size(); ++i) {
    pieces[i] = {buffers[i].data(), buffers[i].size()};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_EQ(outcome(::recvmmsg(connection.here.fd(), messages.data(), 3, MSG_DONTWAIT, nullptr)),
            gives(1));
  EXPECT_EQ(messages[0].msg_len, 5U);
}

VMBUS_CASE(Receive, 224, kWindows, "AF_HYPERV: MSG_PEEK works on the host") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.send("abcde"), gives(5));
  EXPECT_EQ(connection.here.receive(10, MSG_PEEK).data, "abcde");
  EXPECT_EQ(connection.here.receive(10).data, "abcde");
}

VMBUS_CASE(Receive, 225, kWindows | kHyperV,
           "AF_HYPERV: after an own SHUT_RD: ESHUTDOWN, or 0 by default") {
  if (in(kWindows)) {
    const Connection connection = connected();
    ASSERT_EQ(connection.here.shutdown(SHUT_RD), gives(0));
    EXPECT_EQ(connection.here.receive(1).outcome, fails(ESHUTDOWN));
    return;
  }
  const Connection connection = connected_to_windows();
  ASSERT_EQ(connection.there.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(connection.there.receive(1).outcome, in(kStrict) ? fails(ESHUTDOWN) : gives(0));
}

VMBUS_CASE(
    Receive, 226, kWindows | kHyperV,
    "AF_HYPERV: a guest that closes without SHUT_WR first is a reset, or end of file by default") {
  if (in(kHyperV)) {
    Connection closed = connected_to_windows();
    EXPECT_EQ(closed.here.close(), gives(0));
    EXPECT_EQ(closed.there.receive(1).outcome, in(kStrict) ? fails(ECONNRESET) : gives(0));
    Connection shut = connected_to_windows();
    EXPECT_EQ(shut.here.shutdown(SHUT_WR), gives(0));
    EXPECT_EQ(shut.here.close(), gives(0));
    EXPECT_EQ(shut.there.receive(1).outcome, gives(0));
    return;
  }
  Connection hasty = connected();
  EXPECT_EQ(hasty.there.close(), gives(0));
  EXPECT_EQ(hasty.here.receive(1).outcome, fails(ECONNRESET));
  Connection tidy = connected();
  EXPECT_EQ(tidy.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(tidy.there.close(), gives(0));
  EXPECT_EQ(tidy.here.receive(1).outcome, gives(0));
}

VMBUS_CASE(Receive, 227, kFreeBsd, "FreeBSD: wanting no bytes is EINVAL") {
  EXPECT_EQ(connected().here.receive(0).outcome, fails(EINVAL));
}

VMBUS_CASE(Receive, 229, kFreeBsd, "FreeBSD: a fresh socket says EIO") {
  EXPECT_EQ(stream().receive(1).outcome, fails(EIO));
}

}  // namespace vmbus::cases
