#include "shim/option_table.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdint>

#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

using proto::Endpoint;
using proto::EndpointState;

constexpr int kRaw = 1;  // HV_PROTOCOL_RAW, and SOL_SOCKET

Endpoint fresh(int family = kAfVsock) {
  Endpoint endpoint{};
  endpoint.family = static_cast<std::uint16_t>(family);
  endpoint.type = SOCK_STREAM;
  endpoint.state = EndpointState::kFresh;
  endpoint.send_buffer = 212992;
  endpoint.receive_buffer = 212992;
  endpoint.receive_low_water = 1;
  endpoint.buffer_size = 262144;
  endpoint.buffer_min_size = 128;
  endpoint.buffer_max_size = 262144;
  endpoint.connect_timeout_us = 2'500'000;
  endpoint.hv_connect_timeout_ms = 2000;
  return endpoint;
}

Endpoint connected(int family = kAfVsock) {
  Endpoint endpoint = fresh(family);
  endpoint.state = EndpointState::kConnected;
  return endpoint;
}

template <typename T>
T value_of(const GetPlan& plan) {
  EXPECT_EQ(plan.value.size, sizeof(T));
  T value{};
  std::memcpy(&value, plan.value.bytes.data(), sizeof value);
  return value;
}

int read_int(const Endpoint& endpoint, int option) {
  const GetPlan plan = plan_get(endpoint, SOL_SOCKET, option);
  EXPECT_EQ(plan.kind, GetPlan::kValue);
  return value_of<int>(plan);
}

int get_error(const Endpoint& endpoint, int level, int option) {
  const GetPlan plan = plan_get(endpoint, level, option);
  return plan.kind == GetPlan::kRefuse ? plan.error : 0;
}

int set_error(const Endpoint& endpoint, int level, int option) {
  const SetPlan plan = plan_set(endpoint, level, option);
  return plan.kind == SetPlan::kRefuse ? plan.error : 0;
}

// What becomes of setting a 32-bit option to `value`.
struct Settled {
  SetPlan plan;
  int error;
  std::int32_t value;
};
Settled settle(const Endpoint& endpoint, int level, int option, std::int32_t value) {
  Settled result{plan_set(endpoint, level, option), 0, value};
  result.error = settle_value(endpoint, &result.plan, &result.value);
  return result;
}

TEST(GetOption, NeverShowsTheCarrier) {
  EXPECT_EQ(read_int(fresh(), SO_DOMAIN), kAfVsock);
  EXPECT_EQ(read_int(fresh(), SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(read_int(fresh(), SO_PROTOCOL), 0);
  EXPECT_EQ(read_int(fresh(), SO_SNDBUF), 212992);
  const auto peer = value_of<ucred>(plan_get(fresh(), SOL_SOCKET, SO_PEERCRED));
  EXPECT_EQ(peer.pid, 0);
  EXPECT_EQ(peer.uid, static_cast<uid_t>(-1));
  EXPECT_EQ(value_of<std::uint64_t>(plan_get(fresh(), SOL_SOCKET, SO_MAX_PACING_RATE)),
            ~std::uint64_t{0});
}

TEST(GetOption, AcceptConnOnlyWhileListening) {
  Endpoint endpoint = fresh();
  EXPECT_EQ(read_int(endpoint, SO_ACCEPTCONN), 0);
  endpoint.state = EndpointState::kListening;
  EXPECT_EQ(read_int(endpoint, SO_ACCEPTCONN), 1);
}

TEST(GetOption, SocketErrorIsTaken) {
  EXPECT_EQ(plan_get(fresh(), SOL_SOCKET, SO_ERROR).kind, GetPlan::kTakeError);
  EXPECT_EQ(plan_get(fresh(kAfHyperv), SOL_SOCKET, SO_ERROR).kind, GetPlan::kTakeError);
}

TEST(GetOption, TimeoutsAndLingerAreTheCarriersOwn) {
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER, SO_COOKIE}) {
    EXPECT_EQ(plan_get(fresh(), SOL_SOCKET, option).kind, GetPlan::kAskKernel) << option;
  }
}

