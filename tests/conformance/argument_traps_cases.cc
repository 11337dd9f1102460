// What else the generic layers judge: pointers and lengths that are no data, calls of nothing, options at
// their bounds.
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string_view>
#include <vector>

#include "tests/conformance/connections.h"
#include "tests/conformance/transfers.h"
#include "tests/conformance/waiting_call.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

}  // namespace

VMBUS_CASE(DataTraps, 1041, kEverywhere,
           "names and control data that are not there, or have no such length, are refused first") {
  const HalfMapped memory;
  auto* const nowhere = reinterpret_cast<sockaddr*>(memory.bad());
  Address name = fresh_name();
  const Connection pair = connected();
  const Socket fresh = stream();
  for (const int fd : {pair.here.fd(), fresh.fd()}) {
    EXPECT_EQ(outcome(::sendto(fd, "x", 1, 0, nowhere, 16)), fails(EFAULT));
    EXPECT_EQ(outcome(::sendto(fd, "x", 1, 0, name.get(), 200)), fails(EINVAL));
    EXPECT_EQ(outcome(::sendto(fd, "x", 1, 0, name.get(), static_cast<socklen_t>(-1))),
              fails(EINVAL));
    char byte = 'x';
    iovec piece{&byte, 1};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_name = nowhere;
    message.msg_namelen = 16;
    EXPECT_EQ(outcome(::sendmsg(fd, &message, 0)), fails(EFAULT)) << "name";
    message.msg_name = name.get();
    message.msg_namelen = static_cast<socklen_t>(-1);
    EXPECT_EQ(outcome(::sendmsg(fd, &message, 0)), fails(EINVAL)) << "length of the name";
    EXPECT_EQ(outcome(::recvmsg(fd, &message, MSG_DONTWAIT)), fails(EINVAL));
    message.msg_name = nullptr;
    message.msg_control = memory.bad();
    message.msg_controllen = 64;
    EXPECT_EQ(outcome(::sendmsg(fd, &message, 0)), fails(EFAULT)) << "control data";
    message.msg_controllen = 0;
    piece.iov_len = static_cast<std::size_t>(-1);
    EXPECT_EQ(outcome(::sendmsg(fd, &message, 0)), fails(EINVAL)) << "length of a piece";
  }
  EXPECT_EQ(pair.here.send("y"), gives(1));
  EXPECT_EQ(pair.there.receive(10).data, "y") << "and nothing was sent";
}

VMBUS_CASE(DataTraps, 1042, kLinux | kWindows | kPlain,
           "vectors without bytes are 0 in every state") {
  const Connection pair = connected();
  const Connection shut = connected();
  ASSERT_EQ(shut.here.shutdown(SHUT_WR), gives(0));
  const Socket fresh = stream();
  const SignalCount pipes(SIGPIPE);
  const std::array<iovec, 2> empty{};
  for (const int fd : {pair.here.fd(), shut.here.fd(), fresh.fd()}) {
    for (const int count : {0, 2}) {
      EXPECT_EQ(outcome(::writev(fd, empty.data(), count)), gives(0));
      EXPECT_EQ(outcome(::pwritev2(fd, empty.data(), count, -1, 0)), gives(0));
      EXPECT_EQ(outcome(::readv(fd, empty.data(), count)), gives(0));
      EXPECT_EQ(outcome(::preadv2(fd, empty.data(), count, -1, 0)), gives(0));
    }
  }
  EXPECT_EQ(pipes.take(), 0);
}

VMBUS_CASE(DataTraps, 1043, kEverywhere,
           "recvmmsg refuses a time that is none, and says how much of it is left") {
  const Connection pair = connected();
  const int fd = pair.here.fd();
  std::array<char, 4> data{};
  iovec piece{data.data(), data.size()};
  std::array<mmsghdr, 2> messages{};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
  }
  for (timespec wrong : {timespec{0, 2'000'000'000}, timespec{-1, 0}, timespec{0, -1}}) {
    EXPECT_EQ(outcome(::recvmmsg(fd, messages.data(), 1, MSG_DONTWAIT, &wrong)), fails(EINVAL));
  }
  const HalfMapped memory;
  auto* const nowhere = reinterpret_cast<timespec*>(memory.bad());
  EXPECT_EQ(outcome(::recvmmsg(fd, messages.data(), 1, MSG_DONTWAIT, nowhere)), fails(EFAULT));
  timespec limit{100, 0};
  EXPECT_EQ(outcome(::recvmmsg(fd, messages.data(), 1, MSG_DONTWAIT, &limit)), fails(EAGAIN));
  EXPECT_EQ(limit.tv_sec, 100) << "untouched where there was no message";
  ASSERT_EQ(pair.there.send("abcd"), gives(4));
  EXPECT_EQ(outcome(::recvmmsg(fd, messages.data(), 2, MSG_WAITFORONE, &limit)), gives(1));
  EXPECT_LT(limit.tv_sec, 100);
  EXPECT_GT(limit.tv_sec, 100 - kLimit.count());
}

VMBUS_CASE(DataTraps, 1044, kWindows, "AF_HYPERV: a peek at no bytes waits until there are some") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.receive(0, MSG_PEEK | MSG_DONTWAIT).outcome, fails(EAGAIN));
  EXPECT_EQ(pair.here.receive(0).outcome, gives(0));
  WaitingCall peeking([&] { return pair.here.receive(0, MSG_PEEK).outcome; });
  EXPECT_TRUE(peeking.sleeps());
  ASSERT_EQ(pair.there.send("abc"), gives(3));
  EXPECT_EQ(peeking.result(), gives(0));
  EXPECT_EQ(pair.here.receive(10).data, "abc");
  ASSERT_EQ(pair.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(pair.here.receive(0, MSG_PEEK).outcome, gives(0)) << "so does the end";
}

