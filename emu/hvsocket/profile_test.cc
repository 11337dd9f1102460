// Rows of the quirk table that the daemon obeys, each against its default.

#include <cerrno>
#include <set>

#include "emu/hvsocket/endpoint_image.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

class ProfileRules : public testing::Test {
 protected:
  TestSocket socket(const std::string& partition, const std::string& profile,
                    const std::string& quirks = "") {
    return bus.socket(partition, proto::kFamilyVsock, profile, quirks);
  }
  TestSocket listener(TestSocket listener, const proto::Address& address, int backlog = 8) {
    EXPECT_EQ(listener.bind(address), 0);
    EXPECT_EQ(listener.listen(backlog), 0);
    return listener;
  }
  // A guest's end with these rules, and the host's with those.
  std::pair<TestSocket, TestSocket> pair(const std::string& guest_quirks,
                                         const std::string& host_quirks = "") {
    TestSocket host = listener(socket("host", "default", host_quirks), vsock(kHostCid, 6000));
    return bus.connect_pair(socket("guest", "default", guest_quirks), host, vsock(kHostCid, 6000));
  }
  int refused_connect(const std::string& profile, const std::string& quirks,
                      std::uint32_t cid = kHostCid, std::uint32_t port = 6001) {
    return socket("guest", profile, quirks).connect(vsock(cid, port));
  }
  std::uint32_t bits(TestSocket& socket) { return endpoint_of(socket.state()).quirks; }
  proto::Endpoint endpoint_of(const Socket& socket) {
    return endpoint_image(socket, bus.sockets().guests());
  }

  TestBus bus;
};

TEST_F(ProfileRules, AreThoseOfTheCallOrAnError) {
  EXPECT_EQ(socket("guest", "strict", "peek=on").state().profile->text, "strict+peek=on");
  EXPECT_EQ(socket("guest", "virtio").state().profile->text, "virtio");
  for (const auto& [profile, quirks] : {std::pair{"odd", ""}, std::pair{"strict", "peek=odd"}}) {
    const auto born = bus.requests().create({.family = proto::kFamilyVsock,
                                             .type = SOCK_STREAM,
                                             .partition = "guest",
                                             .profile = profile,
                                             .quirks = quirks});
    ASSERT_FALSE(born.has_value());
    EXPECT_EQ(born.error(), EINVAL);
  }
}

TEST_F(ProfileRules, OfAGuestDoNotHoldOnTheHost) {
  TestSocket guest = socket("guest", "strict");
  TestSocket host = socket("host", "strict");
  EXPECT_EQ(bits(guest) & proto::kQuirkNoPeek, proto::kQuirkNoPeek);
  EXPECT_EQ(bits(host) & proto::kQuirkNoPeek, 0U);
  EXPECT_EQ(bits(host) & proto::kQuirkShutReadIsError, proto::kQuirkShutReadIsError);
}

TEST_F(ProfileRules, OfAnAcceptedSocketAreItsListeners) {
  TestSocket server = listener(socket("guest", "strict"), vsock(kAnyCid, 7000));
  auto [host, guest] = bus.connect_pair(socket("host", "virtio"), server, vsock(3, 7000));
  EXPECT_EQ(guest.state().profile->text, "strict");
  EXPECT_EQ(host.state().profile->text, "virtio");
}

TEST_F(ProfileRules, TellTheShimWhatItDecides) {
  TestSocket plain = socket("guest", "default");
  EXPECT_EQ(bits(plain), 0U);
  TestSocket freebsd = socket("guest", "freebsd");
  const unsigned expected =
      proto::kQuirkNoPeek | proto::kQuirkNoPeekAtOnce | proto::kQuirkWaitallAny |
      proto::kQuirkKeepsPeerName | proto::kQuirkKeepsLowWater | proto::kQuirkLowWaterPoll |
      proto::kQuirkEmptyIsInvalid | proto::kQuirkNoSendAfterFin | proto::kQuirkReadsStream;
  EXPECT_EQ(bits(freebsd), expected);
  TestSocket old = socket("guest", "default", "vintage=6.6");
  EXPECT_EQ(bits(old), proto::kQuirkNoSigpipe | proto::kQuirkNoIoctls | proto::kQuirkNoInq |
                           proto::kQuirkKeepsPassCred | 0U);
}

