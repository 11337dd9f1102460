// Options of the generic layer, of protocols these sockets do not have, and AF_HYPERV's own: cases
// 267 to 278 and 291 to 294. AF_VSOCK's are in vsock_option_cases.cc, ioctls in ioctl_cases.cc.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr std::uint32_t kEverywhere = kLinux | kFreeBsd | kWindows | kPlain;

// Not in the headers of every libc.
constexpr int kSoZeroCopy = 60;
constexpr int kSoPeekOff = 42;

// An option read with a buffer of any length.
struct Value {
  Outcome outcome;
  socklen_t size = 0;
  std::array<unsigned char, 32> bytes{};  // 0xee where nothing was written

  template <typename T>
  T as() const {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};

Value read_option(const Socket& socket, int level, int option, socklen_t room) {
  Value value;
  value.bytes.fill(0xee);
  value.size = room;
  value.outcome =
      outcome(::getsockopt(socket.fd(), level, option, value.bytes.data(), &value.size));
  return value;
}

int family_of_setup() {
  if (in(kTcp)) return AF_INET;
  if (in(kUnix)) return AF_UNIX;
  return in(kWindows) ? AF_HYPERV : AF_VSOCK;
}

int protocol_of_setup() {
  if (in(kTcp)) return IPPROTO_TCP;
  return in(kWindows) ? HV_PROTOCOL_RAW : 0;
}

}  // namespace

VMBUS_CASE(Options, 267, kLinux | kWindows | kPlain,
           "SO_TYPE, SO_DOMAIN and SO_PROTOCOL are those of the family that was asked for") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_TYPE), gives(SOCK_STREAM));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_DOMAIN), gives(family_of_setup()));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_PROTOCOL), gives(protocol_of_setup()));
  const Connection pair = connected();
  EXPECT_EQ(pair.here.option(SOL_SOCKET, SO_DOMAIN), gives(family_of_setup()));
}

VMBUS_CASE(Options, 268, kEverywhere, "a fresh socket has no error and accepts nothing") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.so_error(), gives(0));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_ACCEPTCONN), gives(0));
  EXPECT_EQ(listener().socket.option(SOL_SOCKET, SO_ACCEPTCONN), gives(1));
}

VMBUS_CASE(Options, 269, kLinux | kPlain, "what a socket is cannot be set") {
  const Socket fresh = stream();
  for (const int option : {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_ACCEPTCONN})
    EXPECT_EQ(fresh.set_option(SOL_SOCKET, option, 1), fails(ENOPROTOOPT)) << option;
}

VMBUS_CASE(Options, 270, kLinux | kPlain, "SO_SNDBUF and SO_RCVBUF read twice what was set") {
  const Socket fresh = stream();
  for (const int option : {SO_SNDBUF, SO_RCVBUF}) {
    ASSERT_EQ(fresh.set_option(SOL_SOCKET, option, 10000), gives(0));
    EXPECT_EQ(fresh.option(SOL_SOCKET, option), gives(20000));
    // The least that Linux gives is there, whatever is asked for.
    ASSERT_EQ(fresh.set_option(SOL_SOCKET, option, 0), gives(0));
    EXPECT_EQ(fresh.option(SOL_SOCKET, option), gives(option == SO_SNDBUF ? 4608 : 2304));
  }
}

VMBUS_CASE(Options, 271, kStrict, "a connection's SO_SNDBUF and SO_RCVBUF are its rings' 24 KiB") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.option(SOL_SOCKET, SO_SNDBUF), gives(24576));
  EXPECT_EQ(pair.here.option(SOL_SOCKET, SO_RCVBUF), gives(24576));
}

VMBUS_CASE(Options, 272, kLinux, "SO_RCVLOWAT is 1 to SO_VM_SOCKETS_BUFFER_SIZE") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_RCVLOWAT), gives(1));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_RCVLOWAT, 5000), gives(0));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_RCVLOWAT), gives(5000));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_RCVLOWAT, 0), gives(0));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_RCVLOWAT), gives(1));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_RCVLOWAT, 262144), gives(0));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_RCVLOWAT, 262145), fails(EINVAL));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_RCVLOWAT, -1), fails(EINVAL));
}

VMBUS_CASE(Options, 273, kLinux | kFreeBsd | kWindows | kPlain,
           "hv_sock refuses SO_RCVLOWAT once it is connected") {
  const Connection pair = connected();
  const bool refused = in(kHyperV | kWindows);
  EXPECT_EQ(pair.here.set_option(SOL_SOCKET, SO_RCVLOWAT, 2),
            refused ? fails(EOPNOTSUPP) : gives(0));
  EXPECT_EQ(pair.here.option(SOL_SOCKET, SO_RCVLOWAT), gives(refused ? 1 : 2));
}

