// Connections through the whole bus: guest to host, host to guest, loopback; names, data, the end.

#include <cerrno>

#include "emu/protocol/message_info.h"
#include "emu/protocol/status.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;
using proto::MessageType;

std::vector<MessageType> crossed(const MessageLog& log) {
  std::vector<MessageType> types;
  for (const MessageLog::Record& record : log.snapshot()) {
    std::uint32_t number = 0;
    std::memcpy(&number, record.payload.data(), sizeof number);
    types.push_back(static_cast<MessageType>(number));
  }
  return types;
}

std::size_t count(const std::vector<MessageType>& types, MessageType type) {
  return static_cast<std::size_t>(std::ranges::count(types, type));
}

class Connection : public testing::TestWithParam<LoopChoice> {
 protected:
  TestSocket host_listener(std::uint32_t port, int backlog = 8) {
    TestSocket listener = bus.socket("host");
    EXPECT_EQ(listener.bind(vsock(kHostCid, port)), 0);
    EXPECT_EQ(listener.listen(backlog), 0);
    return listener;
  }
  TestSocket guest_listener(std::uint32_t port, int backlog = 8,
                            const std::string& profile = "default") {
    TestSocket listener = bus.socket("guest", proto::kFamilyVsock, profile);
    EXPECT_EQ(listener.bind(vsock(kAnyCid, port)), 0);
    EXPECT_EQ(listener.listen(backlog), 0);
    return listener;
  }

  TestBus bus{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Loops, Connection, testing::Values(LoopChoice::kEpoll, LoopChoice::kAuto),
                         [](const auto& choice) {
                           return choice.param == LoopChoice::kEpoll ? "Epoll" : "Auto";
                         });

// Row 157: an accepted connect is answered by the offer alone.
TEST_P(Connection, OfAGuestExchangesTheWholeProtocol) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  guest.close();
  host.close();
  bus.settle();

  const auto types = crossed(bus.messages());
  EXPECT_EQ(types.front(), MessageType::kInitiateContact);
  EXPECT_EQ(types.back(), MessageType::kRelidReleased);
  EXPECT_EQ(count(types, MessageType::kTlConnectRequest), 1U);
  EXPECT_EQ(count(types, MessageType::kTlConnectResult), 0U);
  EXPECT_EQ(count(types, MessageType::kOfferChannel), 1U);
  EXPECT_EQ(count(types, MessageType::kOpenChannelResult), 1U);
  EXPECT_EQ(count(types, MessageType::kRescindChannelOffer), 1U);
  EXPECT_EQ(bus.open_sockets(), 1U) << "the listener alone is left";
}

// Row 162: bytes both ways, and a half-close leaves the other way alive.
TEST_P(Connection, CarriesBytesBothWaysAndSurvivesAHalfClose) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  EXPECT_EQ(guest.send("ping"), 4U);
  EXPECT_EQ(host.recv(), "ping");
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_TRUE(host.at_end());
  EXPECT_EQ(host.send("pong"), 4U);
  EXPECT_EQ(guest.recv(), "pong");
}

// Row 165, 166: shutdown(write) at either end is seen as end of file at the other.
TEST_P(Connection, ForwardsAShutdownOfEitherEnd) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  EXPECT_EQ(host.shutdown(SHUT_WR), 0);
  EXPECT_TRUE(guest.at_end());
  EXPECT_FALSE(guest.state().has(proto::kEndedPeerGone));
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_TRUE(host.at_end());
}

// Row 54, 66, 67, 163: the host's program goes away; the guest reads what was sent, then end of file.
TEST_P(Connection, EndsForTheGuestWhenTheHostCloses) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  host.send("last words");
  host.close();
  EXPECT_EQ(guest.recv(), "last words");
  EXPECT_TRUE(guest.at_end());
  EXPECT_TRUE(guest.state().has(proto::kEndedPeerGone));
  EXPECT_EQ(guest.state().so_error, 0);
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0) << "shutting a finished connection succeeds";
}

// Row 164: the guest's program goes away; the host reads what was sent, then end of file.
TEST_P(Connection, EndsForTheHostWhenTheGuestCloses) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  guest.send("last words");
  guest.close();
  EXPECT_EQ(host.recv(), "last words");
  EXPECT_TRUE(host.at_end());
  EXPECT_TRUE(host.state().has(proto::kEndedPeerGone));
}

