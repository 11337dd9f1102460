#include "shim/verdict.h"

#include <errno.h>
#include <sys/socket.h>

#include <algorithm>

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

long receive_verdict_freebsd(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if (!is_connected(endpoint)) return -EIO;
  if ((flags & MSG_PEEK) != 0 && (endpoint.quirks & proto::kQuirkNoPeek) != 0) return -EOPNOTSUPP;
  if (length == 0) return -EINVAL;
  return has_ended(endpoint, proto::kEndedLocalRead) ? 0 : kAskKernel;
}

long send_verdict_freebsd(const proto::Endpoint& endpoint, std::size_t length) {
  if (length == 0) return -EINVAL;
  // After the host's half-close a FreeBSD guest can send no more.
  if (has_ended(endpoint,
                proto::kEndedLocalWrite | proto::kEndedPeerGone | proto::kEndedPeerWrite)) {
    return -EPIPE;
  }
  return is_connected(endpoint) ? kAskKernel : -ENOTCONN;
}

// How many bytes a receive waits for at least.
std::size_t receive_target(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if ((flags & MSG_WAITALL) != 0) return length;
  return std::min<std::size_t>(endpoint.receive_low_water, length);
}

}  // namespace

long receive_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length) {
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;
  if (endpoint.family == kAfHypervFreeBsd) return receive_verdict_freebsd(endpoint, flags, length);
  if (!is_connected(endpoint)) return -ENOTCONN;
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (has_ended(endpoint, proto::kEndedLocalRead)) return 0;
  if (length == 0) return 0;
  if (endpoint.family == kAfVsock && receive_target(endpoint, flags, length) >= kReceiveHighWater) {
    return -ENOMEM;
  }
  const int peek_all = MSG_PEEK | MSG_WAITALL;
  if (endpoint.family == kAfHyperv && (flags & peek_all) == peek_all) return -EOPNOTSUPP;
  return kAskKernel;
}

long send_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length,
                  bool has_address) {
  if (endpoint.family == kAfHypervFreeBsd) return send_verdict_freebsd(endpoint, length);
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  if (has_address) return is_connected(endpoint) ? -EISCONN : -EOPNOTSUPP;
  if (has_ended(endpoint, proto::kEndedLocalWrite)) return -EPIPE;
  if (has_ended(endpoint, proto::kEndedReset)) return -ECONNRESET;
  if (has_ended(endpoint, proto::kEndedPeerGone)) return -EPIPE;
  if (!is_connected(endpoint)) return -ENOTCONN;
  if ((flags & MSG_ZEROCOPY) != 0) return -EOPNOTSUPP;
  return length == 0 ? 0 : kAskKernel;
}

long end_of_stream(const proto::Endpoint& endpoint) {
  if (has_ended(endpoint, proto::kEndedLocalRead)) return 0;
  if (has_ended(endpoint, proto::kEndedReset)) return -ECONNRESET;
  const bool explained = has_ended(endpoint, proto::kEndedPeerWrite | proto::kEndedPeerGone);
  return explained ? 0 : -ECONNRESET;
}

long broken_send(const proto::Endpoint& endpoint) {
  if (has_ended(endpoint, proto::kEndedLocalWrite)) return -EPIPE;
  if (has_ended(endpoint, proto::kEndedReset)) return -ECONNRESET;
  return has_ended(endpoint, proto::kEndedPeerGone) ? -EPIPE : -ECONNRESET;
}

}  // namespace vmbus::shim
