// Receiving: the wrappers.
#include <limits.h>

#include "shim/direct_whole.h"
#include "shim/interpose.h"
#include "shim/message_loop.h"
#include "shim/passing.h"
#include "shim/socket.h"
#include "shim/user_memory.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

// libc's answer to a buffer that is too small for the length a fortified call was given. Does not
// return.
extern "C" [[noreturn]] void __chk_fail();

namespace {

constexpr int kNoWait = 8;  // RWF_NOWAIT

bool is_legal_count(int count) { return count >= 0 && count <= IOV_MAX; }

long receive_parts(int fd, const iovec* parts, int count, int flags) {
  Socket ours = Socket::hint(fd);
  if (!ours || !is_legal_count(count)) return kNotOurs;
  return ours.receive_parts(parts, static_cast<size_t>(count), flags);
}

[[gnu::noinline]] ssize_t read_slowly(int fd, void* buffer, size_t length) {
  // read() of no bytes is 0 whatever the socket's state: the kernel sees to that.
  if (length != 0) {
    const long result = Socket::receive_from(fd, buffer, length, 0);
    if (result != kNotOurs) return real::answer(result);
  }
  return real::answer(real::blocking(SYS_read, fd, buffer, length));
}

[[gnu::noinline]] ssize_t recv_slowly(int fd, void* buffer, size_t length, int flags) {
  const long result = Socket::receive_from(fd, buffer, length, flags);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(real::blocking(SYS_recvfrom, fd, buffer, length, flags, nullptr, nullptr));
}

}  // namespace

ssize_t read(int fd, void* buffer, size_t length) {
  if (const long count = receive_known(fd, buffer, length)) return count;
  return read_slowly(fd, buffer, length);
}

ssize_t __read(int fd, void* buffer, size_t length) { return read(fd, buffer, length); }

ssize_t __read_chk(int fd, void* buffer, size_t length, size_t room) {
  if (length > room) __chk_fail();
  return read(fd, buffer, length);
}

ssize_t readv(int fd, const iovec* parts, int count) {
  const long result = receive_parts(fd, parts, count, 0);
  if (result != kNotOurs) return real::answer(result);
  return real::answer(real::blocking(SYS_readv, fd, parts, count));
}

ssize_t preadv2(int fd, const iovec* parts, int count, off_t offset, int flags) {
  if (offset == -1) {
    const int how = (flags & kNoWait) != 0 ? MSG_DONTWAIT : 0;
    const long result = receive_parts(fd, parts, count, how);
    if (result != kNotOurs) return real::answer(result);
  }
  return real::answer(real::blocking(SYS_preadv2, fd, parts, count, offset, 0, flags));
}

ssize_t preadv64v2(int fd, const iovec* parts, int count, off64_t offset, int flags) {
  return preadv2(fd, parts, count, offset, flags);
}

ssize_t recv(int fd, void* buffer, size_t length, int flags) {
  if ((flags & ~MSG_DONTWAIT) == 0) {
    if (const long count = receive_known(fd, buffer, length)) return count;
  }
  return recv_slowly(fd, buffer, length, flags);
}

ssize_t __recv_chk(int fd, void* buffer, size_t length, size_t room, int flags) {
  if (length > room) __chk_fail();
  return recvfrom(fd, buffer, length, flags, nullptr, nullptr);
}

ssize_t recvfrom(int fd, void* buffer, size_t length, int flags, sockaddr* address,
                 socklen_t* address_length) {
  if (address == nullptr) return recv(fd, buffer, length, flags);
  const long result = Socket::receive_from(fd, buffer, length, flags);
  if (result >= 0) {
    socklen_t room = 0;
    const socklen_t none = 0;
    int error = read_length(address_length, &room);
    if (error == 0) error = copy_to_program(address_length, &none, sizeof none);
    if (error != 0) return real::answer(-error);
  }
  if (result != kNotOurs) return real::answer(result);
  return real::answer(
      real::blocking(SYS_recvfrom, fd, buffer, length, flags, address, address_length));
}

ssize_t __recvfrom_chk(int fd, void* buffer, size_t length, size_t room, int flags,
                       sockaddr* address, socklen_t* address_length) {
  if (length > room) __chk_fail();
  return recvfrom(fd, buffer, length, flags, address, address_length);
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  if (Socket ours = Socket::hint(fd)) {
    const long result = ours.receive_message(message, flags);
    if (result != kNotOurs) return real::answer(result);
  }
  const long result = real::blocking(SYS_recvmsg, fd, message, flags);
  if (result >= 0) note_received_descriptors(*message);
  return real::answer(result);
}

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  if (Socket ours = Socket::hint(fd)) {
    const long result = receive_messages(ours, messages, count, flags, timeout);
    if (result != kNotOurs) return real::answer_int(result);
  }
  const long result = real::blocking(SYS_recvmmsg, fd, messages, count, flags, timeout);
  for (long i = 0; i < result; ++i) note_received_descriptors(messages[i].msg_hdr);
  return real::answer_int(result);
}