TEST_P(Connection, DeliversMoreThanARingHoldsAfterTheWriterClosed) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  std::string sent;
  while (true) {
    const std::string block(10'000, static_cast<char>('a' + sent.size() % 26));
    const std::size_t taken = guest.send(block);
    sent.append(block, 0, taken);
    if (taken < block.size()) break;
  }
  EXPECT_GT(sent.size(), 256U * 1024) << "ring and carrier together hold more than a ring";
  guest.close();
  EXPECT_EQ(host.recv(), sent);
  EXPECT_TRUE(host.at_end());
  host.close();
  EXPECT_EQ(bus.open_sockets(), 1U);
}

// Each end blocked in send, one closes: the other's send must go on, and then it reads everything.
TEST_P(Connection, ClosedWithBothDirectionsFullDoesNotHoldUpThePeer) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  const std::string block(10'000, 'x');
  std::size_t sent = 0;
  while (guest.send(block) == block.size() && host.send(block) == block.size()) {
    sent += block.size();
  }
  while (guest.send(block) != 0 || host.send(block) != 0) continue;
  EXPECT_EQ(host.readiness() & POLLOUT, 0);
  guest.close();
  EXPECT_NE(host.readiness() & POLLOUT, 0);
  EXPECT_GE(host.recv().size(), sent);
  EXPECT_TRUE(host.at_end());
}

TEST_P(Connection, OfTheHostReachesAGuestListenerByCid) {
  TestSocket listener = guest_listener(7000);
  auto [host, guest] = bus.connect_pair(bus.socket("host"), listener, vsock(3, 7000));
  EXPECT_EQ(host.state().peer, vsock(3, 7000));
  EXPECT_EQ(guest.state().peer.cid, proto::kCidHost);
  EXPECT_EQ(guest.state().local, vsock(3, 7000));
  host.send("to the guest");
  EXPECT_EQ(guest.recv(), "to the guest");
}

TEST_P(Connection, OfAHyperVProgramReachesAGuestListenerByVmId) {
  TestSocket listener = guest_listener(7000);
  const auto target =
      proto::hyperv_address(bus.guest().config().vm_id, proto::service_id_of(proto::Port{7000}));
  auto [host, guest] = bus.connect_pair(bus.hyperv(), listener, target);
  EXPECT_EQ(host.state().peer, target);
  EXPECT_EQ(host.state().local.vm_id, proto::kHvGuidChildren);
  EXPECT_EQ(guest.state().peer.port.value, host.state().local.service_id.data1)
      << "the guest sees the low 32 bits of the host's endpoint";
}

TEST_P(Connection, OfAGuestShowsTheHyperVListenerTheVmId) {
  TestSocket listener = bus.hyperv();
  const auto service = proto::service_id_of(proto::Port{6000});
  ASSERT_EQ(listener.bind(proto::hyperv_address(proto::kHvGuidWildcard, service)), 0);
  ASSERT_EQ(listener.listen(), 0);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  const auto guest_service = proto::service_id_of(guest.state().local.port);
  EXPECT_EQ(host.state().peer, proto::hyperv_address(bus.guest().config().vm_id, guest_service));
}

// Case 145: the most specific listener gets the connection.
TEST_P(Connection, GoesToTheListenerForThisVmBeforeTheWildcard) {
  const auto service = proto::service_id_of(proto::Port{6000});
  TestSocket wildcard = bus.hyperv();
  ASSERT_EQ(wildcard.bind(proto::hyperv_address(proto::kHvGuidWildcard, service)), 0);
  ASSERT_EQ(wildcard.listen(), 0);
  TestSocket own = bus.hyperv();
  ASSERT_EQ(own.bind(proto::hyperv_address(bus.guest().config().vm_id, service)), 0);
  ASSERT_EQ(own.listen(), 0);
  TestSocket guest = bus.socket("guest");
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), 0);
  bus.settle();
  EXPECT_TRUE(own.accept().valid());
  EXPECT_FALSE(wildcard.accept().valid());
}

TEST_P(Connection, OfAnotherGuestPassesByAListenerForOneVm) {
  bus.add_guest("second");
  const auto service = proto::service_id_of(proto::Port{6000});
  TestSocket own = bus.hyperv();
  ASSERT_EQ(own.bind(proto::hyperv_address(bus.guest().config().vm_id, service)), 0);
  ASSERT_EQ(own.listen(), 0);
  TestSocket second = bus.socket("second");
  EXPECT_EQ(second.connect(vsock(kHostCid, 6000)), ECONNRESET);
}

TEST_P(Connection, BetweenGuestsDoesNotExist) {
  bus.add_guest("second");
  TestSocket listener = guest_listener(7000);
  TestSocket second = bus.socket("second");
  EXPECT_EQ(second.connect(vsock(3, 7000)), ENETUNREACH);
  EXPECT_EQ(second.connect(vsock(kHostCid, 7000)), ECONNRESET);
}

