#include "emu/background.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "emu/log.h"
#include "emu/options.h"

namespace vmbus::emu {
namespace {

constexpr char kReadyByte = 'R';

void say_ready(OwnedFd descriptor) {
  if (!descriptor) return;
  // Nobody may wait any more; SIGPIPE is ignored and that is not our trouble.
  [[maybe_unused]] const ssize_t written = ::write(descriptor.get(), &kReadyByte, 1);
}

void print_line(std::string_view line) {
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, line.data(), line.size());
}

// The terminal is the user's again: input from nowhere, output to the log file, or to nowhere if
// that cannot be made.
void detach_standard_streams(const std::string& log_path) {
  const OwnedFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const OwnedFd log(::open(log_path.c_str(),
                           O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!null) return log_warn("cannot open /dev/null: {}", errno_text(errno));
  ::dup2(null.get(), STDIN_FILENO);
  ::dup2(null.get(), STDOUT_FILENO);
  ::dup2(log ? log.get() : null.get(), STDERR_FILENO);
}

// What the process that the user started does: waits for the daemon's word, reports, ends.
int report_for_daemon(pid_t daemon, const OwnedFd& ready, const std::string& socket_path) {
  char byte = 0;
  ssize_t count = 0;
  do {
    count = ::read(ready.get(), &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1) {
    print_line(fmt::format("vmbusd: listening on {} (pid {})\n", socket_path, daemon));
    return 0;
  }
  int status = 0;
  while (::waitpid(daemon, &status, 0) < 0 && errno == EINTR) {
  }
  // It has said on standard error why, unless a signal ended it.
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  fmt::print(stderr, "vmbusd: the daemon ended before it was ready\n");
  return 1;
}

}  // namespace

void ReadyNotifier::ready(const client::BusPath& bus) {
  if (background_) {
    detach_standard_streams(bus.log());
  } else {
    print_line(fmt::format("vmbusd: listening on {}\n", bus.socket));
  }
  say_ready(std::exchange(parent_, OwnedFd()));
  say_ready(std::exchange(starter_, OwnedFd()));
}

std::variant<ReadyNotifier, int> enter_background(const DaemonOptions& options) {
  ReadyNotifier notifier;
  notifier.background_ = !options.foreground;
  notifier.starter_.reset(options.ready_fd);
  if (options.ready_fd >= 0) ::fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC);
  if (options.foreground) return notifier;

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fmt::print(stderr, "vmbusd: cannot make a pipe: {}\n", errno_text(errno));
    return 1;
  }
  OwnedFd parent_end(ends[0]);
  notifier.parent_.reset(ends[1]);
  const pid_t daemon = ::fork();
  if (daemon < 0) {
    fmt::print(stderr, "vmbusd: cannot fork: {}\n", errno_text(errno));
    return 1;
  }
  if (daemon > 0) {
    notifier = ReadyNotifier();  // closes our copies, so that the daemon's end is the only one
    return report_for_daemon(daemon, parent_end, options.bus.socket);
  }
  ::setsid();
  // Keep no directory busy; all paths we use are absolute.
  if (::chdir("/") != 0) log_warn("cannot change to /: {}", errno_text(errno));
  return notifier;
}

}  // namespace vmbus::emu
