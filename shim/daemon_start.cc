#include "shim/daemon_start.h"

#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shim/control_connection.h"
#include "shim/raw_log.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kPathBytes = 4096;
constexpr std::size_t kMaxVariables = 4096;  // environment variables handed to the daemon
constexpr int kReadyDescriptor = 3;          // in the daemon
constexpr long kReadyTimeoutSeconds = 10;
// For the lock: whoever holds it may wait that long for a daemon of its own.
constexpr std::int64_t kLockPatienceNs = 2 * kReadyTimeoutSeconds * 1'000'000'000;
constexpr long kLockPollNs = 10'000'000;
constexpr std::int64_t kRetryAfterNs = 1'000'000'000;

// A path in static storage, protected by the lock: the program's stack may be a signal handler's 8
// KiB.
class Path {
 public:
  // False: does not fit.
  bool assign(const char* first, std::size_t first_bytes, const char* rest) {
    const std::size_t rest_bytes = std::strlen(rest);
    if (first_bytes + rest_bytes >= text_.size()) return false;
    std::memcpy(text_.data(), first, first_bytes);
    std::memcpy(text_.data() + first_bytes, rest, rest_bytes + 1);
    return true;
  }
  const char* text() const { return text_.data(); }
  char* text() { return text_.data(); }
  bool is_executable() const { return real::call(SYS_faccessat, AT_FDCWD, text(), X_OK) == 0; }

 private:
  std::array<char, kPathBytes> text_{};
};

// ---- where vmbusd is
// -------------------------------------------------------------------------------------

struct OwnFile {
  std::uintptr_t address;
  Path path;
  bool found;
};

int note_own_file(dl_phdr_info* info, std::size_t, void* context) {
  auto* own = static_cast<OwnFile*>(context);
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    const std::uintptr_t start = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_LOAD && own->address - start < header.p_memsz) {
      own->found = own->path.assign(info->dlpi_name, std::strlen(info->dlpi_name), "");
      return 1;
    }
  }
  return 0;
}

// lib/vmbus/libvmbus_shim.so -> ../../bin/vmbusd, both installed and in a build tree.
bool find_beside_shim(Path* daemon) {
  static constinit OwnFile own{0, {}, false};
  own.address = reinterpret_cast<std::uintptr_t>(&note_own_file);
  dl_iterate_phdr(note_own_file, &own);
  const char* slash = own.found ? std::strrchr(own.path.text(), '/') : nullptr;
  if (slash == nullptr) return false;
  const auto directory_bytes = static_cast<std::size_t>(slash - own.path.text());
  return daemon->assign(own.path.text(), directory_bytes, "/../../bin/vmbusd") &&
         daemon->is_executable();
}

bool find_on_path(Path* daemon) {
  for (const char* entry = getenv("PATH"); entry != nullptr && *entry != '\0';) {
    const std::size_t bytes = std::strcspn(entry, ":");
    if (bytes > 0 && daemon->assign(entry, bytes, "/vmbusd") && daemon->is_executable()) {
      return true;
    }
    entry += bytes;
    if (*entry == ':') ++entry;
  }
  return false;
}

bool find_daemon(Path* daemon) {
  const char* chosen = getenv("VMBUS_DAEMON");
  if (chosen != nullptr && *chosen != '\0') {
    return daemon->assign(chosen, std::strlen(chosen), "") && daemon->is_executable();
  }
  return find_beside_shim(daemon) || find_on_path(daemon);
}

// ---- the new process
// -------------------------------------------------------------------------------------

// The program's environment without LD_PRELOAD: the daemon is no guest of its own bus.
constinit std::array<char*, kMaxVariables> g_variables{};

void copy_environment() {
  std::size_t count = 0;
  for (char** variable = environ; *variable != nullptr && count < g_variables.size() - 1;
       ++variable) {
    if (std::strncmp(*variable, "LD_PRELOAD=", 11) != 0) g_variables[count++] = *variable;
  }
  g_variables[count] = nullptr;
}

