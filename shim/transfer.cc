// Data calls on a carrier (PUMP): a verdict from the endpoint's entry, then the kernel's own call
// on A, stripped of what only AF_UNIX knows; what the carrier's end means is read from the entry
// again.
#include <signal.h>

#include <algorithm>
#include <cstring>

#include "emu/protocol/carrier.h"
#include "ringbuf/fault_point.h"
#include "shim/daemon_client.h"
#include "shim/direct.h"
#include "shim/direct_cache.h"
#include "shim/poll_events.h"
#include "shim/real.h"
#include "shim/sandbox.h"
#include "shim/socket.h"
#include "shim/user_memory.h"
#include "shim/verdict.h"
#include "shim/window.h"

namespace vmbus::shim {
namespace {

using Wait = DirectEnd::Wait;

constexpr std::size_t kMaxParts = 1024;  // UIO_MAXIOV; the kernel refuses more
constexpr std::size_t kLongestName = sizeof(sockaddr_storage);  // what is beyond is cut off
constexpr std::size_t kMaxControlBytes = 128 * 1024;            // net.core.optmem_max

// The flags that mean the same on A. The rest are accepted and have no effect on these sockets.
constexpr int kReceiveFlags = MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL;
constexpr int kRecordReceiveFlags = MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC;
constexpr int kSendFlags = MSG_DONTWAIT;

// What the kernel says of a vector before it looks at the socket: 0 and the number of bytes, or an
// errno value.
int measure(const iovec* parts, std::size_t count, std::size_t* bytes) {
  if (count > kMaxParts) return EMSGSIZE;
  if (!is_readable(parts, count * sizeof *parts)) return EFAULT;
  *bytes = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (static_cast<ssize_t>(parts[i].iov_len) < 0) return EINVAL;
    *bytes += parts[i].iov_len;
  }
  return 0;
}

// What the kernel says of a message to send, but for its parts, before it looks at the socket.
int check_message(const msghdr& message) {
  const bool named = message.msg_name != nullptr;
  if (named && static_cast<int>(message.msg_namelen) < 0) return EINVAL;
  const std::size_t name_bytes = std::min<std::size_t>(message.msg_namelen, kLongestName);
  if (named && !is_readable(message.msg_name, name_bytes)) return EFAULT;
  if (message.msg_iovlen > kMaxParts) return EMSGSIZE;
  if (message.msg_controllen > kMaxControlBytes) return ENOBUFS;
  return is_readable(message.msg_control, message.msg_controllen) ? 0 : EFAULT;
}

// As the kernel raises it: for the calling thread alone.
void raise_sigpipe() {
  real::call(SYS_tgkill, real::call(SYS_getpid), real::call(SYS_gettid), SIGPIPE);
}

// A message without address and control data, which stop at our sockets.
msghdr data_only(const iovec* parts, std::size_t count) {
  msghdr plain{};
  plain.msg_iov = const_cast<iovec*>(parts);
  plain.msg_iovlen = count;
  return plain;
}

}  // namespace

int Socket::receive_flags(int flags) const {
  return flags & (carries_records() ? kRecordReceiveFlags : kReceiveFlags);
}

void Socket::tell_of_receive(int what) const {
  const bool holds_back = endpoint_.receive_low_water > 1 && !carries_records() &&
                          (endpoint_.quirks & proto::kQuirkLowWaterPoll) != 0;
  const int nothing = 0;
  if (holds_back) {
    request_set_option(fd_, entry_, proto::kCarrierLevel, what, &nothing, sizeof nothing);
  }
}

long Socket::check_receive(std::size_t length, int flags) {
  const long verdict = receive_verdict(endpoint_, flags, length);
  return verdict == kAskKernel ? kNotOurs : refuse(verdict);
}

void Socket::bring_to_carrier() {
  if (DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) direct.cool();
}

bool Socket::learn() const {
  return entry_.is_carrier() && static_cast<bool>(DirectEnd::of(fd_, entry_, endpoint_));
}

// Around the kernel's receives where one packet is shown at a time.
void Socket::settle_shown() {
  if ((endpoint_.quirks & proto::kQuirkRoomOfRing) == 0) return;
  if (const DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) direct.settle();
}

void Socket::begin_carrier_send() {
  if (const DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) direct.begin_carrier_send();
}

