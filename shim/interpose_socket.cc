// Creation, names, life cycle, options: the wrappers.
#include <pthread.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "shim/creation.h"
#include "shim/device.h"
#include "shim/interpose.h"
#include "shim/socket.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

int socket(int family, int type, int protocol) noexcept {
  const long result = create_socket(family, type, protocol);
  if (result != kNotOurs) return real::answer_int(result);
  return foreign_descriptor(real::call(SYS_socket, family, type, protocol));
}

int socketpair(int family, int type, int protocol, int* ends) noexcept {
  if (owner_of(family, type) == Owner::kShim) return real::answer_int(-EOPNOTSUPP);
  const long result = real::call(SYS_socketpair, family, type, protocol, ends);
  if (result == 0) {
    forget(ends[0]);
    forget(ends[1]);
  }
  return real::answer_int(result);
}

int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  if (Socket ours = Socket::proven(fd)) return real::answer_int(ours.bind(address, length));
  return real::answer_int(real::call(SYS_bind, fd, address, length));
}

int listen(int fd, int backlog) noexcept {
  if (Socket ours = Socket::proven(fd)) return real::answer_int(ours.listen(backlog));
  return real::answer_int(real::call(SYS_listen, fd, backlog));
}

int accept(int fd, sockaddr* address, socklen_t* length) { return accept4(fd, address, length, 0); }

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  if (Socket ours = Socket::proven(fd)) {
    return real::answer_int(ours.accept(address, length, flags));
  }
  return foreign_descriptor(real::blocking(SYS_accept4, fd, address, length, flags));
}

int connect(int fd, const sockaddr* address, socklen_t length) {
  if (Socket ours = Socket::proven(fd)) {
    pthread_testcancel();  // the daemon may answer without a wait
    return real::answer_int(ours.connect(address, length));
  }
  return real::answer_int(real::blocking(SYS_connect, fd, address, length));
}

int shutdown(int fd, int how) noexcept {
  if (Socket ours = Socket::proven(fd)) return real::answer_int(ours.shutdown(how));
  return real::answer_int(real::call(SYS_shutdown, fd, how));
}

int getsockname(int fd, sockaddr* address, socklen_t* length) noexcept {
  if (const Socket ours = Socket::proven(fd)) {
    return real::answer_int(ours.getsockname(address, length));
  }
  return real::answer_int(real::call(SYS_getsockname, fd, address, length));
}

int getpeername(int fd, sockaddr* address, socklen_t* length) noexcept {
  if (const Socket ours = Socket::proven(fd)) {
    return real::answer_int(ours.getpeername(address, length));
  }
  return real::answer_int(real::call(SYS_getpeername, fd, address, length));
}

int getsockopt(int fd, int level, int option, void* value, socklen_t* length) noexcept {
  if (Socket ours = Socket::proven(fd)) {
    const long result = ours.getsockopt(level, option, value, length);
    if (result != kNotOurs) return real::answer_int(result);
  }
  return real::answer_int(real::call(SYS_getsockopt, fd, level, option, value, length));
}

int setsockopt(int fd, int level, int option, const void* value, socklen_t length) noexcept {
  if (Socket ours = Socket::proven(fd)) {
    const long result = ours.setsockopt(level, option, value, length);
    if (result != kNotOurs) return real::answer_int(result);
  }
  const long result = real::call(SYS_setsockopt, fd, level, option, value, length);
  const bool is_limit = option == SO_RCVTIMEO_OLD || option == SO_RCVTIMEO_NEW;
  return level == SOL_SOCKET && is_limit ? changed_waits(fd, result) : real::answer_int(result);
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);

  long result = kNotOurs;
  if (const FdEntry entry = fd_table().find(fd); entry.is_device()) {
    result = device_ioctl(request, argument);
  } else if (const Socket ours = Socket::proven(fd)) {
    result = ours.ioctl(request, argument);
  }
  // Whatever `fd` is, this one must not ask a real device.
  if (result == kNotOurs && request == kGetLocalCid) result = refuse_local_cid(fd);
  if (result == kNotOurs) result = real::call(SYS_ioctl, fd, request, argument);
  return request == FIONBIO ? changed_waits(fd, result) : real::answer_int(result);
}
