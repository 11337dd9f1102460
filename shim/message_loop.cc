#include "shim/message_loop.h"

#include <algorithm>
#include <cstdint>

#include "shim/real.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr unsigned kMaxMessages = 1024;  // UIO_MAXIOV; the kernel takes no more at once

}  // namespace

long receive_messages(Socket& socket, mmsghdr* messages, unsigned count, int flags,
                      const timespec* timeout) {
  timespec limit{};
  if (timeout != nullptr && copy_from_program(&limit, timeout, sizeof limit) != 0) return -EFAULT;
  const std::int64_t end_ns =
      timeout != nullptr ? real::now_ns() + limit.tv_sec * kNsPerSecond + limit.tv_nsec : 0;
  int each = flags & ~static_cast<int>(MSG_WAITFORONE);
  long done = 0;
  while (done < static_cast<long>(std::min(count, kMaxMessages))) {
    const long result = socket.receive_message(&messages[done].msg_hdr, each);
    if (result < 0) return done > 0 ? done : result;
    messages[done++].msg_len = static_cast<unsigned>(result);
    if ((flags & MSG_WAITFORONE) != 0) each |= MSG_DONTWAIT;
    if (timeout != nullptr && real::now_ns() >= end_ns) break;
  }
  return done;
}

long send_messages(Socket& socket, mmsghdr* messages, unsigned count, int flags) {
  long done = 0;
  while (done < static_cast<long>(std::min(count, kMaxMessages))) {
    const long result = socket.send_message(&messages[done].msg_hdr, flags);
    if (result < 0) return done > 0 ? done : result;
    messages[done++].msg_len = static_cast<unsigned>(result);
  }
  return done;
}

}  // namespace vmbus::shim