void Socket::end_carrier_send() {
  if (const DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) direct.end_carrier_send();
}

// What the kernel's receive came to.
long Socket::after_receive(long result, int flags) {
  settle_shown();
  return explain_receive(result, flags);
}

long Socket::explain_receive(long result, int flags) {
  if (result > 0) {
    const bool peeked = (flags & MSG_PEEK) != 0;
    const bool cannot_peek = (endpoint_.quirks & proto::kQuirkNoPeek) != 0;
    return peeked && cannot_peek ? -EOPNOTSUPP : result;
  }
  if (result == -ENOTSOCK) return refuse(result);
  if (result != 0 && result != -ECONNRESET) return result;
  if (!prove()) return result;
  if (!load()) return -ECONNRESET;
  note_end_seen(entry_, endpoint_);
  return end_of_stream(endpoint_);
}

// The wait of a Windows program that peeks at no bytes.
long Socket::wait_for_data(int flags) {
  char byte = 0;
  return std::min(receive(&byte, 1, flags), 0L);
}

long Socket::receive(void* buffer, std::size_t length, int flags, long tried) {
  if ((flags & MSG_ERRQUEUE) != 0) return receive_notification(nullptr);
  const long verdict = receive_verdict(endpoint_, flags, length);
  if (verdict != kAskKernel) return refuse(verdict);
  if (length == 0) return wait_for_data(flags);
  // recv without flags is read; the program may have a filter that knows just that call.
  if (is_sandboxed() && receive_flags(flags) == 0) {
    return after_receive(real::blocking(SYS_read, fd_, buffer, length), flags);
  }
  const iovec whole{buffer, length};
  const long count = receive_directly({&whole, 1, length}, flags, tried);
  if (count != kThroughCarrier) return explain_receive(count, flags);
  tell_of_receive(proto::kReceiveBegins);
  const long result =
      real::blocking(SYS_recvfrom, fd_, buffer, length, receive_flags(flags), nullptr, nullptr);
  tell_of_receive(proto::kReceiveEnds);
  return after_receive(result, flags);
}

// What the rings give; or kThroughCarrier.
long Socket::receive_directly(const Parts& to, int flags, long tried) const {
  if (tried == kThroughCarrier) return tried;
  DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_);
  if (!direct) return kThroughCarrier;
  const bool may_wait = (flags & MSG_DONTWAIT) == 0;
  const bool insists = (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0;
  if (may_wait && insists && direct.heeds_room()) {
    return receive_all(direct, to, flags & ~MSG_WAITALL);
  }
  if (tried == 0) tried = direct.receive(to, flags, may_wait ? Wait::kSpin : Wait::kNo);
  if (tried != kWouldWait) return tried;
  if (!direct.may_sleep()) return direct.receive(to, flags, Wait::kNo);
  return held([&](int fd) {
    direct.use_descriptor(fd);
    return direct.receive(to, flags, is_held(fd) ? Wait::kSleep : Wait::kNo);
  });
}

// May a call go on with `fd` after a sleep of its own? Without a duplicate, only if no other thread can
// have closed it.
bool Socket::is_held(int fd) const { return fd != fd_ || real::has_one_thread(); }

// Packet by packet.
long Socket::receive_all(DirectEnd& direct, const Parts& to, int flags) const {
  if (real::is_nonblocking(fd_)) return direct.receive(to, flags | MSG_WAITALL, Wait::kNo);
  if (!direct.may_sleep()) return kThroughCarrier;
  return held([&](int fd) {
    if (!is_held(fd)) return kThroughCarrier;
    direct.use_descriptor(fd);
    std::size_t done = 0;
    while (done < to.bytes) {
      const Window rest = window_of(to.parts, to.count, done, to.bytes - done);
      const long count = direct.receive({rest.parts, rest.count, rest.bytes()}, flags,
                                        done > 0 ? Wait::kSleepOn : Wait::kSleep);
      if (count <= 0) return done > 0 ? static_cast<long>(done) : count;
      done += static_cast<std::size_t>(count);
    }
    return static_cast<long>(done);
  });
}