TEST(GetOption, BuffersOfVsockAreEightBytesWhole) {
  const GetPlan plan = plan_get(fresh(), AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE);
  EXPECT_EQ(plan.kind, GetPlan::kWhole);
  EXPECT_EQ(value_of<std::uint64_t>(plan), 262144U);
}

TEST(GetOption, BothConnectTimeoutsReadOneValue) {
  for (const int option : {6, 8}) {
    const auto value = value_of<timeval>(plan_get(fresh(), AF_VSOCK, option));
    EXPECT_EQ(value.tv_sec, 2);
    EXPECT_EQ(value.tv_usec, 500'000);
  }
}

TEST(GetOption, UnknownOnesOfVsockAndOtherLevelsAreNoOptions) {
  for (const int option : {3, 4, 5, 7, 9}) {
    EXPECT_EQ(get_error(fresh(), AF_VSOCK, option), ENOPROTOOPT) << option;
    EXPECT_EQ(set_error(fresh(), AF_VSOCK, option), ENOPROTOOPT) << option;
  }
  EXPECT_EQ(get_error(fresh(), 6, 1), ENOPROTOOPT);  // IPPROTO_TCP, TCP_NODELAY
  EXPECT_EQ(set_error(fresh(), 6, 1), ENOPROTOOPT);
  EXPECT_EQ(get_error(fresh(kAfHyperv), AF_VSOCK, 0), ENOPROTOOPT);
}

TEST(GetOption, RefusalsOfSocketLevel) {
  EXPECT_EQ(get_error(fresh(), SOL_SOCKET, SO_PEERSEC), ENOPROTOOPT);
  EXPECT_EQ(get_error(fresh(), SOL_SOCKET, SO_PEEK_OFF), EOPNOTSUPP);
  EXPECT_EQ(get_error(fresh(), SOL_SOCKET, SO_PEERGROUPS), ENODATA);
}

TEST(SetOption, ReadOnlyOnes) {
  for (const int option : {SO_TYPE, SO_DOMAIN, SO_PROTOCOL, SO_ERROR, SO_SNDLOWAT}) {
    EXPECT_EQ(set_error(fresh(), SOL_SOCKET, option), ENOPROTOOPT) << option;
  }
  EXPECT_EQ(set_error(fresh(), SOL_SOCKET, SO_PASSCRED), EOPNOTSUPP);
  EXPECT_EQ(set_error(fresh(), SOL_SOCKET, SO_PEEK_OFF), EOPNOTSUPP);
}

TEST(SetOption, OldLinuxStoresPassCred) {
  proto::Endpoint old = fresh();
  old.quirks = proto::kQuirkKeepsPassCred;
  EXPECT_EQ(plan_set(old, SOL_SOCKET, SO_PASSCRED).kind, SetPlan::kAskDaemon);
}

TEST(SetOption, SendBufferNeverReachesTheCarrier) {
  for (const int option : {SO_SNDBUF, SO_SNDBUFFORCE}) {
    const SetPlan plan = plan_set(fresh(), SOL_SOCKET, option);
    EXPECT_EQ(plan.kind, SetPlan::kAskDaemon);
    EXPECT_EQ(plan.option, SO_SNDBUF);
  }
}

TEST(SetOption, PacingRateNeverReachesTheCarrier) {
  EXPECT_EQ(plan_set(fresh(), SOL_SOCKET, SO_MAX_PACING_RATE).kind, SetPlan::kIgnore);
}

TEST(SetOption, ReusePortCanOnlyBeOff) {
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_REUSEPORT, 0).error, 0);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_REUSEPORT, 1).error, EOPNOTSUPP);
}

TEST(SetOption, BooleansBecomeOne) {
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_KEEPALIVE, 17).value, 1);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_KEEPALIVE, 0).value, 0);
}

