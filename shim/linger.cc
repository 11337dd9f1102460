#include "shim/linger.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "emu/protocol/endpoint_table.h"
#include "shim/daemon_client.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/sandbox.h"

namespace vmbus::shim {
namespace {

// The seconds of SO_LINGER; 0: off. The carrier keeps the option, and does nothing about it.
unsigned linger_seconds(int fd) {
  linger value{};
  socklen_t length = sizeof value;
  if (real::call(SYS_getsockopt, fd, SOL_SOCKET, SO_LINGER, &value, &length) != 0) return 0;
  return value.l_onoff != 0 ? static_cast<unsigned>(value.l_linger) : 0;
}

bool may_linger(FdEntry entry) {
  if (!entry.is_carrier() || !owns_memory() || is_sandboxed()) return false;
  proto::Endpoint endpoint{};
  return proto::read_endpoint(shared_endpoint(entry), &endpoint) &&
         endpoint.generation == entry.generation && (endpoint.quirks & proto::kQuirkLingers) != 0 &&
         endpoint.state == proto::EndpointState::kConnected;
}

}  // namespace

Linger Linger::before_close(int fd) {
  Linger linger;
  if (!fd_table().is_set(fd)) return linger;  // searches nothing, as a close does not
  const FdEntry entry = fd_table().find(fd);
  if (!may_linger(entry)) return linger;
  linger.limit_s_ = linger_seconds(fd);
  if (linger.limit_s_ != 0 && request_linger(fd, entry, &linger.line_) != 0) linger.line_ = -1;
  return linger;
}

void Linger::wait() const {
  if (line_ < 0) return;
  real::call(SYS_shutdown, line_, SHUT_WR);
  pollfd line{line_, POLLIN | POLLRDHUP, 0};
  timespec limit{static_cast<time_t>(limit_s_), 0};  // the kernel counts it down
  real::call(SYS_ppoll, &line, 1, &limit, nullptr, 0);
  real::call(SYS_close, line_);
}

}  // namespace vmbus::shim
