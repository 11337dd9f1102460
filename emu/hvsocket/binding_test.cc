// bind and listen: names, ports, and who may have them; socket() itself; options.

#include <sys/time.h>

#include <cerrno>
#include <vector>

#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

class Binding : public testing::Test {
 protected:
  int create(std::uint32_t family, std::uint32_t type, std::uint32_t protocol,
             const std::string& partition = "auto") {
    const auto born = bus.requests().create({.family = family,
                                             .type = type,
                                             .protocol = protocol,
                                             .partition = partition,
                                             .profile = "",
                                             .quirks = "",
                                             .pid = 0,
                                             .program = ""});
    return born ? 0 : born.error();
  }
  int set(TestSocket& socket, int level, int option, const auto& value) {
    return bus.requests().set_option(socket.state(), level, option,
                                     std::as_bytes(std::span(&value, 1)));
  }

  TestBus bus;
};

// Case 13, 14, 15, 16, 17, 18: the kinds of AF_VSOCK socket.
TEST_F(Binding, CreatesWhatLinuxCreates) {
  EXPECT_EQ(create(40, SOCK_STREAM, 0), 0);
  EXPECT_EQ(create(40, SOCK_STREAM, 40), 0);
  EXPECT_EQ(create(40, SOCK_STREAM, 1), EPROTONOSUPPORT);
  EXPECT_EQ(create(40, SOCK_SEQPACKET, 0), 0);
  EXPECT_EQ(create(40, SOCK_DGRAM, 0), ENODEV);
  EXPECT_EQ(create(40, SOCK_RAW, 0), ESOCKTNOSUPPORT);
}

// Case 23, 24, 25, 26: the two families called AF_HYPERV.
TEST_F(Binding, CreatesWhatWindowsAndFreeBsdCreate) {
  EXPECT_EQ(create(34, SOCK_STREAM, 1), 0);
  EXPECT_EQ(create(34, SOCK_STREAM, 0), EPROTOTYPE);
  EXPECT_EQ(create(43, SOCK_STREAM, 0), EAFNOSUPPORT) << "without a FreeBSD guest";
  EXPECT_EQ(create(43, SOCK_STREAM, 5), EAFNOSUPPORT) << "without a FreeBSD guest";
  GuestSpec spec;
  spec.name = "bsd";
  spec.flavour = Flavour::kFreeBsd;
  ASSERT_TRUE(bus.sockets().guests().add(spec).has_value());
  EXPECT_EQ(create(43, SOCK_STREAM, 0), 0);
  EXPECT_EQ(create(43, SOCK_STREAM, 5), EPROTONOSUPPORT);
  EXPECT_EQ(create(43, SOCK_STREAM, 0, "bsd"), 0);
  EXPECT_EQ(create(43, SOCK_STREAM, 0, "guest"), EAFNOSUPPORT) << "that one is a Linux";
}

TEST_F(Binding, AFreeBsdListenerIsReachedByItsPort) {
  GuestSpec spec;
  spec.name = "bsd";
  spec.flavour = Flavour::kFreeBsd;
  const auto guest = bus.sockets().guests().add(spec);
  ASSERT_TRUE(guest.has_value());
  TestSocket server = bus.socket("bsd", proto::kFamilyHyperVFreeBsd);
  ASSERT_EQ(server.bind(proto::freebsd_address(proto::Port{6000})), 0);
  ASSERT_EQ(server.listen(), 0);
  TestSocket client = bus.socket("host");
  EXPECT_EQ(client.connect(vsock((*guest)->config().cid, 6000)), 0);
}

TEST_F(Binding, KnowsThePartitionsItMayBelongTo) {
  EXPECT_EQ(create(40, SOCK_STREAM, 0, "host"), 0);
  EXPECT_EQ(create(40, SOCK_STREAM, 0, "guest"), 0);
  EXPECT_EQ(create(40, SOCK_STREAM, 0, "nobody"), EINVAL);
}

