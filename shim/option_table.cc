#include "shim/option_table.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdint>
#include <limits>

#include "shim/verdict.h"

// Newer than Debian 12's headers.
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

namespace vmbus::shim {
namespace {

using proto::Endpoint;
using proto::EndpointState;

// Bits of Endpoint::stored_options.
constexpr std::uint32_t kStoredReuseAddr = 1;
constexpr std::uint32_t kStoredKeepAlive = 2;
constexpr std::uint32_t kStoredBroadcast = 4;
constexpr std::uint32_t kStoredOobInline = 8;
constexpr std::uint32_t kStoredPassCred = 32;

// HVSOCKET_ options of AF_HYPERV sockets, at level HV_PROTOCOL_RAW.
constexpr int kHvProtocolRaw = 1;
constexpr int kHvConnectTimeout = 1;
constexpr int kHvConnectedSuspend = 4;
constexpr int kHvHighVtl = 8;
constexpr std::uint32_t kHvConnectTimeoutMaxMs = 300000;

constexpr int kHighestUnprivilegedPriority = 6;
constexpr std::int64_t kMicrosecondsPerSecond = 1'000'000;

GetPlan value_plan(const OptionValue& value) { return {GetPlan::kValue, 0, value}; }
GetPlan int_plan(std::int64_t value) {
  return value_plan(OptionValue::of(static_cast<std::int32_t>(value)));
}
GetPlan refuse_get(int error) { return {GetPlan::kRefuse, error, {}}; }
GetPlan bit_plan(std::uint32_t bits, std::uint32_t bit) { return int_plan((bits & bit) != 0); }

timeval to_timeval(std::uint64_t microseconds) {
  timeval value{};
  value.tv_sec = static_cast<time_t>(microseconds / kMicrosecondsPerSecond);
  value.tv_usec = static_cast<suseconds_t>(microseconds % kMicrosecondsPerSecond);
  return value;
}

// ---- get
// -------------------------------------------------------------------------------------------------

GetPlan plan_get_socket(const Endpoint& endpoint, int option) {
  switch (option) {
    case SO_TYPE:
      return int_plan(endpoint.type);
    case SO_DOMAIN:
      return int_plan(endpoint.family);
    case SO_PROTOCOL:
      return int_plan(endpoint.protocol);
    case SO_ERROR:
      return {GetPlan::kTakeError, 0, {}};
    case SO_ACCEPTCONN:
      return int_plan(endpoint.state == EndpointState::kListening);
    case SO_SNDBUF:
      return int_plan(endpoint.send_buffer);
    case SO_RCVBUF:
      return int_plan(endpoint.receive_buffer);
    case SO_RCVLOWAT:
      return int_plan(endpoint.receive_low_water);
    case SO_SNDLOWAT:
      return int_plan(1);
    case SO_REUSEADDR:
      return bit_plan(endpoint.stored_options, kStoredReuseAddr);
    case SO_KEEPALIVE:
      return bit_plan(endpoint.stored_options, kStoredKeepAlive);
    case SO_BROADCAST:
      return bit_plan(endpoint.stored_options, kStoredBroadcast);
    case SO_OOBINLINE:
      return bit_plan(endpoint.stored_options, kStoredOobInline);
    case SO_ZEROCOPY:
      return bit_plan(endpoint.stored_options, kStoredZeroCopy);
    case SO_PRIORITY:
      return int_plan(endpoint.priority);
    case SO_PASSCRED:
      return bit_plan(endpoint.stored_options, kStoredPassCred);
    case SO_REUSEPORT:
    case SO_PASSSEC:
      return int_plan(0);
    case SO_PEERCRED: {
      constexpr auto kNobody = std::numeric_limits<std::uint32_t>::max();
      return value_plan(OptionValue::of(ucred{0, kNobody, kNobody}));
    }
    case SO_MAX_PACING_RATE:  // A's holds the carrier's tag
      return value_plan(OptionValue::of(std::numeric_limits<std::uint64_t>::max()));
    case SO_PEERSEC:
      return refuse_get(ENOPROTOOPT);
    case SO_PEERGROUPS:
    case SO_PEERPIDFD:
      return refuse_get(ENODATA);
    case SO_PEEK_OFF:
    case SO_PASSPIDFD:
    case SO_PASSRIGHTS:
      return refuse_get(EOPNOTSUPP);
    default:
      return {};
  }
}

GetPlan plan_get_vsock(const Endpoint& endpoint, int option) {
  switch (option) {
    case SO_VM_SOCKETS_BUFFER_SIZE:
      return {GetPlan::kWhole, 0, OptionValue::of(endpoint.buffer_size)};
    case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
      return {GetPlan::kWhole, 0, OptionValue::of(endpoint.buffer_min_size)};
    case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
      return {GetPlan::kWhole, 0, OptionValue::of(endpoint.buffer_max_size)};
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
      return {GetPlan::kWhole, 0, OptionValue::of(to_timeval(endpoint.connect_timeout_us))};
    default:
      return refuse_get(ENOPROTOOPT);
  }
}

// ---- set
// -------------------------------------------------------------------------------------------------

SetPlan refuse_set(int error) { return {SetPlan::kRefuse, error, 0, 0, 0}; }
SetPlan ask_daemon(int level, int option, std::size_t size) {
  return {SetPlan::kAskDaemon, 0, level, option, size};
}

SetPlan plan_set_socket(const Endpoint& endpoint, int option) {
  switch (option) {
    case SO_TYPE:
    case SO_DOMAIN:
    case SO_PROTOCOL:
    case SO_ERROR:
    case SO_ACCEPTCONN:
    case SO_SNDLOWAT:
    case SO_PEERCRED:
    case SO_PEERSEC:
    case SO_PEERGROUPS:
    case SO_PEERPIDFD:
      return refuse_set(ENOPROTOOPT);
    case SO_PASSCRED:
      if ((endpoint.quirks & proto::kQuirkKeepsPassCred) == 0) return refuse_set(EOPNOTSUPP);
      return ask_daemon(SOL_SOCKET, option, sizeof(int));
    case SO_PEEK_OFF:
    case SO_PASSSEC:
    case SO_PASSPIDFD:
    case SO_PASSRIGHTS:
      return refuse_set(EOPNOTSUPP);
    case SO_ZEROCOPY:
      if (endpoint.state == EndpointState::kConnected &&
          (endpoint.quirks & proto::kQuirkZerocopy) == 0) {
        return refuse_set(EOPNOTSUPP);
      }
      return ask_daemon(SOL_SOCKET, option, sizeof(int));
    case SO_RCVLOWAT:
      if (endpoint.state == EndpointState::kConnected &&
          (endpoint.quirks & proto::kQuirkKeepsLowWater) == 0) {
        return refuse_set(EOPNOTSUPP);
      }
      return ask_daemon(SOL_SOCKET, option, sizeof(int));
    case SO_REUSEPORT:
      return {SetPlan::kIgnore, 0, SOL_SOCKET, option, sizeof(int)};
    case SO_MAX_PACING_RATE:
      return {SetPlan::kIgnore, 0, SOL_SOCKET, option, sizeof(int)};
    case SO_SNDBUFFORCE:
      return ask_daemon(SOL_SOCKET, SO_SNDBUF, sizeof(int));
    case SO_RCVBUFFORCE:
      return ask_daemon(SOL_SOCKET, SO_RCVBUF, sizeof(int));
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_PRIORITY:
    case SO_REUSEADDR:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_OOBINLINE:
      return ask_daemon(SOL_SOCKET, option, sizeof(int));
    default:
      return {};
  }
}

SetPlan plan_set_vsock(int option) {
  switch (option) {
    case SO_VM_SOCKETS_BUFFER_SIZE:
    case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
    case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
      return ask_daemon(kAfVsock, option, sizeof(std::uint64_t));
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
      return ask_daemon(kAfVsock, SO_VM_SOCKETS_CONNECT_TIMEOUT_OLD, sizeof(timeval));
    default:
      return refuse_set(ENOPROTOOPT);
  }
}

int settle_timeout(const timeval& value) {
  const bool legal = value.tv_sec >= 0 && value.tv_sec < proto::kMaxConnectTimeoutSeconds &&
                     value.tv_usec < kMicrosecondsPerSecond;
  return legal ? 0 : ERANGE;
}

int settle_socket_int(const Endpoint& endpoint, int option, std::int32_t* value) {
  switch (option) {
    case SO_REUSEADDR:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_OOBINLINE:
    case SO_PASSCRED:
      *value = *value != 0;
      return 0;
    case SO_REUSEPORT:
      return *value != 0 ? EOPNOTSUPP : 0;
    case SO_ZEROCOPY:
      return *value == 0 || *value == 1 ? 0 : EINVAL;
    case SO_PRIORITY:
      return *value >= 0 && *value <= kHighestUnprivilegedPriority ? 0 : EPERM;
    case SO_RCVLOWAT:
      if (*value < 0 || static_cast<std::uint64_t>(*value) > endpoint.buffer_size) return EINVAL;
      if (*value == 0) *value = 1;
      return 0;
    default:
      return 0;
  }
}

int settle_hyperv(int option, std::uint32_t* value) {
  if (option == kHvConnectTimeout) return *value > kHvConnectTimeoutMaxMs ? EINVAL : 0;
  *value = *value != 0;
  return 0;
}

}  // namespace

GetPlan plan_get(const Endpoint& endpoint, int level, int option) {
  if (level == kHvProtocolRaw && endpoint.family == kAfHyperv && option == kHvConnectTimeout) {
    return value_plan(OptionValue::of(endpoint.hv_connect_timeout_ms));
  }
  if (level == SOL_SOCKET) return plan_get_socket(endpoint, option);
  if (level == AF_VSOCK && endpoint.family == kAfVsock) return plan_get_vsock(endpoint, option);
  return refuse_get(ENOPROTOOPT);
}

SetPlan plan_set(const Endpoint& endpoint, int level, int option) {
  if (level == kHvProtocolRaw && endpoint.family == kAfHyperv &&
      (option == kHvConnectTimeout || option == kHvConnectedSuspend)) {
    return ask_daemon(kAfHyperv, option, sizeof(std::uint32_t));
  }
  if (level == SOL_SOCKET) return plan_set_socket(endpoint, option);
  if (level == AF_VSOCK && endpoint.family == kAfVsock) return plan_set_vsock(option);
  return refuse_set(ENOPROTOOPT);
}

int settle_value(const Endpoint& endpoint, SetPlan* plan, void* value) {
  if (plan->level == kAfVsock) {
    if (plan->size != sizeof(timeval)) return 0;
    timeval timeout{};
    std::memcpy(&timeout, value, sizeof timeout);
    return settle_timeout(timeout);
  }
  std::uint32_t number = 0;
  std::memcpy(&number, value, sizeof number);
  if (plan->level == SOL_SOCKET && endpoint.family == kAfHyperv && plan->option == kHvHighVtl &&
      number <= 1) {
    *plan = ask_daemon(kAfHyperv, kHvHighVtl, sizeof number);
  }
  int error = 0;
  if (plan->level == kAfHyperv) {
    error = settle_hyperv(plan->option, &number);
  } else {
    auto signed_number = static_cast<std::int32_t>(number);
    error = settle_socket_int(endpoint, plan->option, &signed_number);
    number = static_cast<std::uint32_t>(signed_number);
  }
  std::memcpy(value, &number, sizeof number);
  return error;
}

}  // namespace vmbus::shim
