#include "shim/verdict.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace vmbus::shim {
namespace {

using proto::Endpoint;
using proto::EndpointState;

Endpoint connected(int family = kAfVsock) {
  Endpoint endpoint{};
  endpoint.family = static_cast<std::uint16_t>(family);
  endpoint.type = SOCK_STREAM;
  endpoint.state = EndpointState::kConnected;
  endpoint.receive_low_water = 1;
  return endpoint;
}

Endpoint connected_and(unsigned ended, int family = kAfVsock) {
  Endpoint endpoint = connected(family);
  endpoint.ended = static_cast<std::uint8_t>(ended);
  return endpoint;
}

Endpoint obeying(unsigned quirks, int family = kAfVsock) {
  Endpoint endpoint = connected(family);
  endpoint.quirks = quirks;
  return endpoint;
}

Endpoint in_state(EndpointState state, int family = kAfVsock) {
  Endpoint endpoint = connected(family);
  endpoint.state = state;
  return endpoint;
}

TEST(ReceiveVerdict, ConnectedAsksTheKernel) {
  EXPECT_EQ(receive_verdict(connected(), 0, 100), kAskKernel);
  EXPECT_EQ(receive_verdict(connected(), MSG_PEEK, 100), kAskKernel);
}

TEST(SendVerdict, ARecordIsNoLongerThanThePeersBuffer) {
  Endpoint records = connected();
  records.type = SOCK_SEQPACKET;
  records.peer_buffer_size = 1000;
  EXPECT_EQ(send_verdict(records, 0, 1000, false), kAskKernel);
  EXPECT_EQ(send_verdict(records, 0, 1001, false), -EMSGSIZE);
  EXPECT_EQ(receive_verdict(records, MSG_WAITALL, 100'000), kAskKernel);
}

TEST(SendVerdict, ZerocopyIsForTransportsThatHaveIt) {
  EXPECT_EQ(send_verdict(obeying(proto::kQuirkZerocopy), MSG_ZEROCOPY, 1, false), kAskKernel);
}

TEST(ReceiveVerdict, NotConnectedInEveryOtherState) {
  for (const auto state : {EndpointState::kFresh, EndpointState::kBound, EndpointState::kListening,
                           EndpointState::kConnecting, EndpointState::kFailed}) {
    EXPECT_EQ(receive_verdict(in_state(state), 0, 1), -ENOTCONN);
  }
}

TEST(ReceiveVerdict, ErrorQueueComesFirst) {
  EXPECT_EQ(receive_verdict(in_state(EndpointState::kFresh), MSG_ERRQUEUE, 1), -EAGAIN);
}

TEST(ReceiveVerdict, NotConnectedComesBeforeOutOfBand) {
  EXPECT_EQ(receive_verdict(in_state(EndpointState::kFresh), MSG_OOB, 1), -ENOTCONN);
  EXPECT_EQ(receive_verdict(connected(), MSG_OOB, 1), -EOPNOTSUPP);
}

TEST(ReceiveVerdict, OwnShutdownIsEndOfFileEvenWithDataQueued) {
  EXPECT_EQ(receive_verdict(connected_and(proto::kEndedLocalRead), 0, 100), 0);
}

TEST(ReceiveVerdict, PeersEndLetsTheQueueBeRead) {
  EXPECT_EQ(receive_verdict(connected_and(proto::kEndedPeerGone), 0, 100), kAskKernel);
  EXPECT_EQ(receive_verdict(connected_and(proto::kEndedReset), 0, 100), kAskKernel);
}

TEST(ReceiveVerdict, NoBytesWantedIsZero) {
  EXPECT_EQ(receive_verdict(connected(), 0, 0), 0);
  EXPECT_EQ(receive_verdict(in_state(EndpointState::kBound), 0, 0), -ENOTCONN);
}

TEST(ReceiveVerdict, InsistingOnMoreThanHvSockHoldsIsOutOfMemory) {
  EXPECT_EQ(receive_verdict(connected(), MSG_WAITALL, 16384), kAskKernel);
  EXPECT_EQ(receive_verdict(connected(), MSG_WAITALL, 16385), -ENOMEM);
  EXPECT_EQ(receive_verdict(connected(), 0, 16385), kAskKernel);
  EXPECT_EQ(receive_verdict(connected(kAfHyperv), MSG_WAITALL, 16385), kAskKernel);
}

TEST(ReceiveVerdict, LowWaterMarkCountsAsInsisting) {
  Endpoint endpoint = connected();
  endpoint.receive_low_water = 20000;
  EXPECT_EQ(receive_verdict(endpoint, 0, 30000), -ENOMEM);
  EXPECT_EQ(receive_verdict(endpoint, 0, 100), kAskKernel);
}

TEST(ReceiveVerdict, WindowsRefusesToPeekForAll) {
  EXPECT_EQ(receive_verdict(connected(kAfHyperv), MSG_PEEK | MSG_WAITALL, 10), -EOPNOTSUPP);
  EXPECT_EQ(receive_verdict(connected(), MSG_PEEK | MSG_WAITALL, 10), kAskKernel);
}

TEST(ReceiveVerdict, FreshFreeBsdSocketIsAnInputError) {
  EXPECT_EQ(receive_verdict(in_state(EndpointState::kFresh, kAfHypervFreeBsd), 0, 1), -EIO);
}

TEST(ReceiveVerdict, NoBytesWantedCanBeInvalid) {
  for (const int family : {kAfVsock, kAfHypervFreeBsd}) {
    EXPECT_EQ(receive_verdict(connected(family), 0, 0), 0);
    EXPECT_EQ(receive_verdict(obeying(proto::kQuirkEmptyIsInvalid, family), 0, 0), -EINVAL);
  }
}

TEST(ReceiveVerdict, PeekingIsRefusedAtOnceWhereTheRuleSaysSo) {
  for (const int family : {kAfVsock, kAfHypervFreeBsd}) {
    const unsigned at_once = proto::kQuirkNoPeek | proto::kQuirkNoPeekAtOnce;
    EXPECT_EQ(receive_verdict(obeying(at_once, family), MSG_PEEK, 1), -EOPNOTSUPP);
    EXPECT_EQ(receive_verdict(obeying(proto::kQuirkNoPeek, family), MSG_PEEK, 1), kAskKernel);
  }
}

TEST(ReceiveVerdict, InsistingDependsOnTheTransport) {
  Endpoint virtio = obeying(proto::kQuirkWaitallBuffer);
  virtio.buffer_size = 262144;
  EXPECT_EQ(receive_verdict(virtio, MSG_WAITALL, 262143), kAskKernel);
  EXPECT_EQ(receive_verdict(virtio, MSG_WAITALL, 262144), -ENOMEM);
  EXPECT_EQ(receive_verdict(obeying(proto::kQuirkWaitallAny), MSG_WAITALL, 1 << 30), kAskKernel);
}

TEST(ReceiveVerdict, OwnShutdownCanBeAnError) {
  Endpoint endpoint = obeying(proto::kQuirkShutReadIsError, kAfHyperv);
  endpoint.ended = proto::kEndedLocalRead;
  EXPECT_EQ(receive_verdict(endpoint, 0, 1), -ESHUTDOWN);
}

TEST(ReceiveVerdict, AForgottenConnectionIsNone) {
  const unsigned ended = proto::kEndedPeerGone | proto::kEndedPeerWrite | proto::kEndedForgotten;
  EXPECT_EQ(receive_verdict(connected_and(ended | proto::kEndedLocalRead), 0, 1), -ENOTCONN);
}

TEST(SendVerdict, ConnectedAsksTheKernel) {
  EXPECT_EQ(send_verdict(connected(), 0, 1, false), kAskKernel);
}

TEST(SendVerdict, OutOfBandComesFirst) {
  EXPECT_EQ(send_verdict(in_state(EndpointState::kFresh), MSG_OOB, 1, true), -EOPNOTSUPP);
}

TEST(SendVerdict, AnAddressIsJudgedBeforeTheState) {
  EXPECT_EQ(send_verdict(connected(), 0, 1, true), -EISCONN);
  EXPECT_EQ(send_verdict(in_state(EndpointState::kFresh), 0, 1, true), -EOPNOTSUPP);
}

TEST(SendVerdict, NotConnectedEvenForNoBytes) {
  EXPECT_EQ(send_verdict(in_state(EndpointState::kFresh), 0, 0, false), -ENOTCONN);
  EXPECT_EQ(send_verdict(in_state(EndpointState::kConnecting), 0, 1, false), -ENOTCONN);
}

TEST(SendVerdict, BrokenPipeAfterOwnShutdownOrWithoutPeer) {
  EXPECT_EQ(send_verdict(connected_and(proto::kEndedLocalWrite), 0, 1, false), -EPIPE);
  EXPECT_EQ(send_verdict(connected_and(proto::kEndedPeerGone), 0, 0, false), -EPIPE);
}

TEST(SendVerdict, PeersFinDoesNotStopSending) {
  EXPECT_EQ(send_verdict(connected_and(proto::kEndedPeerWrite), 0, 1, false), kAskKernel);
}

TEST(SendVerdict, PeersFinStopsSendingWhereTheRuleSaysSo) {
  for (const int family : {kAfVsock, kAfHypervFreeBsd}) {
    Endpoint endpoint = obeying(proto::kQuirkNoSendAfterFin, family);
    EXPECT_EQ(send_verdict(endpoint, 0, 1, false), kAskKernel);
    endpoint.ended = proto::kEndedPeerWrite;
    EXPECT_EQ(send_verdict(endpoint, 0, 1, false), -EPIPE);
  }
}

TEST(SendVerdict, BrokenPipeOnceThePeerIsKnownNotToRead) {
  EXPECT_EQ(send_verdict(connected_and(proto::kEndedPeerRead), 0, 1, false), -EPIPE);
  EXPECT_EQ(broken_send(connected_and(proto::kEndedPeerRead)), -EPIPE);
}

TEST(SendVerdict, TornDownIsReset) {
  const unsigned both = proto::kEndedReset | proto::kEndedPeerGone;
  EXPECT_EQ(send_verdict(connected_and(both), 0, 1, false), -ECONNRESET);
  EXPECT_EQ(send_verdict(connected_and(both | proto::kEndedLocalWrite), 0, 1, false), -EPIPE);
}

TEST(SendVerdict, ZeroCopyIsRefusedAndNothingIsNothing) {
  EXPECT_EQ(send_verdict(connected(), MSG_ZEROCOPY, 1, false), -EOPNOTSUPP);
  EXPECT_EQ(send_verdict(connected(), 0, 0, false), 0);
  EXPECT_EQ(send_verdict(connected(kAfHypervFreeBsd), 0, 0, false), 0);
  EXPECT_EQ(send_verdict(obeying(proto::kQuirkEmptyIsInvalid), 0, 0, false), -EINVAL);
}

TEST(EndOfStream, IsEndOfFileWhenTheTableExplainsIt) {
  EXPECT_EQ(end_of_stream(connected_and(proto::kEndedPeerWrite)), 0);
  EXPECT_EQ(end_of_stream(connected_and(proto::kEndedPeerGone)), 0);
  EXPECT_EQ(end_of_stream(connected_and(proto::kEndedLocalRead)), 0);
}

TEST(EndOfStream, IsResetWhenTornDownOrUnexplained) {
  EXPECT_EQ(end_of_stream(connected_and(proto::kEndedReset | proto::kEndedPeerGone)), -ECONNRESET);
  EXPECT_EQ(end_of_stream(connected()), -ECONNRESET);
}

TEST(BrokenSend, IsResetUnlessTheTableExplainsIt) {
  EXPECT_EQ(broken_send(connected()), -ECONNRESET);
  EXPECT_EQ(broken_send(connected_and(proto::kEndedPeerGone)), -EPIPE);
  EXPECT_EQ(broken_send(connected_and(proto::kEndedLocalWrite)), -EPIPE);
  EXPECT_EQ(broken_send(connected_and(proto::kEndedReset)), -ECONNRESET);
}

}  // namespace
}  // namespace vmbus::shim
