// A send that may find no room for all its bytes.
//
// When the peer is gone the daemon empties the carrier, or a writer would wait for ever, and the
// kernel counts what is thrown away as sent. So no large send waits inside the kernel's: it sends
// what fits, waits for room, asks the endpoint's entry whether anybody still listens, and goes on.
// What it then reports went out while there was a peer.
#include <poll.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "shim/real.h"
#include "shim/socket.h"
#include "shim/verdict.h"
#include "shim/window.h"

namespace vmbus::shim {
namespace {

long send_without_signal(int fd, const iovec* parts, std::size_t count, int flags) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = count;
  return real::blocking(SYS_sendmsg, fd, &message, flags | MSG_NOSIGNAL);
}

// Waits for room, within SO_SNDTIMEO for all waits together.
class RoomWait {
 public:
  explicit RoomWait(int fd) : fd_(fd) {
    timeval limit{};
    socklen_t length = sizeof limit;
    real::call(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, &length);
    const bool is_limited = limit.tv_sec != 0 || limit.tv_usec != 0;
    if (is_limited && limit.tv_sec < kLongestSeconds) {
      left_ns_ = (limit.tv_sec * 1'000'000 + limit.tv_usec) * 1000;
    }
  }
  // True: look again. False: a signal, or the time is over.
  bool wait() {
    const std::int64_t turn_ns = std::min(kTurnNs, left_ns_);
    timespec left{0, turn_ns};  // where the kernel leaves what it did not use
    pollfd wanted{fd_, POLLOUT, 0};
    const long result = real::blocking(SYS_ppoll, &wanted, 1, &left, nullptr, 0);
    left_ns_ -= turn_ns - left.tv_nsec;
    return result == 1 || (result == 0 && left_ns_ > 0);
  }

 private:
  // Another thread's SHUT_WR never makes the carrier ready, so the entry is looked at now and then.
  static constexpr std::int64_t kTurnNs = 50'000'000;
  static constexpr std::int64_t kLongestSeconds = 1'000'000'000;  // and no overflow

  int fd_;
  std::int64_t left_ns_ = std::numeric_limits<std::int64_t>::max();
};

}  // namespace

bool Socket::takes_more(int fd) {
  FdEntry now = fd_table().find(fd);
  now.flags = entry_.flags;
  // Another thread may have closed the descriptor, and its number be somebody else's by now.
  return now == entry_ && load() && send_verdict(endpoint_, 0, 1, false) == kAskKernel;
}

long Socket::send_large(const iovec* parts, std::size_t count, std::size_t bytes, int flags) {
  const long result = send_without_signal(fd_, parts, count, MSG_DONTWAIT);
  if (result == static_cast<long>(bytes)) return result;
  if (result < 0 && result != -EAGAIN) return after_send(result, flags);
  // FreeBSD does not wait for the rest.
  const bool waits = endpoint_.family != kAfHypervFreeBsd && !real::is_nonblocking(fd_);
  if (result > 0 && !waits) return result;
  return held([&](int fd) {
    return send_rest(fd, parts, count, bytes, static_cast<std::size_t>(std::max(result, 0L)),
                     flags);
  });
}

long Socket::send_rest(int fd, const iovec* parts, std::size_t count, std::size_t bytes,
                       std::size_t sent, int flags) {
  if (sent == 0) {
    // Nothing fits. The kernel's own send restarts after a signal, and times out, as it has to.
    const Window first = window_of(parts, count, 0, kSmallSendBytes);
    const long result = send_without_signal(fd, first.parts, first.count, 0);
    if (result <= 0 || endpoint_.family == kAfHypervFreeBsd || real::is_nonblocking(fd)) {
      return after_send(result, flags);
    }
    sent = static_cast<std::size_t>(result);
  }
  RoomWait room(fd);
  while (sent < bytes && takes_more(fd)) {
    const Window rest = window_of(parts, count, sent, bytes - sent);
    const long more = send_without_signal(fd, rest.parts, rest.count, MSG_DONTWAIT);
    if (more > 0) {
      sent += static_cast<std::size_t>(more);
    } else if (more != -EAGAIN || !room.wait()) {
      break;
    }
  }
  return static_cast<long>(sent);
}

}  // namespace vmbus::shim
