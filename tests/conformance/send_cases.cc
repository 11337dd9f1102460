// The send family in one call: states, flags, shapes of the data; cases 159 to 167 and 179 to 192.
// What a full stream does is in send_full_cases.cc.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <array>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

Outcome send_to(const Socket& socket, std::string_view data, const Address& to) {
  return outcome(::sendto(socket.fd(), data.data(), data.size(), MSG_NOSIGNAL, to.get(), to.size));
}

// What follows is the next that the peer reads: nothing else went out before it.
void expect_next_is(const Connection& connection, std::string_view data) {
  EXPECT_EQ(connection.here.send(data), gives(static_cast<long>(data.size())));
  EXPECT_EQ(connection.there.receive(100).data, data);
}

// The peer closed, and this end has learned all of it.
void lose_peer(Connection& connection) {
  EXPECT_EQ(connection.there.close(), gives(0));
  EXPECT_TRUE(eventually([&] { return !connection.here.send("?").ok(); }));
}

}  // namespace

VMBUS_CASE(Send, 159, kLinux | kUnix, "a fresh socket is not connected, for no bytes either") {
  const Socket socket = stream();
  EXPECT_EQ(socket.send("x"), fails(ENOTCONN));
  EXPECT_EQ(socket.send(""), fails(ENOTCONN));
}

VMBUS_CASE(Send, 160, kLinux | kUnix, "a fresh socket takes no address to send to") {
  const Socket socket = stream();
  EXPECT_EQ(send_to(socket, "x", fresh_name()), fails(EOPNOTSUPP));
}

VMBUS_CASE(Send, 161, kLinux | kUnix, "a connected socket takes no address to send to either") {
  const Connection connection = connected();
  EXPECT_EQ(send_to(connection.here, "x", fresh_name()), fails(EISCONN));
  EXPECT_EQ(send_to(connection.here, "x", connection.here.peer_name().second), fails(EISCONN));
  Address nonsense;
  nonsense.size = 3;
  EXPECT_EQ(send_to(connection.here, "x", nonsense), fails(EISCONN)) << "it is not looked at";
  expect_next_is(connection, "y");
}

VMBUS_CASE(Send, 162, kEverywhere, "sendto without an address is send") {
  const Connection connection = connected();
  EXPECT_EQ(outcome(::sendto(connection.here.fd(), "abc", 3, 0, nullptr, 0)), gives(3));
  EXPECT_EQ(connection.there.receive(100).data, "abc");
}

VMBUS_CASE(Send, 163, kLinux, "a fresh socket knows no MSG_OOB") {
  EXPECT_EQ(stream().send("x", MSG_OOB | MSG_NOSIGNAL), fails(EOPNOTSUPP));
}

VMBUS_CASE(Send, 164, kLinux, "a connected socket knows no MSG_OOB") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.send("x", MSG_OOB | MSG_NOSIGNAL), fails(EOPNOTSUPP));
  expect_next_is(connection, "y");
}

VMBUS_CASE(Send, 165, kLinux | kWindows | kPlain,
           "sending no bytes sends nothing, not even an end") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.send(""), gives(0));
  expect_next_is(connection, "x");
}

VMBUS_CASE(Send, 166, kLinux | kFreeBsd | kWindows, "descriptors do not travel") {
  const Connection connection = connected();
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Socket watched(ends[0]);
  Socket sent(ends[1]);

  iovec piece{const_cast<char*>("abc"), 3};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = sent.fd();
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  EXPECT_EQ(outcome(::sendmsg(connection.here.fd(), &message, 0)), gives(3));

  EXPECT_EQ(sent.close(), gives(0));
  EXPECT_NE(watched.poll() & POLLHUP, 0) << "no copy is under way";
  EXPECT_EQ(connection.there.receive(100).data, "abc");
}

VMBUS_CASE(Send, 167, kHyperV, "MSG_ZEROCOPY is not supported") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.send("x", MSG_ZEROCOPY), fails(EOPNOTSUPP));
  expect_next_is(connection, "y");
}

VMBUS_CASE(Send, 179, kLinux | kFreeBsd | kPlain,
           "after an own SHUT_WR: EPIPE, with SIGPIPE unless MSG_NOSIGNAL") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  const SignalCount pipes(SIGPIPE);
  EXPECT_EQ(connection.here.send("x", 0), fails(EPIPE));
  EXPECT_EQ(pipes.take(), 1);
  EXPECT_EQ(connection.here.send("x", MSG_NOSIGNAL), fails(EPIPE));
  EXPECT_EQ(pipes.take(), 0);
}

VMBUS_CASE(Send, 180, kLinux5_4 | kStrict, "before Linux 6.7 EPIPE comes without SIGPIPE") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  const SignalCount pipes(SIGPIPE);
  EXPECT_EQ(connection.here.send("x", 0), fails(EPIPE));
  EXPECT_EQ(pipes.take(), in(kLinux5_4) ? 0 : 1);
}