VMBUS_CASE(DataTraps, 1045, kVirtio, "a zero-copy notification is taken by any receiving call") {
  const Connection pair = connected();
  ASSERT_EQ(pair.here.set_option(SOL_SOCKET, SO_ZEROCOPY, 1), gives(0));
  ASSERT_EQ(pair.here.send("abc", MSG_ZEROCOPY), gives(3));
  EXPECT_TRUE(pair.here.poll(kLimit, POLLIN) & POLLERR);
  EXPECT_EQ(pair.here.receive(10, MSG_ERRQUEUE).outcome, gives(0));
  EXPECT_EQ(pair.here.receive(10, MSG_ERRQUEUE).outcome, fails(EAGAIN));
  EXPECT_EQ(pair.here.poll() & POLLERR, 0);
}

VMBUS_CASE(DataTraps, 1046, kVirtio,
           "after a reset that nobody read the socket can be shut, and then not be connected") {
  const Socket here = stream(SOCK_NONBLOCK);
  const Address name = vm_address(kHostCid, next_port());
  ASSERT_EQ(here.connect(name), fails(EINPROGRESS));
  ASSERT_TRUE(here.poll(kLimit, POLLIN) & POLLERR);
  EXPECT_EQ(here.shutdown(SHUT_RDWR), gives(0));
  EXPECT_EQ(here.connect(name), fails(EINVAL));
}

VMBUS_CASE(DataTraps, 1047, kLinux | kWindows | kPlain,
           "SO_PEERNAME is the peer's name, as long as there is one") {
  const Socket fresh = stream();
  std::array<char, sizeof(sockaddr_storage)> name{};
  socklen_t size = 2;
  EXPECT_EQ(outcome(::getsockopt(fresh.fd(), SOL_SOCKET, SO_PEERNAME, name.data(), &size)),
            fails(ENOTCONN));
  const Connection pair = connected();
  const Address peer = pair.here.peer_name().second;
  for (const socklen_t room : {peer.size, peer.size - 1, peer.size + 1}) {
    size = room;
    const Outcome got =
        outcome(::getsockopt(pair.here.fd(), SOL_SOCKET, SO_PEERNAME, name.data(), &size));
    EXPECT_EQ(got, room > peer.size ? fails(EINVAL) : gives(0)) << room;
    EXPECT_EQ(size, room);
    if (got.ok()) {
      EXPECT_EQ(std::memcmp(name.data(), &peer.storage, size), 0) << room;
    }
  }
}

VMBUS_CASE(DataTraps, 1048, kLinux, "a connect time-out may be of many years, but not of all") {
  const Socket fresh = stream();
  const timeval many{std::int64_t{1} << 40, 0};
  EXPECT_EQ(fresh.set_option(AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, many), gives(0));
  timeval read{};
  socklen_t size = sizeof read;
  EXPECT_EQ(
      outcome(::getsockopt(fresh.fd(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &read, &size)),
      gives(0));
  EXPECT_EQ(read.tv_sec, many.tv_sec);
  const timeval all{std::int64_t{1} << 62, 0};
  EXPECT_EQ(fresh.set_option(AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, all), fails(ERANGE));
  const RemoteListener there = remote_listener();
  EXPECT_EQ(fresh.connect(there.reached_at), gives(0)) << "and it does not overflow";
}

VMBUS_CASE(DataTraps, 1049, kVirtio,
           "what a peer has not read stays about within its small buffer, and all of it arrives") {
  const RemoteListener there = remote_listener();
  constexpr std::size_t kBuffer = 4096;
  ASSERT_EQ(there.socket.set_option(AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, std::uint64_t{kBuffer}),
            gives(0));
  const Socket here = stream();
  ASSERT_EQ(here.connect(there.reached_at), gives(0));
  const RemoteSocket reader = there.socket.accepted();
  const std::size_t taken = fill(here);
  EXPECT_GE(taken, kBuffer);
  EXPECT_LE(taken, 3 * kBuffer) << "the carrier's own buffers are no smaller";
  EXPECT_EQ(read_exactly(reader, taken).size(), taken);
  const std::string data = pattern(1 << 20);
  WaitingCall sending([&] { return here.send(data); });
  EXPECT_TRUE(read_exactly(reader, data.size()) == data);
  EXPECT_EQ(sending.result(), gives(static_cast<long>(data.size())));
}

}  // namespace vmbus::cases