// Short, as long as nothing of the endpoint's entry has changed since this thread last looked.
long Socket::receive_from(int fd, void* buffer, std::size_t length, int flags) {
  long tried = 0;
  if (length != 0 && (flags & ~MSG_DONTWAIT) == 0) {
    const KnownEndUse known(fd);
    if (known.receives()) {
      const iovec whole{buffer, length};
      tried = known.end().receive({&whole, 1, length}, flags, flags == 0 ? Wait::kSpin : Wait::kNo);
    }
    if (tried > 0) return tried;
  }
  Socket ours = hint(fd);
  return ours ? ours.receive(buffer, length, flags, tried) : kNotOurs;
}

long Socket::receive_parts(const iovec* parts, std::size_t count, int flags, int* result_flags) {
  std::size_t bytes = 0;
  if (const int error = measure(parts, count, &bytes)) return refuse(-error);
  if (bytes == 0 && result_flags == nullptr && !hears_of_nothing()) return kNotOurs;
  const long verdict = receive_verdict(endpoint_, flags, bytes);
  if (verdict != kAskKernel) return refuse(verdict);
  if (bytes == 0) return wait_for_data(flags);
  const long direct = receive_directly({parts, count, bytes}, flags, 0);
  if (direct != kThroughCarrier) return explain_receive(direct, flags);
  msghdr plain = data_only(parts, count);
  tell_of_receive(proto::kReceiveBegins);
  const long result = real::blocking(SYS_recvmsg, fd_, &plain, receive_flags(flags));
  tell_of_receive(proto::kReceiveEnds);
  if (result_flags != nullptr) *result_flags = message_flags(plain);
  return after_receive(result, flags);
}