TEST_P(Connection, NobodyListensForFailsAtOnceByDefault) {
  EXPECT_EQ(bus.socket("guest").connect(vsock(kHostCid, 6001)), ECONNRESET);
  EXPECT_EQ(bus.socket("host").connect(vsock(3, 6001)), ECONNRESET);
  const auto target =
      proto::hyperv_address(bus.guest().config().vm_id, proto::service_id_of(proto::Port{6001}));
  EXPECT_EQ(bus.hyperv().connect(target), ECONNREFUSED);
  bus.settle();
  EXPECT_EQ(bus.guest().bus().status().channels, 0U) << "refused offers give their relids back";
}

TEST_P(Connection, RefusedWithoutBlockingLeavesTheErrorToBeRead) {
  TestSocket guest = bus.socket("guest");
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6001), true), EINPROGRESS);
  EXPECT_EQ(guest.readiness(), POLLOUT);
  EXPECT_EQ(bus.requests().take_error(guest.state()), ECONNRESET);
  EXPECT_EQ(bus.requests().take_error(guest.state()), 0);
}

// Case 101, 102, 250: a strict guest waits for its time limit and shows nothing meanwhile.
TEST_P(Connection, NobodyListensForTimesOutInStrict) {
  TestSocket guest = bus.socket("guest", proto::kFamilyVsock, "strict");
  guest.state().options.connect_timeout_us = 4000;
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6001)), EINPROGRESS);
  EXPECT_EQ(guest.readiness(), 0);
  bus.settle_until([&] { return guest.state().state == EndpointState::kFailed; });
  EXPECT_EQ(guest.readiness(), POLLOUT);
  EXPECT_EQ(bus.requests().take_error(guest.state()), ETIMEDOUT);
  EXPECT_GE(guest.state().local.port.value, 1024U);
}

// Case 103: the same socket connects once somebody listens.
TEST_P(Connection, SucceedsOnTheSameSocketAfterAFailure) {
  TestSocket guest = bus.socket("guest");
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), ECONNRESET);
  TestSocket listener = host_listener(6000);
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), 0);
}

// Case 106, 109, 112: the states that connect() tells apart.
TEST_P(Connection, RepeatedIsRefused) {
  TestSocket listener = host_listener(6000);
  TestSocket guest = bus.socket("guest");
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), EISCONN);
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), EINVAL);
  EXPECT_EQ(listener.connect(vsock(kHostCid, 6000)), EINVAL);
}

