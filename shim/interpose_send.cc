// Sending: the wrappers.
#include <limits.h>
#include <sys/sendfile.h>

#include <algorithm>

#include "shim/direct_whole.h"
#include "shim/interpose.h"
#include "shim/message_loop.h"
#include "shim/passing.h"
#include "shim/socket.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

namespace {

constexpr unsigned kMaxMessages = 1024;  // of one call; the kernel looks at no more
constexpr int kNoWait = 8;               // RWF_NOWAIT
constexpr size_t kFilePiece = 64 * 1024;

long send_parts(int fd, const iovec* parts, int count, int flags) {
  Socket ours = Socket::hint(fd);
  if (!ours || count < 0 || count > IOV_MAX) return kNotOurs;
  return ours.send_parts(parts, static_cast<size_t>(count), flags, false, true);
}

long send_named(int fd, const void* buffer, size_t length, int flags, const sockaddr* address,
                socklen_t address_length) {
  Socket ours = Socket::hint(fd);
  if (!ours) return kNotOurs;
  const long checked = ours.check_name(address, address_length);
  if (checked != kNotOurs || !ours) return checked;
  return ours.send(buffer, length, flags, true);
}

// In pieces of what sendfile moves at once, so that none is sent after the peer is gone
// (large_send.cc).
long send_file_pieces(Socket& ours, int to, int from, off_t* offset, size_t count) {
  size_t sent = 0;
  while (true) {
    const size_t piece = std::min(count - sent, kFilePiece);
    const long result = real::call(SYS_sendfile, to, from, offset, piece);
    if (result <= 0) return sent > 0 ? static_cast<long>(sent) : result;
    sent += static_cast<size_t>(result);
    if (sent == count || static_cast<size_t>(result) < piece || !ours.takes_more(to)) {
      return static_cast<long>(sent);
    }
  }
}

long send_file(Socket& ours, int to, int from, off_t* offset, size_t count) {
  if (count <= kFilePiece) return real::call(SYS_sendfile, to, from, offset, count);
  return ours.held([&](int held) { return send_file_pieces(ours, held, from, offset, count); });
}

[[gnu::noinline]] ssize_t write_slowly(int fd, const void* buffer, size_t length) {
  const long result = Socket::send_to(fd, buffer, length, 0);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(real::blocking(SYS_write, fd, buffer, length));
}

[[gnu::noinline]] ssize_t send_slowly(int fd, const void* buffer, size_t length, int flags) {
  const long result = Socket::send_to(fd, buffer, length, flags);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(real::blocking(SYS_sendto, fd, buffer, length, flags, nullptr, 0));
}

// What the kernel's own copying gave, unless the endpoint's entry explains it better.
long explained(long result, long explanation) {
  return explanation == kNotOurs ? result : explanation;
}

}  // namespace

ssize_t write(int fd, const void* buffer, size_t length) {
  if (send_known(fd, buffer, length)) return static_cast<ssize_t>(length);
  return write_slowly(fd, buffer, length);
}

ssize_t __write(int fd, const void* buffer, size_t length) { return write(fd, buffer, length); }

ssize_t writev(int fd, const iovec* parts, int count) {
  const long result = send_parts(fd, parts, count, 0);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(real::blocking(SYS_writev, fd, parts, count));
}

ssize_t pwritev2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  if (offset == -1) {
    const int how = (flags & kNoWait) != 0 ? MSG_DONTWAIT : 0;
    const long result = send_parts(fd, parts, count, how);
    if (result != kNotOurs) return real::answer(result);
  }
  return real::answer(real::blocking(SYS_pwritev2, fd, parts, count, offset, 0, flags));
}

ssize_t pwritev64v2(int fd, const iovec* parts, int count, off64_t offset, int flags) {
  return pwritev2(fd, parts, count, offset, flags);
}

ssize_t send(int fd, const void* buffer, size_t length, int flags) {
  const bool is_plain = (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) == 0;
  if (is_plain && send_known(fd, buffer, length)) return static_cast<ssize_t>(length);
  return send_slowly(fd, buffer, length, flags);
}

ssize_t __send(int fd, const void* buffer, size_t length, int flags) {
  return send(fd, buffer, length, flags);
}

ssize_t sendto(int fd, const void* buffer, size_t length, int flags, const sockaddr* address,
               socklen_t address_length) {
  const bool has_address = address != nullptr && address_length != 0;
  const long result = has_address ? send_named(fd, buffer, length, flags, address, address_length)
                                  : Socket::send_to(fd, buffer, length, flags);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(
      real::blocking(SYS_sendto, fd, buffer, length, flags, address, address_length));
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (Socket ours = Socket::hint(fd)) {
    const long result = ours.send_message(message, flags);
    if (result != kNotOurs) return real::answer(result);
  }
  note_passed_descriptors(message);
  return real::answer(real::blocking(SYS_sendmsg, fd, message, flags));
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (Socket ours = Socket::hint(fd)) {
    const long result = send_messages(ours, messages, count, flags);
    if (result != kNotOurs) return real::answer_int(result);
  }
  const unsigned looked_at = messages == nullptr ? 0 : std::min<unsigned>(count, kMaxMessages);
  for (unsigned i = 0; passes_may_matter() && i < looked_at; ++i) {
    note_passed_descriptors(&messages[i].msg_hdr);
  }
  return real::answer_int(real::blocking(SYS_sendmmsg, fd, messages, count, flags));
}

ssize_t sendfile(int to, int from, off_t* offset, size_t count) noexcept {
  Socket ours = Socket::hint(to);
  if (!ours) return real::answer(real::call(SYS_sendfile, to, from, offset, count));
  const long verdict = ours.check_send(count, 0, false);
  if (verdict != kNotOurs) return real::answer(verdict);
  if (!ours) return real::answer(real::call(SYS_sendfile, to, from, offset, count));
  ours.begin_carrier_send();
  const long result = send_file(ours, to, from, offset, count);
  ours.end_carrier_send();
  // The kernel raised SIGPIPE itself if it was due.
  return real::answer(explained(result, ours.after_send(result, MSG_NOSIGNAL)));
}

ssize_t sendfile64(int to, int from, off64_t* offset, size_t count) noexcept {
  return sendfile(to, from, offset, count);
}

ssize_t splice(int from, off64_t* from_offset, int to, off64_t* to_offset, size_t length,
               unsigned flags) {
  Socket source = Socket::hint(from);
  Socket target = Socket::hint(to);
  long verdict = source ? source.check_receive(length, 0) : kNotOurs;
  if (verdict == kNotOurs && target) verdict = target.check_send(length, 0, false);
  if (verdict != kNotOurs) return real::answer(verdict);
  if (source) source.bring_to_carrier();
  if (target) target.begin_carrier_send();
  long result = real::blocking(SYS_splice, from, from_offset, to, to_offset, length, flags);
  if (target) target.end_carrier_send();
  if (source) result = explained(result, source.after_receive(result, 0));
  if (target) result = explained(result, target.after_send(result, MSG_NOSIGNAL));
  return real::answer(result);
}
