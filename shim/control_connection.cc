#include "shim/control_connection.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "shim/raw_log.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

constinit std::atomic<int> g_descriptor{-1};
constinit unsigned long long g_cookie = 0;

// How long one step of a request may take: connecting, sending, waiting for the answer. The daemon
// answers at once; only one that is stopped, or no daemon at all, gets here.
constexpr timeval kPatience{10, 0};

// High, but low enough that the kernel's descriptor array need not grow, select() can still be used
// on what the program opens next, and RLIMIT_NOFILE is respected.
constexpr unsigned long kUsualLimit = 1024;
constexpr unsigned long kBelowLimit = 24;

bool peer_is_same_user(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  const long result = real::call(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return result == 0 && peer.uid == static_cast<uid_t>(real::call(SYS_geteuid));
}

long connect_address(int fd, const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), path,
              std::min(std::strlen(path) + 1, sizeof address.sun_path));
  return real::call(SYS_connect, fd, &address, sizeof address);
}

// What a call on the connection gave, as this file's functions say it.
int error_of(long result) {
  switch (result) {
    case 0:  // end of file
    case -EPIPE:
    case -ECONNRESET:
      return EPIPE;
    case -EAGAIN:
      return ETIMEDOUT;
    default:
      return static_cast<int>(-result);
  }
}

// "/proc/self/fd/N/bus" names a socket whose own path does not fit into an address.
long connect_long_path(int fd, const char* path) {
  const char* slash = std::strrchr(path, '/');
  static constinit char directory[4096] = {};  // protected by the lock; the stack may be small
  if (std::strlen(path) >= sizeof directory) return -ENAMETOOLONG;
  std::memset(directory, 0, sizeof directory);
  std::memcpy(directory, path, static_cast<std::size_t>(slash - path));
  const long opened =
      real::call(SYS_openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (opened < 0) return opened;
  char short_path[sizeof(sockaddr_un::sun_path)] = "/proc/self/fd/";
  char digits[12] = {};
  char* first = digits + sizeof digits - 1;
  for (long rest = opened; first == digits + sizeof digits - 1 || rest > 0; rest /= 10) {
    *--first = static_cast<char>('0' + rest % 10);
  }
  std::strcat(short_path, first);
  long result = -ENAMETOOLONG;
  if (std::strlen(short_path) + std::strlen(slash) < sizeof short_path) {
    std::strcat(short_path, slash);
    result = connect_address(fd, short_path);
  }
  real::call(SYS_close, opened);
  return result;
}

}  // namespace

int highest_comfortable_number() {
  rlimit limit{};
  real::call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  const unsigned long end = std::min<unsigned long>(limit.rlim_cur, kUsualLimit);
  return static_cast<int>(end > kBelowLimit ? end - kBelowLimit : 0);
}

long duplicate_high(int fd) {
  return real::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, highest_comfortable_number());
}

void limit_waiting(int fd) {
  real::call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  real::call(SYS_setsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
}

int control_descriptor() { return g_descriptor.load(std::memory_order_relaxed); }

long connect_to_bus(const char* path) {
  const long fd = real::call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  limit_waiting(static_cast<int>(fd));
  const bool fits = std::strlen(path) < sizeof(sockaddr_un::sun_path);
  long result = fits ? connect_address(static_cast<int>(fd), path)
                     : connect_long_path(static_cast<int>(fd), path);
  if (result == 0 && !peer_is_same_user(static_cast<int>(fd))) {
    log_line({"another user's daemon answers at ", path});
    result = -EACCES;
  }
  if (result == 0) return fd;
  real::call(SYS_close, fd);
  return result == -EAGAIN ? -ETIMEDOUT : result;  // its queue of connections stayed full
}

void install_control(int fd) {
  const long high = duplicate_high(fd);
  if (high >= 0) {
    real::call(SYS_close, fd);
    fd = static_cast<int>(high);
  }
  real::socket_cookie(fd, &g_cookie);
  g_descriptor.store(fd, std::memory_order_relaxed);
}

void replace_inherited_control(int fd) {
  const int inherited = control_descriptor();
  real::call(SYS_dup3, fd, inherited, O_CLOEXEC);
  real::call(SYS_close, fd);
  real::socket_cookie(inherited, &g_cookie);
}

bool control_is_intact() {
  const int fd = control_descriptor();
  return fd >= 0 && real::is_socket(fd, g_cookie);
}

void drop_control() {
  if (control_is_intact()) real::call(SYS_close, control_descriptor());
  g_descriptor.store(-1, std::memory_order_relaxed);
}

void vacate(int target) {
  if (!is_control(target) || !control_is_intact()) return;
  const long moved = duplicate_high(target);
  g_descriptor.store(moved >= 0 ? static_cast<int>(moved) : -1, std::memory_order_relaxed);
}

int send_record(const void* bytes, std::size_t size, int attached) {
  iovec part{const_cast<void*>(bytes), size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (attached >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &attached, sizeof attached);
  }
  long sent = 0;
  do {
    sent = real::call(SYS_sendmsg, control_descriptor(), &message, MSG_NOSIGNAL);
  } while (sent == -EINTR);
  return sent > 0 ? 0 : error_of(sent);
}

int receive_record(void* bytes, std::size_t* size, int* received) {
  *received = -1;
  iovec part{bytes, *size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  long count = 0;
  do {
    count = real::call(SYS_recvmsg, control_descriptor(), &message, MSG_CMSG_CLOEXEC);
  } while (count == -EINTR);
  if (count <= 0) return error_of(count);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    std::memcpy(received, CMSG_DATA(header), sizeof *received);
  }
  *size = static_cast<std::size_t>(count);
  return (message.msg_flags & MSG_TRUNC) != 0 ? EPROTO : 0;
}

}  // namespace vmbus::shim