long Socket::receive_message(msghdr* message, int flags) {
  if (!is_readable(message, sizeof *message)) return refuse(-EFAULT);
  const bool named = message->msg_name != nullptr;
  if (named && static_cast<int>(message->msg_namelen) < 0) return refuse(-EINVAL);
  if ((flags & MSG_ERRQUEUE) != 0) return receive_notification(message);
  int result_flags = 0;
  const long result = receive_parts(message->msg_iov, message->msg_iovlen, flags, &result_flags);
  if (result >= 0) {
    message->msg_namelen = 0;
    message->msg_controllen = 0;
    message->msg_flags = result_flags;
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
  const bool wanted = (flags & MSG_NOSIGNAL) == 0 && endpoint_.type == SOCK_STREAM &&
                      (endpoint_.quirks & proto::kQuirkNoSigpipe) == 0;
  if (result == -EPIPE && wanted) raise_sigpipe();
  return result;
}

long Socket::send(const void* buffer, std::size_t length, int flags, bool has_address) {
  const iovec whole{const_cast<void*>(buffer), length};
  if (ends_record(flags) || is_zerocopy(flags)) return send_parts(&whole, 1, flags, has_address);
  const long checked = check_send(length, flags, has_address);
  if (checked != kNotOurs || !entry_.is_carrier()) return checked;
  if (is_sandboxed() && flags == 0) {
    // The kernel raises SIGPIPE itself.
    return after_send(real::blocking(SYS_write, fd_, buffer, length), MSG_NOSIGNAL);
  }
  if (DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) {
    return send_directly(direct, {&whole, 1, length}, flags);
  }
  if (is_large(length, flags)) return send_large(&whole, 1, length, flags);
  return after_send(real::blocking(SYS_sendto, fd_, buffer, length,
                                   (flags & kSendFlags) | MSG_NOSIGNAL, nullptr, 0),
                    flags);
}

long Socket::send_to(int fd, const void* buffer, std::size_t length, int flags) {
  Socket ours = hint(fd);
  return ours ? ours.send(buffer, length, flags, false) : kNotOurs;
}

// What the rings take, and the rest through the carrier.
long Socket::send_directly(DirectEnd& direct, const Parts& from, int flags) {
  const Wait wait = (flags & MSG_DONTWAIT) == 0 ? Wait::kSpin : Wait::kNo;
  const DirectEnd::Sent sent = direct.send(from, 0, wait);
  if (sent.bytes == from.bytes) return static_cast<long>(sent.bytes);
  if (wait == Wait::kNo || real::is_nonblocking(fd_)) {
    if (!sent.full || !direct.heeds_room()) return send_by_carrier(direct, from, sent.bytes, flags);
    want_room();
    return sent.bytes > 0 ? static_cast<long>(sent.bytes) : -EAGAIN;
  }
  return held([&](int fd) {
    if (!is_held(fd)) return send_by_carrier(direct, from, sent.bytes, flags);
    Socket same = *this;
    same.fd_ = fd;
    return same.wait_and_send(direct, from, sent.bytes, flags);
  });
}

long Socket::wait_and_send(DirectEnd direct, const Parts& from, std::size_t sent, int flags) {
  direct.use_descriptor(fd_);
  DirectEnd::Sent now = direct.send(from, sent, Wait::kSleep);
  // Nobody wakes on behalf of a daemon that was killed; the carrier knows.
  while (now.slept == Slept::kLongEnough && direct.heeds_room() && is_daemon_alive() &&
         takes_more(fd_)) {
    now = direct.send(from, now.bytes, Wait::kSleep);
  }
  if (now.full && direct.heeds_room()) want_room();  // the kernel waits, with the call's time limit
  const auto count = static_cast<long>(now.bytes);
  if (now.bytes == from.bytes) return count;
  if (now.slept == Slept::kInterrupted) return count > 0 ? count : -EINTR;
  // It may have waited, and the connection be over.
  if (!takes_more(fd_)) return count > 0 ? count : check_send(from.bytes, flags, false);
  return send_by_carrier(direct, from, now.bytes, flags);
}

long Socket::send_by_carrier(const DirectEnd& direct, const Parts& from, std::size_t sent,
                             int flags) {
  direct.begin_carrier_send();
  VMBUS_FAULT(kCarrierSendBegun);
  if (direct.heeds_room() && !direct.may_be_plugged()) restore_send_buffer();
  const long rest = sent == 0 ? transmit(from.parts, from.count, from.bytes, flags)
                              : send_remaining(from, sent, flags);
  VMBUS_FAULT(kCarrierSendSent);
  direct.end_carrier_send();
  VMBUS_FAULT(kCarrierSendEnded);
  return sent == 0 ? rest : static_cast<long>(sent) + std::max(rest, 0L);
}

// A shows no OUT until the ring has room.
void Socket::want_room() const {
  const int nothing = 0;
  request_set_option(fd_, entry_, proto::kCarrierLevel, proto::kRoomWanted, &nothing,
                     sizeof nothing);
}

// An error is the next call's to report: some of the call's bytes are on their way.
long Socket::send_remaining(const Parts& from, std::size_t skip, int flags) {
  long sent = 0;
  while (skip < from.bytes) {
    const Window rest = window_of(from.parts, from.count, skip, from.bytes - skip);
    const long count = transmit(rest.parts, rest.count, rest.bytes(), flags | MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += count;
    skip += static_cast<std::size_t>(count);
    if (static_cast<std::size_t>(count) < rest.bytes()) break;
  }
  return sent;
}

long Socket::send_message(const msghdr* message, int flags) {
  if (!is_readable(message, sizeof *message)) return refuse(-EFAULT);
  if (const int error = check_message(*message)) return refuse(-error);
  const bool has_address = message->msg_name != nullptr && message->msg_namelen != 0;
  return send_parts(message->msg_iov, message->msg_iovlen, flags, has_address);
}

long Socket::send_parts(const iovec* parts, std::size_t count, int flags, bool has_address,
                        bool is_vector) {
  std::size_t bytes = 0;
  if (const int error = measure(parts, count, &bytes)) return refuse(-error);
  if (bytes == 0 && is_vector && !hears_of_nothing()) return kNotOurs;
  const long checked = check_send(bytes, flags, has_address);
  if (checked != kNotOurs || !entry_.is_carrier()) return checked;
  if (is_zerocopy(flags)) {
    begin_carrier_send();
    const long result = send_zerocopy(parts, count, bytes, flags);
    end_carrier_send();
    return result;
  }
  if (DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_)) {
    return send_directly(direct, {parts, count, bytes}, flags);
  }
  return transmit(parts, count, bytes, flags);
}

long Socket::transmit(const iovec* parts, std::size_t count, std::size_t bytes, int flags) {
  if (is_large(bytes, flags)) return send_large(parts, count, bytes, flags);
  const msghdr plain = data_only(parts, count);
  if (ends_record(flags)) return after_send(send_end_of_record(plain, flags), flags);
  return after_send(real::blocking(SYS_sendmsg, fd_, &plain, (flags & kSendFlags) | MSG_NOSIGNAL),
                    flags);
}

}  // namespace vmbus::shim
