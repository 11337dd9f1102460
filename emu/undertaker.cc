#include "emu/undertaker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "emu/hvsocket/carrier_end.h"
#include "emu/log.h"

namespace vmbus::emu {
namespace {

// One record of the line: with a descriptor, to be kept; without, to be dropped.
using Record = std::uint64_t;

struct KeptEnd {
  std::uint64_t cookie;
  int b;
};

// ---- the child. It ends by _exit() alone, and writes nothing.

void close_all_but(int line) {
  const auto kept = static_cast<unsigned>(line);
  bool closed = ::syscall(SYS_close_range, kept + 1, ~0U, 0) == 0;
  closed = closed && (kept == 0 || ::syscall(SYS_close_range, 0, kept - 1, 0) == 0);
  if (closed) return;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (rlim_t fd = 0; fd < limit.rlim_cur; ++fd) {
    if (fd != kept) ::close(static_cast<int>(fd));
  }
}

void leave_the_daemons_company(int line) {
  ::setsid();
  for (const int ending : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM}) {
    ::signal(ending, SIG_IGN);
  }
  close_all_but(line);
  // What a runtime writes to descriptor 2 must not reach an end that is kept under that number.
  while (true) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null > STDERR_FILENO) ::close(null);
    if (null < 0 || null >= STDERR_FILENO) break;
  }
  ::prctl(PR_SET_NAME, "vmbusd-undertak", 0, 0, 0);
  [[maybe_unused]] const int moved = ::chdir("/");
}

// The descriptor that came with a message; -1: none.
int attached_to(msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
    return -1;
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

void note(std::vector<KeptEnd>& kept, std::uint64_t cookie, int b) {
  if (b >= 0) return kept.push_back({cookie, b});
  std::erase_if(kept, [cookie](const KeptEnd& end) {
    if (end.cookie != cookie) return false;
    ::close(end.b);
    return true;
  });
}

[[noreturn]] void work(int line) {
  leave_the_daemons_company(line);
  std::vector<KeptEnd> kept;
  while (true) {
    Record cookie = 0;
    iovec bytes{&cookie, sizeof cookie};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t length = ::recvmsg(line, &message, MSG_CMSG_CLOEXEC);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    // An end that it could not take: better none than one that promises too much.
    if ((message.msg_flags & MSG_CTRUNC) != 0) ::_exit(1);
    note(kept, cookie, attached_to(message));
  }
  for (const KeptEnd& end : kept) ::shutdown(end.b, SHUT_RDWR);
  ::_exit(0);
}

}  // namespace

// ---- the daemon's side

Undertaker Undertaker::start() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    log_warn("no undertaker, so no feeds: {}", errno_text(errno));
    return {};
  }
  OwnedFd ours(ends[0]);
  const OwnedFd theirs(ends[1]);
  const pid_t pid = ::fork();
  if (pid == 0) work(theirs.get());
  if (pid < 0) {
    log_warn("no undertaker, so no feeds: {}", errno_text(errno));
    return {};
  }
  return {std::move(ours), pid};
}

bool Undertaker::keep(std::uint64_t cookie, int b) {
  if (!line_ || !flush_drops()) return false;
  const int error = send_attached(line_.get(), std::as_bytes(std::span(&cookie, 1)), b);
  if (error != 0 && error != EAGAIN && error != ETOOMANYREFS) lose(error);
  return error == 0;
}

void Undertaker::drop(std::uint64_t cookie) {
  if (!line_) return;
  dropped_.push_back(cookie);
  flush_drops();
}

// False: it has no room for more, or is gone.
bool Undertaker::flush_drops() {
  while (!dropped_.empty()) {
    const int error =
        send_attached(line_.get(), std::as_bytes(std::span(&dropped_.front(), 1)), -1);
    if (error == EAGAIN) return false;
    if (error != 0) lose(error);
    if (error != 0) return false;
    dropped_.erase(dropped_.begin());
  }
  return true;
}

void Undertaker::lose(int error) {
  log_warn("the undertaker (pid {}) is gone, so no more feeds: {}", pid_, errno_text(error));
  line_.reset();
  dropped_.clear();
  ::waitpid(pid_, nullptr, WNOHANG);
  pid_ = 0;
}

}  // namespace vmbus::emu