VMBUS_CASE(Options, 274, kLinux | kPlain, "SO_SNDLOWAT is 1 and cannot be set") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_SNDLOWAT, 2), fails(ENOPROTOOPT));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_SNDLOWAT), gives(1));
}

VMBUS_CASE(Options, 275, kLinux | kUnix,
           "SO_REUSEPORT, SO_PEEK_OFF and SO_PASSCRED are not for them") {
  const Socket fresh = stream();
  // AF_UNIX has the last two.
  const Outcome result = in(kUnix) ? gives(0) : fails(EOPNOTSUPP);
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_REUSEPORT, 1), fails(EOPNOTSUPP));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_REUSEPORT), gives(0));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, kSoPeekOff, 0), result);
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_PASSCRED, 1), result);
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_PASSCRED), gives(in(kUnix) ? 1 : 0));
}

VMBUS_CASE(Options, 1108, kLinux5_4 | kLinux6_12 | kLinux6_16 | kLinux2026,
           "SO_PASSCRED was stored before Linux 6.16") {
  const Socket fresh = stream();
  const bool stored = in(kLinux5_4 | kLinux6_12);
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_PASSCRED, 2), stored ? gives(0) : fails(EOPNOTSUPP));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_PASSCRED), gives(stored ? 1 : 0));
}

VMBUS_CASE(Options, 276, kLinux | kTcp, "nobody is known of the peer") {
  const Connection pair = connected();
  const Value peer = read_option(pair.here, SOL_SOCKET, SO_PEERCRED, sizeof(ucred));
  EXPECT_EQ(peer.outcome, gives(0));
  EXPECT_EQ(peer.size, sizeof(ucred));
  EXPECT_EQ(peer.as<ucred>().pid, 0);
  EXPECT_EQ(peer.as<ucred>().uid, static_cast<uid_t>(-1));
  EXPECT_EQ(peer.as<ucred>().gid, static_cast<gid_t>(-1));
  if (in(kTcp)) return;  // a security module may answer the next
  EXPECT_EQ(read_option(pair.here, SOL_SOCKET, SO_PEERSEC, 32).outcome, fails(ENOPROTOOPT));
}

VMBUS_CASE(Options, 277, kLinux | kTcp, "SO_ZEROCOPY is 0 or 1 on a fresh socket") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, kSoZeroCopy, 0), gives(0));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, kSoZeroCopy, 1), gives(0));
  EXPECT_EQ(fresh.option(SOL_SOCKET, kSoZeroCopy), gives(1));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, kSoZeroCopy, 2), fails(EINVAL));
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, kSoZeroCopy, -1), fails(EINVAL));
}

VMBUS_CASE(Options, 278, kHyperV | kTcp, "hv_sock refuses SO_ZEROCOPY once it is connected") {
  const Connection pair = connected();
  EXPECT_EQ(pair.here.set_option(SOL_SOCKET, kSoZeroCopy, 1),
            in(kTcp) ? gives(0) : fails(EOPNOTSUPP));
}

VMBUS_CASE(Options, 291, kLinux | kFreeBsd | kWindows | kPlain, "TCP_NODELAY is ENOPROTOOPT") {
  const Socket fresh = stream();
  // AF_UNIX knows no level but SOL_SOCKET; the carrier must not let its answer through.
  const Outcome refused = in(kUnix) ? fails(EOPNOTSUPP) : fails(ENOPROTOOPT);
  const Outcome result = in(kTcp) ? gives(0) : refused;
  EXPECT_EQ(fresh.set_option(IPPROTO_TCP, TCP_NODELAY, 1), result);
  EXPECT_EQ(fresh.option(IPPROTO_TCP, TCP_NODELAY), in(kTcp) ? gives(1) : refused);
}

VMBUS_CASE(Options, 292, kEverywhere, "an int read with eight bytes of room is four bytes long") {
  const Socket fresh = stream();
  for (const int option : {SO_TYPE, SO_ERROR, SO_RCVBUF, SO_ACCEPTCONN, SO_REUSEADDR}) {
    if (in(kWindows) && option == SO_REUSEADDR) continue;  // 2 is HVSOCKET_CONTAINER_PASSTHRU
    const Value value = read_option(fresh, SOL_SOCKET, option, 8);
    EXPECT_EQ(value.outcome, gives(0)) << option;
    EXPECT_EQ(value.size, 4U) << option;
    for (std::size_t i = 4; i < 8; ++i) EXPECT_EQ(value.bytes[i], 0xee) << option;
  }
}

