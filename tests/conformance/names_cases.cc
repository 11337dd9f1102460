// getsockname() and getpeername(): cases 150 to 158.
#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// What getsockname() does with a buffer that it believes to have `room` bytes.
struct NameIn {
  Outcome outcome;
  socklen_t size;  // as it comes back
  std::string buffer;
};
constexpr char kUntouched = '~';

NameIn name_in(const Socket& socket, socklen_t room) {
  std::string buffer(sizeof(sockaddr_storage), kUntouched);
  socklen_t size = room;
  auto* const name = reinterpret_cast<sockaddr*>(buffer.data());
  const Outcome result = outcome(::getsockname(socket.fd(), name, &size));
  return {result, size, std::move(buffer)};
}

std::string bytes_of(const Address& name) {
  return {reinterpret_cast<const char*>(&name.storage), name.size};
}

}  // namespace

VMBUS_CASE(Names, 150, kLinux | kLoopback, "a fresh socket is called (CID_ANY, PORT_ANY)") {
  const Socket socket = stream();
  const auto [result, name] = socket.name();
  EXPECT_EQ(result, gives(0));
  EXPECT_EQ(name.size, sizeof(sockaddr_vm));
  EXPECT_EQ(bytes_of(name), bytes_of(vm_address(kAny, kAny)));
}

VMBUS_CASE(Names, 151, kEverywhere, "who is not connected has no peer: ENOTCONN") {
  const Socket socket = stream();
  EXPECT_EQ(socket.peer_name().first, fails(ENOTCONN)) << "fresh";
  ASSERT_EQ(socket.bind(fresh_name()), gives(0));
  EXPECT_EQ(socket.peer_name().first, fails(ENOTCONN)) << "bound";
  ASSERT_EQ(socket.listen(), gives(0));
  EXPECT_EQ(socket.peer_name().first, fails(ENOTCONN)) << "listening";
}

VMBUS_CASE(Names, 152, kEverywhere, "a short buffer gets what fits, and the length of all") {
  const Connection connection = accepted();
  const std::string whole = bytes_of(connection.here.name().second);
  const NameIn part = name_in(connection.here, 8);
  EXPECT_EQ(part.outcome, gives(0));
  EXPECT_EQ(part.size, whole.size());
  EXPECT_EQ(part.buffer.substr(0, 8), whole.substr(0, 8));
  EXPECT_EQ(part.buffer.find_first_not_of(kUntouched, 8), std::string::npos);
  if (in(kLinux)) {
    EXPECT_EQ(part.size, 16U);
  }
}

VMBUS_CASE(Names, 153, kEverywhere, "a buffer of no bytes still learns the length") {
  const Connection connection = accepted();
  const NameIn none = name_in(connection.here, 0);
  EXPECT_EQ(none.outcome, gives(0));
  EXPECT_EQ(none.size, connection.here.name().second.size);
  EXPECT_EQ(none.buffer.find_first_not_of(kUntouched), std::string::npos);
}

VMBUS_CASE(Names, 154, kLinux | kPlain, "a negative length is EINVAL") {
  const Connection connection = accepted();
  EXPECT_EQ(name_in(connection.here, static_cast<socklen_t>(-1)).outcome, fails(EINVAL));
}

VMBUS_CASE(Names, 155, kEverywhere, "no buffer, or no length, is EFAULT") {
  const Connection connection = accepted();
  const int fd = connection.here.fd();
  Address name;
  name.size = sizeof name.storage;
  EXPECT_EQ(outcome(::getpeername(fd, nullptr, &name.size)), fails(EFAULT));
  EXPECT_EQ(outcome(::getpeername(fd, name.get(), nullptr)), fails(EFAULT));
  EXPECT_EQ(outcome(::getpeername(fd, nullptr, nullptr)), fails(EFAULT));
}

VMBUS_CASE(Names, 156, kLinux | kLoopback | kFreeBsd | kWindows | kPlain,
           "AF_VSOCK: after an own shutdown there is no peer any more") {
  const Connection connection = connected();
  ASSERT_EQ(connection.here.shutdown(SHUT_RD), gives(0));
  // An ordinary stream remembers, and so do Windows and FreeBSD.
  const bool remembers = in(kFreeBsd | kWindows | kPlain);
  EXPECT_EQ(connection.here.peer_name().first, remembers ? gives(0) : fails(ENOTCONN));
  if (in(kPlain | kFreeBsd)) return;
  ASSERT_EQ(connection.there.shutdown(SHUT_WR), gives(0));
  EXPECT_EQ(connection.there.peer_name().first, fails(ENOTCONN)) << "whichever side it is of";
}

VMBUS_CASE(Names, 157, kLinux | kLoopback | kPlain, "a peer that closed keeps its name") {
  Connection connection = connected();
  const auto [before, peer] = connection.here.peer_name();
  ASSERT_EQ(before, gives(0));
  ASSERT_EQ(connection.there.close(), gives(0));
  ASSERT_NE(connection.here.poll(kLimit, POLLRDHUP) & POLLRDHUP, 0);
  const auto [after, still] = connection.here.peer_name();
  EXPECT_EQ(after, gives(0));
  EXPECT_EQ(bytes_of(still), bytes_of(peer));
}

VMBUS_CASE(Names, 158, kFreeBsd, "FreeBSD: a fresh socket has a name of no bytes") {
  const Socket socket = stream();
  const auto [result, name] = socket.name();
  EXPECT_EQ(result, gives(0));
  EXPECT_EQ(name.size, 0U);
}

}  // namespace vmbus::cases