// Case 28, 29, 31: bind fixes a name, once.
TEST_F(Binding, GivesANameOnce) {
  TestSocket socket = bus.socket("guest");
  EXPECT_EQ(socket.bind(vsock(kAnyCid, 5000)), 0);
  EXPECT_EQ(socket.state().local, vsock(kAnyCid, 5000));
  EXPECT_EQ(socket.bind(vsock(kAnyCid, 5001)), EINVAL);
  TestSocket automatic = bus.socket("guest");
  EXPECT_EQ(automatic.bind(vsock(kAnyCid, proto::kPortAny.value)), 0);
  EXPECT_GE(automatic.state().local.port.value, 1024U);
}

// Case 30: automatic ports follow each other.
TEST_F(Binding, HandsOutAutomaticPortsInOrder) {
  TestSocket first = bus.socket("guest");
  TestSocket second = bus.socket("guest");
  EXPECT_EQ(first.bind(vsock(kAnyCid, proto::kPortAny.value)), 0);
  EXPECT_EQ(second.bind(vsock(kAnyCid, proto::kPortAny.value)), 0);
  EXPECT_EQ(second.state().local.port.value, first.state().local.port.value + 1);
}

// Case 40, 45: only local CIDs; tested before the privilege.
TEST_F(Binding, RefusesAForeignCid) {
  TestSocket guest = bus.socket("guest");
  EXPECT_EQ(guest.bind(vsock(kHostCid, 5000)), EADDRNOTAVAIL);
  EXPECT_EQ(guest.bind(vsock(99, 80), false), EADDRNOTAVAIL);
  TestSocket strict = bus.socket("guest", proto::kFamilyVsock, "strict");
  EXPECT_EQ(strict.bind(vsock(3, 5000)), EADDRNOTAVAIL);
  EXPECT_EQ(strict.bind(vsock(1, 5000)), EADDRNOTAVAIL);
}

// Case 43, 44, 46, 47: ports below 1024 need a privilege, and that is tested before the conflict.
TEST_F(Binding, ReservesLowPorts) {
  TestSocket privileged = bus.socket("guest");
  EXPECT_EQ(privileged.bind(vsock(kAnyCid, 80)), 0);
  TestSocket plain = bus.socket("guest");
  EXPECT_EQ(plain.bind(vsock(kAnyCid, 0), false), EACCES);
  EXPECT_EQ(plain.bind(vsock(kAnyCid, 80), false), EACCES);
  EXPECT_EQ(plain.bind(vsock(kAnyCid, 1024), false), 0);
}

// Case 48, 49: (any, p) overlaps (x, p).
TEST_F(Binding, RefusesAnOverlappingName) {
  TestSocket any = bus.socket("guest");
  EXPECT_EQ(any.bind(vsock(kAnyCid, 5000)), 0);
  TestSocket local = bus.socket("guest");
  EXPECT_EQ(local.bind(vsock(1, 5000)), EADDRINUSE);
  EXPECT_EQ(local.bind(vsock(1, 5001)), 0);
  TestSocket own = bus.socket("guest");
  EXPECT_EQ(own.bind(vsock(3, 5001)), 0) << "two different CIDs do not overlap";
}

// Case 53, 55: a port is free again after the last close; accepted sockets hold none.
TEST_F(Binding, FreesAPortWithTheLastClose) {
  TestSocket listener = bus.socket("guest");
  ASSERT_EQ(listener.bind(vsock(kAnyCid, 5000)), 0);
  ASSERT_EQ(listener.listen(), 0);
  auto [near, far] = bus.connect_pair(bus.socket("guest"), listener, vsock(1, 5000));
  TestSocket other = bus.socket("guest");
  EXPECT_EQ(other.bind(vsock(kAnyCid, 5000)), EADDRINUSE);
  listener.close();
  EXPECT_EQ(other.bind(vsock(kAnyCid, 5000)), 0);
}

