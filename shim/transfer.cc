// Data calls on a carrier (PUMP): a verdict from the endpoint's entry, then the kernel's own call
// on A, stripped of what only AF_UNIX knows; what the carrier's end means is read from the entry
// again.
#include <signal.h>

#include <cstring>

#include "shim/real.h"
#include "shim/socket.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kMaxParts = 1024;  // UIO_MAXIOV; the kernel refuses more

// The flags that mean the same on A. The rest are accepted and have no effect on these sockets.
constexpr int kReceiveFlags = MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL;
constexpr int kSendFlags = MSG_DONTWAIT;

std::size_t total_bytes(const msghdr& message) {
  std::size_t total = 0;
  for (std::size_t i = 0; i < message.msg_iovlen && i < kMaxParts; ++i) {
    total += message.msg_iov[i].iov_len;
  }
  return total;
}

// As the kernel raises it: for the calling thread alone.
void raise_sigpipe() {
  real::call(SYS_tgkill, real::call(SYS_getpid), real::call(SYS_gettid), SIGPIPE);
}

// A copy without address and control data, which stop at our sockets.
msghdr data_only(const msghdr& message) {
  msghdr plain{};
  plain.msg_iov = message.msg_iov;
  plain.msg_iovlen = message.msg_iovlen;
  return plain;
}

}  // namespace

long Socket::check_receive(std::size_t length, int flags) {
  const long verdict = receive_verdict(endpoint_, flags, length);
  return verdict == kAskKernel ? kNotOurs : refuse(verdict);
}

long Socket::after_receive(long result, int flags) {
  if (result > 0) {
    const bool peeked = (flags & MSG_PEEK) != 0;
    const bool cannot_peek = (endpoint_.quirks & proto::kQuirkNoPeek) != 0;
    return peeked && cannot_peek ? -EOPNOTSUPP : result;
  }
  if (result == -ENOTSOCK) return refuse(result);
  if (result != 0 && result != -ECONNRESET) return result;
  if (!prove()) return result;
  return load() ? end_of_stream(endpoint_) : -ECONNRESET;
}

long Socket::receive(void* buffer, std::size_t length, int flags) {
  const long verdict = receive_verdict(endpoint_, flags, length);
  if (verdict != kAskKernel) return refuse(verdict);
  return after_receive(
      real::blocking(SYS_recvfrom, fd_, buffer, length, flags & kReceiveFlags, nullptr, nullptr),
      flags);
}

long Socket::receive_message(msghdr* message, int flags) {
  if (message == nullptr) return -EFAULT;
  const long verdict = receive_verdict(endpoint_, flags, total_bytes(*message));
  long result = verdict;
  if (verdict == kAskKernel) {
    msghdr plain = data_only(*message);
    result = after_receive(real::blocking(SYS_recvmsg, fd_, &plain, flags & kReceiveFlags), flags);
  } else {
    result = refuse(verdict);
  }
  if (result >= 0) {
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = 0;
  }
  return result;
}

long Socket::check_send(std::size_t length, int flags, bool has_address) {
  const long verdict = send_verdict(endpoint_, flags, length, has_address);
  if (verdict != kAskKernel) return with_signal(refuse(verdict), flags);
  raise_send_buffer();
  return kNotOurs;
}

long Socket::after_send(long result, int flags) {
  if (result == -ENOTSOCK) return refuse(result);
  if (result != -EPIPE && result != -ECONNRESET) return result;
  if (!prove()) return kNotOurs;
  return with_signal(load() ? broken_send(endpoint_) : -ECONNRESET, flags);
}

long Socket::with_signal(long result, int flags) const {
  const bool wanted = (flags & MSG_NOSIGNAL) == 0 && endpoint_.type == SOCK_STREAM;
  if (result == -EPIPE && wanted) raise_sigpipe();
  return result;
}

long Socket::send(const void* buffer, std::size_t length, int flags, bool has_address) {
  const long checked = check_send(length, flags, has_address);
  if (checked != kNotOurs || !entry_.is_carrier()) return checked;
  return after_send(real::blocking(SYS_sendto, fd_, buffer, length,
                                   (flags & kSendFlags) | MSG_NOSIGNAL, nullptr, 0),
                    flags);
}

long Socket::send_message(const msghdr* message, int flags) {
  if (message == nullptr) return -EFAULT;
  const bool has_address = message->msg_name != nullptr && message->msg_namelen != 0;
  const long checked = check_send(total_bytes(*message), flags, has_address);
  if (checked != kNotOurs || !entry_.is_carrier()) return checked;
  const msghdr plain = data_only(*message);
  return after_send(real::blocking(SYS_sendmsg, fd_, &plain, (flags & kSendFlags) | MSG_NOSIGNAL),
                    flags);
}

}  // namespace vmbus::shim