TEST(SetOption, LowWaterMarkHasTheBufferAsCeiling) {
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_RCVLOWAT, 5000).error, 0);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_RCVLOWAT, 0).value, 1);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_RCVLOWAT, 262145).error, EINVAL);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_RCVLOWAT, -1).error, EINVAL);
  EXPECT_EQ(set_error(connected(), SOL_SOCKET, SO_RCVLOWAT), EOPNOTSUPP);
  Endpoint virtio = connected();
  virtio.quirks = proto::kQuirkKeepsLowWater;
  EXPECT_EQ(set_error(virtio, SOL_SOCKET, SO_RCVLOWAT), 0);
}

TEST(SetOption, ZeroCopyIsABooleanBeforeConnecting) {
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_ZEROCOPY, 1).error, 0);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_ZEROCOPY, 2).error, EINVAL);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_ZEROCOPY, -1).error, EINVAL);
  EXPECT_EQ(set_error(connected(), SOL_SOCKET, SO_ZEROCOPY), EOPNOTSUPP);
}

TEST(SetOption, PriorityAboveSixNeedsPrivilege) {
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_PRIORITY, 6).error, 0);
  EXPECT_EQ(settle(fresh(), SOL_SOCKET, SO_PRIORITY, 7).error, EPERM);
}

TEST(SetOption, ConnectTimeoutOutOfRange) {
  SetPlan plan = plan_set(fresh(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD);
  ASSERT_EQ(plan.size, sizeof(timeval));
  timeval value{-1, 0};
  EXPECT_EQ(settle_value(fresh(), &plan, &value), ERANGE);
  value = {0, 1'000'000};
  EXPECT_EQ(settle_value(fresh(), &plan, &value), ERANGE);
  value = {5, 0};
  EXPECT_EQ(settle_value(fresh(), &plan, &value), 0);
}

TEST(HyperVOption, NumberOneIsTheConnectTimeout) {
  const Endpoint endpoint = fresh(kAfHyperv);
  EXPECT_EQ(value_of<std::uint32_t>(plan_get(endpoint, kRaw, 1)), 2000U);
  const Settled legal = settle(endpoint, kRaw, 1, 300000);
  EXPECT_EQ(legal.plan.level, kAfHyperv);
  EXPECT_EQ(legal.error, 0);
  EXPECT_EQ(settle(endpoint, kRaw, 1, 300001).error, EINVAL);
}

TEST(HyperVOption, NumberFourIsSuspendWhenSet) {
  const Settled suspend = settle(fresh(kAfHyperv), kRaw, 4, 1);
  EXPECT_EQ(suspend.plan.level, kAfHyperv);
  EXPECT_EQ(suspend.plan.option, 4);
  EXPECT_EQ(suspend.error, 0);
}

TEST(HyperVOption, NumberEightDependsOnTheValue) {
  EXPECT_EQ(settle(fresh(kAfHyperv), kRaw, 8, 1).plan.level, kAfHyperv);
  const Settled buffer = settle(fresh(kAfHyperv), kRaw, 8, 65536);
  EXPECT_EQ(buffer.plan.level, SOL_SOCKET);
  EXPECT_EQ(buffer.plan.option, SO_RCVBUF);
  EXPECT_EQ(buffer.value, 65536);
}

TEST(HyperVOption, NumberTwoIsReuseAddress) {
  const SetPlan plan = plan_set(fresh(kAfHyperv), kRaw, 2);
  EXPECT_EQ(plan.level, SOL_SOCKET);
  EXPECT_EQ(plan.option, SO_REUSEADDR);
}

TEST(HyperVOption, NumberOneOfVsockIsDebug) {
  EXPECT_EQ(plan_get(fresh(), SOL_SOCKET, SO_DEBUG).kind, GetPlan::kAskKernel);
}

}  // namespace
}  // namespace vmbus::shim