// Case 101, 122: who is refused, and how.
TEST_F(ProfileRules, ChooseTheErrorOfARefusal) {
  EXPECT_EQ(refused_connect("default", ""), ECONNRESET);
  EXPECT_EQ(refused_connect("virtio", ""), ECONNRESET);
  EXPECT_EQ(refused_connect("default", "refusal=refused"), ECONNREFUSED);
  EXPECT_EQ(refused_connect("strict", "fast-fail=on"), ETIMEDOUT);
  EXPECT_EQ(refused_connect("strict", ""), EINPROGRESS);
  EXPECT_EQ(refused_connect("strict", "loopback=on", 1), ECONNRESET) << "loopback knows resets";
}

TEST_F(ProfileRules, ChooseTheHostsRefusal) {
  TestSocket dialer = socket("host", "strict");
  EXPECT_EQ(dialer.connect(vsock(3, 7001)), EINPROGRESS);
  EXPECT_EQ(socket("host", "strict", "host-fast-fail=on").connect(vsock(3, 7002)), ETIMEDOUT);
}

// Case 116, 117, 118, 119: CIDs that are nobody's.
TEST_F(ProfileRules, ChooseTheErrorOfAnOddCid) {
  for (const std::uint32_t cid : {0U, 1U, 77U, kAnyCid}) {
    EXPECT_EQ(refused_connect("strict", "", cid), ENETUNREACH) << cid;
    const bool named = cid <= 1;
    EXPECT_EQ(refused_connect("strict", "vintage=2026", cid), named ? ENETUNREACH : ENODEV) << cid;
  }
  EXPECT_EQ(refused_connect("virtio", "", 77), ECONNRESET);
  EXPECT_EQ(refused_connect("virtio", "", 0), ECONNRESET);
}

// Case 133, 134: the ports of old Linux.
TEST_F(ProfileRules, OfOldLinuxKnowHalfThePorts) {
  EXPECT_EQ(refused_connect("default", "vintage=5.5", kHostCid, 0x80000001), ENETUNREACH);
  EXPECT_EQ(refused_connect("default", "vintage=5.6", kHostCid, 0x80000001), ECONNRESET);
  TestSocket server =
      listener(socket("guest", "default", "vintage=5.4"), vsock(kAnyCid, 0x80000001));
  EXPECT_EQ(socket("host", "default").connect(vsock(3, 0x80000001)), ECONNRESET);
}

TEST_F(ProfileRules, OfOldLinuxHaveNoLoopbackAndNoSeqpacket) {
  EXPECT_EQ(refused_connect("default", "vintage=5.5", 1), ENETUNREACH);
  EXPECT_EQ(socket("guest", "default", "vintage=5.5").bind(vsock(1, 5000)), EADDRNOTAVAIL);
  const auto born = bus.requests().create({.family = proto::kFamilyVsock,
                                           .type = SOCK_SEQPACKET,
                                           .partition = "guest",
                                           .quirks = "vintage=5.11"});
  ASSERT_FALSE(born.has_value());
  EXPECT_EQ(born.error(), ESOCKTNOSUPPORT);
}

TEST_F(ProfileRules, OfOldLinuxCountTheirPeers) {
  TestSocket server = listener(socket("guest", "strict", "vintage=5.4"), vsock(kAnyCid, 7000));
  auto [first, one] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
  auto [second, two] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
  EXPECT_EQ(one.state().peer, vsock(kAnyCid, 0x80000000));
  EXPECT_EQ(two.state().peer, vsock(kAnyCid, 0x80000001));
}

// Case 136: listening after a failed connect.
TEST_F(ProfileRules, LetASocketListenAfterAFailedConnectUntil612) {
  for (const auto& [vintage, expected] : {std::pair{"6.12", 0}, std::pair{"6.16", EINVAL}}) {
    TestSocket guest = socket("guest", "default", std::string("vintage=") + vintage);
    EXPECT_EQ(guest.connect(vsock(kHostCid, 6001)), ECONNRESET);
    EXPECT_EQ(guest.listen(), expected) << vintage;
  }
}