VMBUS_CASE(Send, 181, kVirtio, "SEQPACKET: a send after SHUT_WR is EPIPE without SIGPIPE") {
  const Socket server(::socket(AF_VSOCK, SOCK_SEQPACKET, 0));
  const Address name = fresh_name();
  ASSERT_EQ(server.bind(name), gives(0));
  ASSERT_EQ(server.listen(), gives(0));
  const Socket client(::socket(AF_VSOCK, SOCK_SEQPACKET, 0));
  ASSERT_EQ(client.connect(vm_address(VMADDR_CID_LOCAL, port_of(name))), gives(0));
  ASSERT_EQ(client.shutdown(SHUT_WR), gives(0));
  const SignalCount pipes(SIGPIPE);
  EXPECT_EQ(client.send("x", 0), fails(EPIPE));
  EXPECT_EQ(pipes.take(), 0);
}

VMBUS_CASE(Send, 182, kLinux | kWindows | kPlain, "the peer's SHUT_WR stops nothing here") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
  expect_next_is(connection, "still open");
}

VMBUS_CASE(Send, 183, kLinux | kPlain,
           "the peer is gone: EPIPE, with SIGPIPE unless MSG_NOSIGNAL") {
  Connection connection = connected();
  lose_peer(connection);
  const SignalCount pipes(SIGPIPE);
  EXPECT_TRUE(eventually([&] { return connection.here.send("x") == fails(EPIPE); }));
  EXPECT_EQ(pipes.take(), 0);
  EXPECT_EQ(connection.here.send("x", 0), fails(EPIPE));
  EXPECT_EQ(pipes.take(), 1);
  EXPECT_EQ(connection.here.so_error(), gives(0));
}

VMBUS_CASE(Send, 184, kEverywhere, "writev sends its pieces one after the other") {
  const Connection connection = connected();
  std::string data = pattern(10000);
  const std::array<iovec, 3> pieces{iovec{data.data(), 1}, iovec{data.data() + 1, 5000},
                                    iovec{data.data() + 5001, 4999}};
  EXPECT_EQ(outcome(::writev(connection.here.fd(), pieces.data(), 3)), gives(10000));
  EXPECT_EQ(read_exactly(connection.there, data.size()), data);
}

VMBUS_CASE(Send, 185, kEverywhere, "a buffer that is not there is EFAULT, and sends nothing") {
  const Connection connection = connected();
  const HalfMapped memory;
  EXPECT_EQ(outcome(::send(connection.here.fd(), memory.bad(), 100, 0)), fails(EFAULT));
  expect_next_is(connection, "x");
}

VMBUS_CASE(Send, 186, kEverywhere, "sendmmsg sends each of its messages") {
  const Connection connection = connected();
  std::array<std::string, 3> texts{"one", "three", "seven77"};
  std::array<iovec, 3> pieces{};
  std::array<mmsghdr, 3> messages{};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    pieces[i] = {texts[i].data(), texts[i].size()};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_EQ(outcome(::sendmmsg(connection.here.fd(), messages.data(), 3, 0)), gives(3));
  EXPECT_EQ(messages[0].msg_len, 3U);
  EXPECT_EQ(messages[1].msg_len, 5U);
  EXPECT_EQ(messages[2].msg_len, 7U);
  EXPECT_EQ(read_exactly(connection.there, 15), "onethreeseven77");
}

VMBUS_CASE(Send, 187, kEverywhere, "sendfile sends a file, from where it is asked") {
  const Connection connection = connected();
  const std::string data = pattern(100000);
  const Socket file(::memfd_create("file", MFD_CLOEXEC));
  ASSERT_EQ(::write(file.fd(), data.data(), data.size()), 100000);
  off_t from = 1000;
  EXPECT_EQ(outcome(::sendfile(connection.here.fd(), file.fd(), &from, data.size())), gives(99000));
  EXPECT_EQ(from, 100000);
  EXPECT_EQ(read_exactly(connection.there, 99000), data.substr(1000));
}

VMBUS_CASE(Send, 188, kFreeBsd, "FreeBSD: sending no bytes is EINVAL") {
  const Connection connection = connected();
  EXPECT_EQ(connection.here.send(""), fails(EINVAL));
  expect_next_is(connection, "x");
}

VMBUS_CASE(Send, 189, kFreeBsd, "FreeBSD: after the peer's SHUT_WR nothing can be sent") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.here.receive(1).outcome, gives(0));
  const SignalCount pipes(SIGPIPE);
  EXPECT_EQ(connection.here.send("x", 0), fails(EPIPE));
  EXPECT_EQ(pipes.take(), 1);
}

VMBUS_CASE(Send, 191, kWindows, "AF_HYPERV: after an own SHUT_WR the answer is EPIPE") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.here.send("x"), fails(EPIPE));
  EXPECT_EQ(connection.here.send("x"), fails(EPIPE));
}

VMBUS_CASE(Send, 192, kWindows, "AF_HYPERV: the peer's SHUT_RD stops nothing here") {
  const Connection connection = connected();
  ASSERT_EQ(connection.there.shutdown(SHUT_RD), gives(0));
  EXPECT_EQ(connection.here.send("x"), gives(1));
  EXPECT_EQ(connection.here.send("y"), gives(1));
}

}  // namespace vmbus::cases