VMBUS_CASE(Options, 293, kWindows, "HVSOCKET_CONNECT_TIMEOUT is at most five minutes") {
  const Socket fresh = stream();
  const auto set = [&](std::uint32_t milliseconds) {
    return fresh.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT, milliseconds);
  };
  const auto get = [&] { return fresh.option(HV_PROTOCOL_RAW, HVSOCKET_CONNECT_TIMEOUT); };
  EXPECT_EQ(set(500), gives(0));
  EXPECT_EQ(get(), gives(500));
  EXPECT_EQ(set(HVSOCKET_CONNECT_TIMEOUT_MAX), gives(0));
  EXPECT_EQ(set(HVSOCKET_CONNECT_TIMEOUT_MAX + 1), fails(EINVAL));
  EXPECT_EQ(get(), gives(HVSOCKET_CONNECT_TIMEOUT_MAX));
}

VMBUS_CASE(Options, 294, kWindows, "HVSOCKET_CONNECTED_SUSPEND can be set") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECTED_SUSPEND, std::uint32_t{1}),
            gives(0));
  EXPECT_EQ(fresh.set_option(HV_PROTOCOL_RAW, HVSOCKET_CONNECTED_SUSPEND, std::uint32_t{0}),
            gives(0));
}

// ---- what has no row in the list ----------------------------------------------------------------

VMBUS_CASE(Options, 1103, kLinux | kFreeBsd | kWindows,
           "options of IP and TCP are ENOPROTOOPT, connected or not, to set and to get") {
  const Socket fresh = stream();
  const Connection pair = connected();
  constexpr std::array<std::array<int, 2>, 7> kOptions{{{IPPROTO_TCP, TCP_NODELAY},
                                                        {IPPROTO_TCP, TCP_CORK},
                                                        {IPPROTO_TCP, TCP_QUICKACK},
                                                        {IPPROTO_TCP, TCP_KEEPIDLE},
                                                        {IPPROTO_TCP, TCP_USER_TIMEOUT},
                                                        {IPPROTO_IP, IP_TOS},
                                                        {IPPROTO_IPV6, IPV6_V6ONLY}}};
  for (const auto [level, option] : kOptions) {
    for (const Socket* socket : {&fresh, &pair.here}) {
      EXPECT_EQ(socket->set_option(level, option, 1), fails(ENOPROTOOPT)) << level << option;
      EXPECT_EQ(socket->option(level, option), fails(ENOPROTOOPT)) << level << option;
    }
  }
}

VMBUS_CASE(Options, 1105, kEverywhere, "an int is set from its first four bytes of eight") {
  const Socket fresh = stream();
  const std::array<std::uint32_t, 2> eight{20000, 0xffffffff};
  ASSERT_EQ(fresh.set_option(SOL_SOCKET, SO_SNDBUF, eight), gives(0));
  EXPECT_EQ(fresh.option(SOL_SOCKET, SO_SNDBUF), gives(40000));
  const std::array<std::uint8_t, 3> three{};
  EXPECT_EQ(fresh.set_option(SOL_SOCKET, SO_SNDBUF, three), fails(EINVAL));
}

VMBUS_CASE(Options, 1106, kLinux | kFreeBsd | kWindows | kPlain,
           "too little room truncates a value and its length") {
  const Socket fresh = stream();
  for (const socklen_t room : {0U, 1U, 3U}) {
    const Value value = read_option(fresh, SOL_SOCKET, SO_TYPE, room);
    EXPECT_EQ(value.outcome, gives(0)) << room;
    EXPECT_EQ(value.size, room);
    EXPECT_EQ(value.bytes[0], room > 0 ? SOCK_STREAM : 0xee);
    EXPECT_EQ(value.bytes[room], 0xee);
  }
  const Value owner = read_option(fresh, SOL_SOCKET, SO_PEERCRED, 5);
  EXPECT_EQ(owner.outcome, gives(0));
  EXPECT_EQ(owner.size, 5U);
  EXPECT_EQ(owner.bytes[5], 0xee);
  EXPECT_EQ(read_option(fresh, SOL_SOCKET, SO_TYPE, static_cast<socklen_t>(-1)).outcome,
            fails(EINVAL));
  socklen_t size = 4;
  EXPECT_EQ(outcome(::getsockopt(fresh.fd(), SOL_SOCKET, SO_TYPE, nullptr, &size)), fails(EFAULT));
  int value = 0;
  EXPECT_EQ(outcome(::getsockopt(fresh.fd(), SOL_SOCKET, SO_TYPE, &value, nullptr)), fails(EFAULT));
}

}  // namespace vmbus::cases