// Case 62, 63, 64: names of the host's listeners.
TEST_F(Binding, TellsHyperVNamesApartByVmId) {
  const auto service = proto::service_id_of(proto::Port{6000});
  TestSocket loopback = bus.hyperv();
  ASSERT_EQ(loopback.bind(proto::hyperv_address(proto::kHvGuidLoopback, service)), 0);
  ASSERT_EQ(loopback.listen(), 0);
  TestSocket same = bus.hyperv();
  EXPECT_EQ(same.bind(proto::hyperv_address(proto::kHvGuidLoopback, service)), EADDRINUSE);
  EXPECT_EQ(same.bind(proto::hyperv_address(proto::kHvGuidWildcard, service)), 0);
}

TEST_F(Binding, SharesHostNamesBetweenTheFamilies) {
  TestSocket vsock_socket = bus.socket("host");
  ASSERT_EQ(vsock_socket.bind(vsock(kHostCid, 6000)), 0);
  TestSocket hyperv = bus.hyperv();
  const auto service = proto::service_id_of(proto::Port{6000});
  EXPECT_EQ(hyperv.bind(proto::hyperv_address(proto::kHvGuidWildcard, service)), EADDRINUSE);
}

TEST_F(Binding, OfAnAutoSocketToCid2MakesItTheHosts) {
  TestSocket socket = bus.socket();
  EXPECT_EQ(socket.bind(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(socket.state().home, Home::kHost);
  TestSocket undecided = bus.socket();
  EXPECT_EQ(undecided.bind(vsock(kAnyCid, 6000)), 0) << "never EADDRINUSE against the host";
  EXPECT_EQ(undecided.listen(), 0);
  EXPECT_EQ(undecided.state().home, Home::kGuest);
}

// Case 68, 69, 70, 73: listen.
TEST_F(Binding, ComesBeforeListening) {
  TestSocket socket = bus.socket("guest");
  EXPECT_EQ(socket.listen(5), EINVAL);
  EXPECT_EQ(socket.bind(vsock(kAnyCid, 5000)), 0);
  EXPECT_EQ(socket.listen(5), 0);
  EXPECT_EQ(socket.listen(1), 0);
  EXPECT_EQ(socket.state().listener->backlog, 1U);
  EXPECT_EQ(socket.readiness(), 0);
}

// Case 231, 230: shutdown without a connection.
TEST_F(Binding, AllowsNoShutdown) {
  TestSocket socket = bus.socket("guest");
  EXPECT_EQ(socket.shutdown(SHUT_WR), ENOTCONN);
  EXPECT_EQ(socket.shutdown(3), EINVAL);
  EXPECT_EQ(socket.bind(vsock(kAnyCid, 5000)), 0);
  EXPECT_EQ(socket.shutdown(SHUT_WR), ENOTCONN);
}

// Case 270, 272, 283, 284: values are clamped as Linux does.
TEST_F(Binding, ClampsBufferOptions) {
  TestSocket socket = bus.socket("guest");
  SocketOptions& options = socket.state().options;
  EXPECT_EQ(set(socket, SOL_SOCKET, SO_SNDBUF, 10000), 0);
  EXPECT_EQ(options.send_buffer, 20000U);
  EXPECT_EQ(set(socket, SOL_SOCKET, SO_RCVLOWAT, 0), 0);
  EXPECT_EQ(options.receive_low_water, 1U);
  EXPECT_EQ(set(socket, SOL_SOCKET, SO_RCVLOWAT, 262145), EINVAL);
  EXPECT_EQ(set(socket, SOL_SOCKET, SO_RCVLOWAT, -1), EINVAL);
  EXPECT_EQ(set(socket, 40, 0, std::uint64_t{1}), 0);
  EXPECT_EQ(options.buffer_size, 128U);
  EXPECT_EQ(set(socket, 40, 0, std::uint64_t{1} << 20), 0);
  EXPECT_EQ(options.buffer_size, 262144U);
  EXPECT_EQ(set(socket, 40, 2, std::uint64_t{524288}), 0);
  EXPECT_EQ(set(socket, 40, 0, std::uint64_t{524288}), 0);
  EXPECT_EQ(options.buffer_size, 524288U);
}

// Case 287, 288, 289, 285, 291: the connect time limit, and options nobody has.
TEST_F(Binding, ChecksTheConnectTimeLimit) {
  TestSocket socket = bus.socket("guest");
  const SocketOptions& options = socket.state().options;
  EXPECT_EQ(set(socket, 40, 6, timeval{0, 1}), 0);
  EXPECT_EQ(options.connect_timeout_us, 4000U);
  EXPECT_EQ(set(socket, 40, 8, timeval{5, 0}), 0);
  EXPECT_EQ(options.connect_timeout_us, 5'000'000U);
  EXPECT_EQ(set(socket, 40, 6, timeval{0, 0}), 0);
  EXPECT_EQ(options.connect_timeout_us, 2'000'000U);
  EXPECT_EQ(set(socket, 40, 6, timeval{-1, 0}), ERANGE);
  EXPECT_EQ(set(socket, 40, 6, timeval{0, 1'000'000}), ERANGE);
  EXPECT_EQ(set(socket, 40, 6, std::uint64_t{1}), EINVAL);
  EXPECT_EQ(set(socket, 40, 3, std::uint64_t{1}), ENOPROTOOPT);
  EXPECT_EQ(set(socket, 6, 1, 1), ENOPROTOOPT);
}

// Case 293, 294: Windows' options.
TEST_F(Binding, ChecksHyperVOptions) {
  TestSocket socket = bus.hyperv();
  EXPECT_EQ(set(socket, 34, 1, std::uint32_t{500}), 0);
  EXPECT_EQ(socket.state().options.hv_connect_timeout_ms, 500U);
  EXPECT_EQ(set(socket, 34, 1, std::uint32_t{300001}), EINVAL);
  EXPECT_EQ(set(socket, 34, 4, std::uint32_t{1}), 0);
  EXPECT_EQ(socket.state().options.hv_options, 4U);
}

// Case 140, 141: VmIds that nobody can dial.
TEST_F(Binding, IsNotNeededToBeRefusedBadVmIds) {
  const auto service = proto::service_id_of(proto::Port{6000});
  for (const proto::Guid& vm_id : {proto::kHvGuidWildcard, proto::kHvGuidChildren,
                                   proto::kHvGuidBroadcast, proto::kHvGuidParent}) {
    EXPECT_EQ(bus.hyperv().connect(proto::hyperv_address(vm_id, service)), EADDRNOTAVAIL);
  }
  EXPECT_EQ(bus.hyperv().connect(proto::hyperv_address(proto::vm_id_from_name("x"), service)),
            EHOSTUNREACH);
}

// Case 116, 118: CIDs a guest cannot reach.
TEST_F(Binding, IsNotNeededToBeRefusedBadCids) {
  EXPECT_EQ(bus.socket("guest").connect(vsock(0, 6000)), ENETUNREACH);
  EXPECT_EQ(bus.socket("guest").connect(vsock(77, 6000)), ENETUNREACH);
  TestSocket strict = bus.socket("guest", proto::kFamilyVsock, "strict");
  EXPECT_EQ(strict.connect(vsock(1, 6000)), ENETUNREACH);
  EXPECT_EQ(bus.socket("host").connect(vsock(77, 6000)), ENODEV);
}

TEST_F(Binding, OfAGuestNeedsAFreeNameCidAndVmId) {
  GuestSpec spec;
  spec.name = "guest";
  EXPECT_FALSE(bus.sockets().guests().add(spec).has_value());
  spec.name = "host";
  EXPECT_FALSE(bus.sockets().guests().add(spec).has_value());
  spec.name = "second";
  spec.cid = 3;
  EXPECT_FALSE(bus.sockets().guests().add(spec).has_value());
  spec.cid = 2;
  EXPECT_FALSE(bus.sockets().guests().add(spec).has_value());
  spec.cid.reset();
  const auto added = bus.sockets().guests().add(spec);
  ASSERT_TRUE(added.has_value());
  EXPECT_EQ((*added)->config().cid, 4U);
}

}  // namespace
}  // namespace vmbus::emu