// Case 83: backlog 1 lets two wait; the third waits for room, and gets it.
TEST_P(Connection, WaitsForRoomInAFullBacklog) {
  TestSocket listener = host_listener(6000, 1);
  TestSocket first = bus.socket("guest");
  TestSocket second = bus.socket("guest");
  TestSocket third = bus.socket("guest");
  EXPECT_EQ(first.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(second.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(third.connect(vsock(kHostCid, 6000)), EINPROGRESS);
  EXPECT_TRUE(listener.accept().valid());
  bus.settle_until([&] { return third.state().state == EndpointState::kConnected; });
}

TEST_P(Connection, WaitsForRoomInAGuestsAndALoopbackBacklog) {
  TestSocket listener = guest_listener(7000, 0);
  TestSocket first = bus.socket("host");
  TestSocket second = bus.socket("host");
  TestSocket nearby = bus.socket("guest");
  EXPECT_EQ(first.connect(vsock(3, 7000)), 0);
  EXPECT_EQ(second.connect(vsock(3, 7000)), EINPROGRESS);
  EXPECT_EQ(nearby.connect(vsock(1, 7000)), EINPROGRESS);
  EXPECT_TRUE(listener.accept().valid());
  bus.settle_until([&] { return second.state().state == EndpointState::kConnected; });
  EXPECT_TRUE(listener.accept().valid());
  bus.settle_until([&] { return nearby.state().state == EndpointState::kConnected; });
}

// Case 88: both queued clients see end of file, not a reset.
TEST_P(Connection, QueuedAtAListenerThatClosesEndsCleanly) {
  TestSocket listener = host_listener(6000);
  TestSocket first = bus.socket("guest");
  TestSocket second = bus.socket("guest");
  EXPECT_EQ(first.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(second.connect(vsock(kHostCid, 6000)), 0);
  listener.close();
  EXPECT_TRUE(first.at_end());
  EXPECT_TRUE(second.at_end());
  EXPECT_EQ(first.state().so_error, 0);
}

TEST_P(Connection, WaitingForRoomFailsWhenTheListenerCloses) {
  TestSocket listener = host_listener(6000, 0);
  TestSocket first = bus.socket("guest");
  TestSocket second = bus.socket("guest");
  EXPECT_EQ(first.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(second.connect(vsock(kHostCid, 6000)), EINPROGRESS);
  listener.close();
  bus.settle_until([&] { return second.state().state == EndpointState::kFailed; });
  EXPECT_EQ(bus.requests().take_error(second.state()), ECONNRESET);
}

TEST_P(Connection, CancelledGivesItsChannelBack) {
  TestSocket listener = host_listener(6000, 0);
  TestSocket first = bus.socket("guest");
  TestSocket second = bus.socket("guest");
  EXPECT_EQ(first.connect(vsock(kHostCid, 6000)), 0);
  EXPECT_EQ(second.connect(vsock(kHostCid, 6000)), EINPROGRESS);
  EXPECT_EQ(bus.requests().cancel_connect(second.state()), 0);
  first.close();
  second.close();
  while (listener.accept().valid()) bus.settle();
  bus.settle();
  EXPECT_EQ(bus.guest().bus().status().channels, 0U);
  EXPECT_EQ(bus.open_sockets(), 1U);
}

// Case 120, 121: CID 1, the own CID and CID_ANY are the guest itself.
TEST_P(Connection, InsideAPartitionNeedsNoChannel) {
  TestSocket listener = guest_listener(7000);
  for (const std::uint32_t cid : {1U, 3U, kAnyCid}) {
    auto [near, far] = bus.connect_pair(bus.socket("guest"), listener, vsock(cid, 7000));
    near.send("hello");
    EXPECT_EQ(far.recv(), "hello");
    far.send("you");
    far.close();
    EXPECT_EQ(near.recv(), "you");
    EXPECT_TRUE(near.at_end());
  }
  EXPECT_EQ(crossed(bus.messages()).size(), 0U);
}

// Case 97, 98, 99: what Windows shows on its loopback.
TEST_P(Connection, OnTheHostsLoopbackHasWindowsNames) {
  const auto service = proto::service_id_of(proto::Port{6000});
  const auto address = proto::hyperv_address(proto::kHvGuidLoopback, service);
  TestSocket listener = bus.hyperv();
  ASSERT_EQ(listener.bind(address), 0);
  ASSERT_EQ(listener.listen(), 0);
  auto [client, server] = bus.connect_pair(bus.hyperv(), listener, address);
  EXPECT_EQ(client.state().local.vm_id, proto::kHvGuidChildren);
  EXPECT_EQ(client.state().peer, address);
  EXPECT_EQ(server.state().peer,
            proto::hyperv_address(proto::kHvGuidLoopback, client.state().local.service_id));
  client.send("hello");
  EXPECT_EQ(server.recv(), "hello");
}

TEST_P(Connection, OfAnAutoProgramReachesItsOwnListenerThroughCid2) {
  TestSocket listener = bus.socket();
  ASSERT_EQ(listener.bind(vsock(kAnyCid, 7000)), 0);
  ASSERT_EQ(listener.listen(), 0);
  auto [near, far] = bus.connect_pair(bus.socket(), listener, vsock(kHostCid, 7000));
  near.send("hello");
  EXPECT_EQ(far.recv(), "hello");
}

// Case 256, 257: no OUT after SHUT_WR; HUP after both.
TEST_P(Connection, ShowsItsOwnShutdownInReadiness) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  EXPECT_EQ(guest.readiness(), POLLOUT);
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_EQ(guest.readiness(), 0);
  EXPECT_EQ(guest.shutdown(SHUT_RD), 0);
  bus.settle();
  EXPECT_EQ(guest.readiness(), POLLIN | POLLRDHUP | POLLHUP);
  EXPECT_EQ(bus.open_sockets(), 3U) << "both directions shut is not a close";
}

// Case 259: a peer's full close shows no HUP.
TEST_P(Connection, ShowsThePeersCloseWithoutHup) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  host.close();
  EXPECT_EQ(guest.readiness(), POLLIN | POLLRDHUP | POLLOUT);
}

TEST_P(Connection, KeepsWhatWasQueuedBeforeAShutdown) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  // Sent and shut before the daemon looks: the bytes are still in the carrier.
  ASSERT_EQ(::send(guest.a(), "queued", 6, MSG_NOSIGNAL), 6);
  EXPECT_EQ(guest.shutdown(SHUT_WR), 0);
  EXPECT_EQ(host.recv(), "queued");
  EXPECT_TRUE(host.at_end());
}

TEST_P(Connection, ToARemovedGuestIsReset) {
  Guest& second = bus.add_guest("second");
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("second"), listener, vsock(kHostCid, 6000));
  host.send("before");
  second.removed = true;
  bus.sockets().host().reset_all(second.bus());
  bus.sockets().settle_buses();
  bus.sockets().end_guest(second);
  second.bus().guest_unload();
  EXPECT_EQ(guest.recv(), "before");
  EXPECT_TRUE(guest.at_end());
  EXPECT_TRUE(host.state().has(proto::kEndedReset));
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), EISCONN);
}

