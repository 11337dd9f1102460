// connect(2) on a carrier. The daemon answers at once; a blocking caller then waits for A to become
// writable.
#include <poll.h>

#include "shim/daemon_client.h"
#include "shim/poll_events.h"
#include "shim/real.h"
#include "shim/ring_map.h"
#include "shim/socket.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

using proto::EndpointState;

// FreeBSD leaves an interrupted attempt under way, and lets nobody wait for it again; Linux and
// Windows abandon it.
bool leaves_attempts(const proto::Endpoint& endpoint) {
  return endpoint.family == kAfHypervFreeBsd;
}

}  // namespace

long Socket::connect(const sockaddr* address, socklen_t length) {
  sockaddr_storage copy{};
  if (const int error = copy_address(address, length, &copy)) return -error;
  const bool nonblocking = real::is_nonblocking(fd_);
  if (endpoint_.state == EndpointState::kConnecting) {
    return nonblocking || leaves_attempts(endpoint_) ? -EALREADY : wait_for_attempt();
  }
  const int error = request_connect(fd_, entry_, &copy, length, nonblocking);
  if (error == 0 || error == EINPROGRESS) count_connection();
  if (error == EINPROGRESS && !nonblocking) return wait_for_attempt();
  if (nonblocking) note_attempt();
  if (error != 0) return -error;
  load();
  raise_send_buffer();
  // A kernel never finishes within the call, and programs rely on it to learn the result from
  // poll().
  return nonblocking ? -EINPROGRESS : 0;
}

// poll() is never restarted after a signal, nor is connect() on these sockets.
long Socket::wait_for_attempt() {
  pollfd wanted{fd_, POLLOUT, 0};
  const long result = real::blocking(SYS_ppoll, &wanted, 1, nullptr, nullptr, 0);
  if (result >= 0) return finish_attempt();
  if (result != -EINTR) return result;
  if (!leaves_attempts(endpoint_)) request_cancel_connect(fd_, entry_);
  if (load() && endpoint_.state == EndpointState::kConnected) return finish_attempt();
  return -EINTR;
}

long Socket::finish_attempt() {
  if (!load()) return -ECONNRESET;
  if (endpoint_.state == EndpointState::kConnected) {
    raise_send_buffer();
    return 0;
  }
  if (endpoint_.state == EndpointState::kConnecting) return -ECONNRESET;  // the daemon is gone
  int so_error = 0;
  const long result = take_error(&so_error);
  if (result != 0) return result;
  return so_error != 0 ? -so_error : -ECONNABORTED;  // another thread took the error
}

}  // namespace vmbus::shim