// Case 43: low ports.
TEST_F(ProfileRules, SayWhoMayBindLowPorts) {
  EXPECT_EQ(socket("guest", "strict").bind(vsock(kAnyCid, 80), false), EACCES);
  EXPECT_EQ(socket("guest", "strict", "low-ports=any").bind(vsock(kAnyCid, 80), false), 0);
}

// Case 58: connections that hold their listener's port.
TEST_F(ProfileRules, LetAcceptedSocketsHoldThePort) {
  for (const auto& [value, expected] : {std::pair{"free", 0}, std::pair{"held", EADDRINUSE}}) {
    const std::string quirks = std::string("accepted-ports=") + value;
    TestSocket server = listener(socket("guest", "default", quirks), vsock(kAnyCid, 7000));
    auto [host, guest] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
    server.close();
    EXPECT_EQ(socket("guest", "default").bind(vsock(kAnyCid, 7000)), expected) << value;
    host.close();
    guest.close();
    EXPECT_EQ(socket("guest", "default").bind(vsock(kAnyCid, 7000)), 0) << value;
    bus.settle();
  }
}

// Case 131: a port that stays taken until the host is done.
TEST_F(ProfileRules, HoldAClosedClientsPort) {
  TestSocket server = listener(socket("host", "default"), vsock(kHostCid, 6000));
  TestSocket client = socket("guest", "strict");
  ASSERT_EQ(client.bind(vsock(kAnyCid, 5000)), 0);
  auto [guest, host] = bus.connect_pair(std::move(client), server, vsock(kHostCid, 6000));
  guest.close();
  EXPECT_EQ(socket("guest", "strict").bind(vsock(kAnyCid, 5000)), EADDRINUSE);
  host.close();
  EXPECT_EQ(socket("guest", "strict").bind(vsock(kAnyCid, 5000)), 0);
}

// Case 148: FreeBSD ignores the bind.
TEST_F(ProfileRules, DialFromAFreshPort) {
  TestSocket server = listener(socket("host", "default"), vsock(kHostCid, 6000));
  TestSocket client = socket("guest", "default", "dial-port=fresh");
  ASSERT_EQ(client.bind(vsock(kAnyCid, 5000)), 0);
  auto [guest, host] = bus.connect_pair(std::move(client), server, vsock(kHostCid, 6000));
  EXPECT_EQ(guest.state().local.port.value, 0xFFFFFFFE);
  EXPECT_EQ(socket("guest", "default").bind(vsock(kAnyCid, 5000)), 0);
}

