#include "shim/message_loop.h"

#include <algorithm>
#include <cstdint>

#include "shim/real.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr unsigned kMaxMessages = 1024;  // UIO_MAXIOV; the kernel takes no more at once
constexpr std::int64_t kLongestSeconds = 1'000'000'000;

// The time limit of recvmmsg(), as the program has it.
class TimeLimit {
 public:
  explicit TimeLimit(timespec* program) : program_(program) {}

  // 0, EFAULT or EINVAL.
  int start() {
    if (program_ == nullptr) return 0;
    if (copy_from_program(&left_, program_, sizeof left_) != 0) return EFAULT;
    const bool is_valid = left_.tv_sec >= 0 && left_.tv_nsec >= 0 && left_.tv_nsec < kNsPerSecond;
    if (!is_valid) return EINVAL;
    end_ns_ = real::now_ns() +
              std::min<std::int64_t>(left_.tv_sec, kLongestSeconds) * kNsPerSecond + left_.tv_nsec;
    return 0;
  }
  bool is_over() {
    if (program_ == nullptr) return false;
    const std::int64_t left_ns = std::max<std::int64_t>(end_ns_ - real::now_ns(), 0);
    left_ = {left_ns / kNsPerSecond, left_ns % kNsPerSecond};
    return left_ns == 0;
  }
  int write_back() const {
    return program_ == nullptr ? 0 : copy_to_program(program_, &left_, sizeof left_);
  }

 private:
  timespec* program_;
  timespec left_{};
  std::int64_t end_ns_ = 0;
};

}  // namespace

long receive_messages(Socket& socket, mmsghdr* messages, unsigned count, int flags,
                      timespec* timeout) {
  TimeLimit limit(timeout);
  if (const int error = limit.start()) return -error;
  int each = flags & ~static_cast<int>(MSG_WAITFORONE);
  long done = 0;
  while (done < static_cast<long>(std::min(count, kMaxMessages))) {
    const long result = socket.receive_message(&messages[done].msg_hdr, each);
    if (result < 0 && done == 0) return result;
    if (result < 0) break;
    messages[done++].msg_len = static_cast<unsigned>(result);
    if ((flags & MSG_WAITFORONE) != 0) each |= MSG_DONTWAIT;
    if (limit.is_over()) break;
  }
  return done > 0 && limit.write_back() != 0 ? -EFAULT : done;
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
