#include "shim/verdict.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>

namespace vmbus::shim {
namespace {

using proto::EndpointState;

// hv_sock's largest packet and one: a receive that insists on more could never be satisfied (Linux:
// ENOMEM).
constexpr std::size_t kReceiveHighWater = 16385;

bool has_ended(const proto::Endpoint& endpoint, unsigned what) {
  return (endpoint.ended & what) != 0;
}

bool is_connected(const proto::Endpoint& endpoint) {
  return endpoint.state == EndpointState::kConnected;
}

bool obeys(const proto::Endpoint& endpoint, proto::EndpointQuirks quirk) {
  return (endpoint.quirks & quirk) != 0;
}

// What a send meets that the peer will not read: the errno, or 0.
int closed_to_send(const proto::Endpoint& endpoint) {
  if (has_ended(endpoint, proto::kEndedLocalWrite)) return EPIPE;
  if (has_ended(endpoint, proto::kEndedReset)) return ECONNRESET;
  if (has_ended(endpoint, proto::kEndedPeerGone | proto::kEndedPeerRead)) return EPIPE;
  const bool fin = has_ended(endpoint, proto::kEndedPeerWrite);
  return fin && obeys(endpoint, proto::kQuirkNoSendAfterFin) ? EPIPE : 0;
}

long nothing_wanted(const proto::Endpoint& endpoint) {
  return obeys(endpoint, proto::kQuirkEmptyIsInvalid) ? -EINVAL : 0;
}

long own_end_of_reading(const proto::Endpoint& endpoint) {
  const bool windows = endpoint.family == kAfHyperv;
  return windows && obeys(endpoint, proto::kQuirkShutReadIsError) ? -ESHUTDOWN : 0;
}

long receive_verdict_freebsd(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if (!is_connected(endpoint)) return -EIO;
  if ((flags & MSG_PEEK) != 0 && obeys(endpoint, proto::kQuirkNoPeekAtOnce)) return -EOPNOTSUPP;
  if (length == 0) return nothing_wanted(endpoint);
  return has_ended(endpoint, proto::kEndedLocalRead) ? 0 : kAskKernel;
}

// FreeBSD's driver looks neither at flags nor at an address.
long send_verdict_freebsd(const proto::Endpoint& endpoint, std::size_t length) {
  if (length == 0 && obeys(endpoint, proto::kQuirkEmptyIsInvalid)) return -EINVAL;
  if (const int error = closed_to_send(endpoint)) return -error;
  if (!is_connected(endpoint)) return -ENOTCONN;
  return length == 0 ? 0 : kAskKernel;
}

// How many bytes a receive waits for at least.
std::size_t receive_target(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if ((flags & MSG_WAITALL) != 0) return length;
  return std::min<std::size_t>(endpoint.receive_low_water, length);
}

// A receive that insists on more than Linux thinks a transport could ever hold.
bool wants_too_much(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if (endpoint.family != kAfVsock || endpoint.type != SOCK_STREAM ||
      obeys(endpoint, proto::kQuirkWaitallAny)) {
    return false;
  }
  const std::size_t limit = obeys(endpoint, proto::kQuirkWaitallBuffer)
                                ? static_cast<std::size_t>(endpoint.buffer_size)
                                : kReceiveHighWater;
  return receive_target(endpoint, flags, length) >= limit;
}

}  // namespace

long receive_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if (endpoint.family == kAfHypervFreeBsd) return receive_verdict_freebsd(endpoint, flags, length);
  if (!is_connected(endpoint) || has_ended(endpoint, proto::kEndedForgotten)) return -ENOTCONN;
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (has_ended(endpoint, proto::kEndedLocalRead)) return own_end_of_reading(endpoint);
  // Windows programs wait for data by peeking at none.
  const bool waits_for_data = endpoint.family == kAfHyperv && (flags & MSG_PEEK) != 0;
  if (length == 0 && !waits_for_data) return nothing_wanted(endpoint);
  if (wants_too_much(endpoint, flags, length)) return -ENOMEM;
  if ((flags & MSG_PEEK) != 0 && obeys(endpoint, proto::kQuirkNoPeekAtOnce)) return -EOPNOTSUPP;
  const int peek_all = MSG_PEEK | MSG_WAITALL;
  if (endpoint.family == kAfHyperv && (flags & peek_all) == peek_all) return -EOPNOTSUPP;
  return kAskKernel;
}

long send_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length,
                  bool has_address) {
  if (endpoint.family == kAfHypervFreeBsd) return send_verdict_freebsd(endpoint, length);
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (has_address) return is_connected(endpoint) ? -EISCONN : -EOPNOTSUPP;
  if (const int error = closed_to_send(endpoint)) return -error;
  if (!is_connected(endpoint)) return -ENOTCONN;
  if ((flags & MSG_ZEROCOPY) != 0 && !obeys(endpoint, proto::kQuirkZerocopy)) return -EOPNOTSUPP;
  if (length == 0) return nothing_wanted(endpoint);
  const bool too_long = endpoint.type == SOCK_SEQPACKET && length > endpoint.peer_buffer_size;
  return too_long ? -EMSGSIZE : kAskKernel;
}

long end_of_stream(const proto::Endpoint& endpoint) {
  if (has_ended(endpoint, proto::kEndedLocalRead)) return 0;
  if (has_ended(endpoint, proto::kEndedReset)) return -ECONNRESET;
  const bool explained = has_ended(endpoint, proto::kEndedPeerWrite | proto::kEndedPeerGone);
  return explained ? 0 : -ECONNRESET;
}

long broken_send(const proto::Endpoint& endpoint) {
  const int error = closed_to_send(endpoint);
  return error != 0 ? -error : -ECONNRESET;
}

}  // namespace vmbus::shim