// Case 84: a queue that is full.
TEST_F(ProfileRules, RefuseAtAFullQueue) {
  TestSocket waiting = listener(socket("host", "strict"), vsock(kHostCid, 6000), 0);
  TestSocket refusing = listener(socket("host", "virtio"), vsock(kHostCid, 6100), 0);
  TestSocket queued = socket("guest", "default");
  TestSocket other = socket("guest", "default");
  EXPECT_EQ(queued.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(refused_connect("default", "", kHostCid, 6000), EINPROGRESS);
  EXPECT_EQ(other.connect(vsock(kHostCid, 6100)), 0);
  EXPECT_EQ(refused_connect("default", "", kHostCid, 6100), ECONNRESET);
}

TEST_F(ProfileRules, RefuseAtAFullQueueOfAGuest) {
  TestSocket server = listener(socket("guest", "virtio"), vsock(kAnyCid, 7000), 0);
  TestSocket first = socket("host", "default");
  TestSocket near = socket("guest", "default");
  EXPECT_EQ(first.connect(vsock(3, 7000)), 0);
  EXPECT_EQ(socket("host", "default").connect(vsock(3, 7000)), ECONNRESET);
  EXPECT_EQ(near.connect(vsock(1, 7000)), ECONNRESET);
}

// Case 170, 171: how large rings are.
TEST_F(ProfileRules, SizeTheRings) {
  const auto ring_bytes = [](TestSocket& socket) {
    return socket.state().stream->out.memory().data_bytes();
  };
  auto [plain, plain_host] = pair("");
  EXPECT_EQ(ring_bytes(plain), 258048U);
  auto [chosen, chosen_host] = pair("client-ring=40960");
  EXPECT_EQ(ring_bytes(chosen), 40960U);
  auto [old, old_host] = pair("client-ring=24576,vintage=5.14");
  EXPECT_EQ(ring_bytes(old), 20480U);
  TestSocket server = listener(socket("guest", "strict"), vsock(kAnyCid, 7000));
  auto [host, guest] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
  EXPECT_EQ(ring_bytes(guest), 208896U);
  server.state().options.send_buffer = 1 << 20;
  auto [host2, larger] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
  EXPECT_EQ(ring_bytes(larger), 258048U) << "256 KiB with the control page";
}

// Case 173: room comes back at once, or when the ring is empty.
TEST_F(ProfileRules, GiveRoomBackGraduallyOrAtOnce) {
  for (const auto& [value, late] : {std::pair{"gradual", false}, std::pair{"drained", true}}) {
    auto [guest, host] = pair(std::string("credit=") + value);
    const std::string block(16384, 'x');
    while (host.send(block) != 0) continue;
    const std::uint64_t before = host.state().bytes_sent;
    std::string some(1 << 20, '\0');  // what the carrier holds, which is less than the ring
    ASSERT_GT(::recv(guest.a(), some.data(), some.size(), MSG_DONTWAIT), 0);
    bus.settle();
    EXPECT_EQ(host.state().bytes_sent == before, late) << value;
    EXPECT_GT(guest.recv().size(), block.size());
    EXPECT_GT(host.state().bytes_sent, before) << "and then everything goes on";
  }
}

// Case 95, 271: what the socket buffers read.
TEST_F(ProfileRules, ShowTheRingAsSocketBuffer) {
  auto [plain, plain_host] = pair("");
  EXPECT_EQ(plain.state().options.send_buffer, 212992U);
  auto [strict, strict_host] = pair("connected-buffers=24576");
  EXPECT_EQ(strict.state().options.send_buffer, 24576U);
  EXPECT_EQ(strict_host.state().options.send_buffer, 212992U);
}

// Case 234, 235: who hears of SHUT_RD.
TEST_F(ProfileRules, TellThePeerOfShutReadOrNot) {
  auto [quiet, unaware] = pair("");
  EXPECT_EQ(quiet.shutdown(SHUT_RD), 0);
  EXPECT_FALSE(unaware.state().has(proto::kEndedPeerRead));
  auto [guest, host] = pair("shut-rd=told");
  EXPECT_EQ(guest.shutdown(SHUT_RD), 0);
  EXPECT_TRUE(host.state().has(proto::kEndedPeerRead));
  const std::string block(10'000, 'x');
  for (int i = 0; i < 100; ++i) EXPECT_EQ(host.send(block), block.size()) << "nobody waits";
  EXPECT_EQ(guest.send("still"), 5U);
  EXPECT_EQ(host.recv(), "still");
  guest.close();
  EXPECT_TRUE(host.at_end());
}

TEST_F(ProfileRules, LetTheTalkerCloseAfterTheReaderShut) {
  auto [guest, host] = pair("shut-rd=told");
  EXPECT_EQ(guest.shutdown(SHUT_RD), 0);
  host.close();
  guest.close();
  bus.settle();
  EXPECT_EQ(bus.open_sockets(), 0U);
}

// Case 243, 244: FreeBSD's SHUT_WR.
TEST_F(ProfileRules, KeepShutWriteSilentUntilTheEnd) {
  auto [guest, host] = pair("shut-wr=silent");
  guest.send("before");
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_EQ(host.recv(), "before");
  EXPECT_FALSE(host.at_end());
  guest.close();
  EXPECT_TRUE(host.at_end());
  auto [second, peer] = pair("shut-wr=silent");
  EXPECT_EQ(second.shutdown(SHUT_RDWR), 0);
  EXPECT_TRUE(peer.at_end());
}

// Case 218: shut after the end.
TEST_F(ProfileRules, ForgetAConnectionThatWasOver) {
  for (const auto& [value, forgotten] : {std::pair{"zero", false}, std::pair{"enotconn", true}}) {
    auto [guest, host] = pair(std::string("recv-after-end=") + value);
    host.close();
    EXPECT_TRUE(guest.at_end());
    EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
    EXPECT_EQ(guest.state().has(proto::kEndedForgotten), forgotten) << value;
  }
  auto [guest, host] = pair("");
  host.send("unread");
  host.close();
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_FALSE(guest.state().has(proto::kEndedForgotten)) << "there is something to read";
}

// Case 226: a guest that closes without SHUT_WR, as Windows sees it.
TEST_F(ProfileRules, ResetTheHostWhereTheGuestJustCloses) {
  TestSocket server = listener(
      bus.socket("host", proto::kFamilyHyperV, "default", "guest-close=reset"),
      proto::hyperv_address(proto::kHvGuidWildcard, proto::service_id_of(proto::Port{6002})));
  auto [guest, host] = bus.connect_pair(socket("guest", "default"), server, vsock(kHostCid, 6002));
  guest.close();
  EXPECT_TRUE(host.state().has(proto::kEndedReset));
  auto [polite, peer] = bus.connect_pair(socket("guest", "default"), server, vsock(kHostCid, 6002));
  EXPECT_EQ(polite.shutdown(SHUT_WR), 0);
  polite.close();
  EXPECT_FALSE(peer.state().has(proto::kEndedReset));
  auto [other, vsock_host] = pair("", "guest-close=reset");
  other.close();
  EXPECT_FALSE(vsock_host.state().has(proto::kEndedReset)) << "AF_VSOCK knows no such thing";
}

TEST_F(ProfileRules, ShowTheHostClientsPortOrAnother) {
  TestSocket server = listener(socket("guest", "default"), vsock(kAnyCid, 7000));
  auto [own, first] = bus.connect_pair(socket("host", "default"), server, vsock(3, 7000));
  EXPECT_EQ(first.state().peer.port, own.state().local.port);
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 4; ++i) {  // four of the host's own ports in a row by chance: never
    auto [host, guest] = bus.connect_pair(socket("host", "strict"), server, vsock(3, 7000));
    if (guest.state().peer.port != host.state().local.port) {
      seen.insert(guest.state().peer.port.value);
    }
  }
  EXPECT_EQ(seen.size(), 4U);
}

// Case 267: SO_PROTOCOL.
TEST_F(ProfileRules, ShowTheProtocolAskedForOrZero) {
  for (const auto& [value, expected] : {std::pair{"zero", 0}, std::pair{"asked", 40}}) {
    const auto born = bus.requests().create({.family = proto::kFamilyVsock,
                                             .type = SOCK_STREAM,
                                             .protocol = proto::kFamilyVsock,
                                             .partition = "guest",
                                             .quirks = std::string("protocol=") + value});
    ASSERT_TRUE(born.has_value());
    EXPECT_EQ(endpoint_of(*born->socket).protocol, expected);
  }
}

// Case 273: SO_RCVLOWAT on a connection.
TEST_F(ProfileRules, KeepOrRefuseALowWaterMarkOnAConnection) {
  const int mark = 5;
  const auto value = std::as_bytes(std::span(&mark, 1));
  auto [refusing, host] = pair("");
  EXPECT_EQ(bus.requests().set_option(refusing.state(), SOL_SOCKET, SO_RCVLOWAT, value),
            EOPNOTSUPP);
  auto [keeping, host2] = pair("low-water=kept");
  EXPECT_EQ(bus.requests().set_option(keeping.state(), SOL_SOCKET, SO_RCVLOWAT, value), 0);
  EXPECT_EQ(keeping.state().options.receive_low_water, 5U);
}

}  // namespace
}  // namespace vmbus::emu