// Row 159: a result for another service, or another endpoint, is not this connect's.
TEST_P(Connection, IsRefusedByItsOwnResultAlone) {
  TestSocket waiting = bus.socket("guest", proto::kFamilyVsock, "strict");
  EXPECT_EQ(waiting.connect(vsock(kHostCid, 6001)), EINPROGRESS);
  const proto::Guid endpoint = waiting.state().attempt->endpoint;
  const proto::Guid service = waiting.state().attempt->service;
  const auto refused = static_cast<std::int32_t>(proto::kStatusConnectionRefused.value);
  GuestDriver& driver = bus.guest().driver();
  waiting.state().profile = std::make_shared<const Profile>();
  driver.on_tl_connect_result(bus.guest().bus(), endpoint, proto::service_id_of(proto::Port{1}),
                              refused);
  driver.on_tl_connect_result(bus.guest().bus(), proto::service_id_of(proto::Port{1}), service,
                              refused);
  driver.on_tl_connect_result(bus.guest().bus(), endpoint, service, 0);
  EXPECT_EQ(waiting.state().state, EndpointState::kConnecting);
  driver.on_tl_connect_result(bus.guest().bus(), endpoint, service, refused);
  EXPECT_EQ(waiting.state().state, EndpointState::kFailed);
}

// Row 160: an offer that matches no connect is not opened, nor one for a connect already served.
TEST_P(Connection, IsOpenedForAMatchingOfferOnce) {
  TestSocket listener = host_listener(6000);
  auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
  HvsockOffer offer;
  offer.relid = proto::Relid{99};
  offer.service = proto::service_id_of(proto::Port{6000});
  for (const std::uint32_t beyond : {0U, 1U}) {
    offer.endpoint = proto::service_id_of(proto::Port{guest.state().local.port.value + beyond});
    bus.guest().driver().on_offer(bus.guest().bus(), offer);
    bus.settle();
  }
  EXPECT_EQ(count(crossed(bus.messages()), MessageType::kOpenChannel), 1U);
  EXPECT_EQ(guest.send("still connected"), 15U);
  EXPECT_EQ(host.recv(), "still connected");
}

// Row 175: a service that is no vsock port has no listener in a guest.
TEST_P(Connection, ToAServiceThatIsNoPortIsRefused) {
  TestSocket listener = guest_listener(7000);
  proto::Guid service = proto::service_id_of(proto::Port{7000});
  service.data4[7] ^= 1;
  const auto target = proto::hyperv_address(bus.guest().config().vm_id, service);
  EXPECT_EQ(bus.hyperv().connect(target), ECONNREFUSED);
}

// A close is over when close() returns, whether or not the loop has turned.
TEST_P(Connection, ToAListenerThatJustClosedIsRefused) {
  TestSocket listener = host_listener(6000);
  TestSocket guest = bus.socket("guest");
  TestSocket successor = bus.socket("host");
  listener = TestSocket(bus, OwnedFd());
  EXPECT_EQ(guest.connect(vsock(kHostCid, 6000)), ECONNRESET);
  EXPECT_EQ(successor.bind(vsock(kHostCid, 6000)), 0);
}

// 100,000 by hand (VMBUS_TEST_CONNECTIONS); enough here to see a leak of one page a connection.
TEST_P(Connection, LeavesNothingBehind) {
  const char* wanted = std::getenv("VMBUS_TEST_CONNECTIONS");
  const int rounds = wanted != nullptr ? std::atoi(wanted) : 500;
  TestSocket listener = host_listener(6000);
  std::uint64_t memory_after_first = 0;
  for (int i = 0; i < rounds; ++i) {
    auto [guest, host] = bus.connect_pair(bus.socket("guest"), listener, vsock(kHostCid, 6000));
    guest.send("x");
    EXPECT_EQ(host.recv(), "x");
    guest.close();
    host.close();
    bus.settle();
    if (i == 0) memory_after_first = bus.guest().bus().status().memory_in_use_bytes;
  }
  EXPECT_EQ(bus.guest().bus().status().channels, 0U);
  EXPECT_EQ(bus.guest().bus().status().memory_in_use_bytes, memory_after_first);
  EXPECT_EQ(bus.open_sockets(), 1U);
}

}  // namespace
}  // namespace vmbus::emu