// In the child of the child: a terminal-less process with streams of its own, nothing of the
// program's left open.
[[noreturn]] void become_daemon(const Path& daemon, const char* socket_path, int ready) {
  real::call(SYS_setsid);
  const long null = real::call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
  real::call(SYS_dup3, ready, kReadyDescriptor + 1, 0);
  for (int stream = 0; stream < kReadyDescriptor; ++stream) {
    real::dup2(static_cast<int>(null), stream);
  }
  real::call(SYS_dup3, kReadyDescriptor + 1, kReadyDescriptor, 0);
  real::call(SYS_close_range, kReadyDescriptor + 1, ~0U, 0);
  const std::uint64_t no_signals = 0;
  real::call(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
  const char* const arguments[] = {"vmbusd",   "--ready-fd", "3",    "--leave-when-idle",
                                   "--socket", socket_path,  nullptr};
  real::call(SYS_execve, daemon.text(), arguments, g_variables.data());
  real::call(SYS_exit_group, 127);
  __builtin_unreachable();
}

// A raw clone without an exit signal: the program's wait() and SIGCHLD handler never hear of it, no
// atfork handler runs, and the child makes system calls alone. The daemon is its child in turn, and
// init's afterwards.
long spawn_daemon(const Path& daemon, const char* socket_path, int ready) {
  copy_environment();
  const long child = real::call(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
  if (child == 0) {
    const long grandchild = real::call(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
    if (grandchild == 0) become_daemon(daemon, socket_path, ready);
    real::call(SYS_exit_group, grandchild < 0 ? 1 : 0);
  }
  if (child < 0) return child;
  int status = 0;
  long waited = 0;
  do {
    waited = real::call(SYS_wait4, child, &status, __WALL, nullptr);
  } while (waited == -EINTR);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

// The daemon writes a byte when it listens; end of file without one means that it died.
bool wait_until_ready(int ready) {
  pollfd wanted{ready, POLLIN, 0};
  timespec timeout{kReadyTimeoutSeconds, 0};
  long result = 0;
  do {  // ppoll keeps the remaining time in `timeout`
    result = real::call(SYS_ppoll, &wanted, 1, &timeout, nullptr, 0);
  } while (result == -EINTR);
  char byte = 0;
  return result == 1 && real::call(SYS_read, ready, &byte, 1) == 1;
}

bool start_daemon(const char* socket_path) {
  static constinit Path daemon;
  if (!find_daemon(&daemon)) {
    log_line({"cannot find vmbusd: set VMBUS_DAEMON, or put it on PATH"});
    return false;
  }
  int ends[2] = {-1, -1};
  if (real::call(SYS_pipe2, ends, O_CLOEXEC) < 0) return false;
  const long spawned = spawn_daemon(daemon, socket_path, ends[1]);
  real::call(SYS_close, ends[1]);
  const bool ready = spawned == 0 && wait_until_ready(ends[0]);
  real::call(SYS_close, ends[0]);
  if (!ready) log_line({daemon.text(), " did not start"}, static_cast<int>(-spawned));
  return ready;
}

// ---- the lock
// --------------------------------------------------------------------------------------------

// The directory must be ours and nobody else's, so that nobody can plant a socket or hold the lock;
// vmbusd insists on the same.
bool prepare_directory(const char* socket_path) {
  static constinit Path directory;
  const char* slash = std::strrchr(socket_path, '/');
  // "/bus" is in "/".
  const auto bytes = std::max<std::size_t>(1, static_cast<std::size_t>(slash - socket_path));
  if (!directory.assign(socket_path, bytes, "")) return false;
  real::call(SYS_mkdirat, AT_FDCWD, directory.text(), 0700);
  struct stat status {};
  const long result =
      real::call(SYS_newfstatat, AT_FDCWD, directory.text(), &status, AT_SYMLINK_NOFOLLOW);
  const bool safe = result == 0 && S_ISDIR(status.st_mode) && (status.st_mode & 077) == 0 &&
                    status.st_uid == static_cast<uid_t>(real::call(SYS_geteuid));
  if (!safe) log_line({directory.text(), ": want a directory that is yours, with mode 0700"});
  return safe;
}

// Not with a flock() that waits: a process that was stopped while it holds the lock would stop us,
// who have every signal blocked.
long wait_for_lock(long fd) {
  const std::int64_t end_ns = real::now_ns() + kLockPatienceNs;
  const timespec pause{0, kLockPollNs};
  long result = 0;
  while (true) {
    result = real::call(SYS_flock, fd, LOCK_EX | LOCK_NB);
    if (result != -EAGAIN || real::now_ns() >= end_ns) return result;
    real::call(SYS_nanosleep, &pause, nullptr);
  }
}

long lock_starter(const char* socket_path) {
  static constinit Path path;
  if (!path.assign(socket_path, std::strlen(socket_path), ".lock")) return -ENAMETOOLONG;
  const long fd = real::call(SYS_openat, AT_FDCWD, path.text(),
                             O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fd;
  const long result = wait_for_lock(fd);
  if (result == 0) return fd;
  log_line({"cannot lock ", path.text()}, static_cast<int>(-result));
  real::call(SYS_close, fd);
  return result;
}

bool nobody_listens(long connected) { return connected == -ENOENT || connected == -ECONNREFUSED; }

long connect_or_start_locked(const char* path) {
  long connected = connect_to_bus(path);  // somebody may have started one meanwhile
  if (!nobody_listens(connected)) return connected;
  if (!start_daemon(path)) return -ECONNREFUSED;
  return connect_to_bus(path);
}

constinit std::int64_t g_failed_at_ns = 0;

}  // namespace

long connect_or_start(const char* path) {
  long connected = connect_to_bus(path);
  if (!nobody_listens(connected)) return connected;
  if (g_failed_at_ns != 0 && real::now_ns() - g_failed_at_ns < kRetryAfterNs) return connected;
  if (prepare_directory(path)) {
    const long lock = lock_starter(path);
    if (lock >= 0) {
      connected = connect_or_start_locked(path);
      real::call(SYS_close, lock);
    }
  }
  g_failed_at_ns = connected < 0 ? real::now_ns() : 0;
  return connected;
}

}  // namespace vmbus::shim
