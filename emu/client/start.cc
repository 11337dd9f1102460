#include "emu/client/start.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>

#include "emu/client/bus_lock.h"

namespace vmbus::client {
namespace {

constexpr int kReadyDescriptor = 3;  // in the daemon
constexpr int kAboveStandardStreams =
    10;  // for descriptors that dup2() must not overwrite by accident

tl::expected<std::string, Error> find_in_path(std::string_view path) {
  while (!path.empty()) {
    const std::size_t end = std::min(path.find(':'), path.size());
    std::string candidate = fmt::format("{}/vmbusd", path.substr(0, end));
    if (end > 0 && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return tl::unexpected(
      Error{ENOENT, "cannot find vmbusd; put it beside vmbus or on PATH, or set VMBUS_DAEMON"});
}

// The daemon is no program of its own bus, so it is not preloaded.
std::vector<char*> daemon_environment() {
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!std::string_view(*variable).starts_with("LD_PRELOAD=")) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  return variables;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Default signal actions and an empty mask, its own process group and terminal: the caller's Ctrl-C
// is not for it.
class SpawnSetup {
 public:
  SpawnSetup(int ready, int errors) {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, errors, STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, ready, kReadyDescriptor);
    // A pipe of the caller's that stayed open in the daemon would never reach its end.
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, kReadyDescriptor + 1);
    ::posix_spawnattr_init(&attributes_);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSetup() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

enum class Readiness { kReady, kDied, kSilent };

Readiness wait_until_ready(int pipe, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  pollfd wanted{pipe, POLLIN, 0};
  int ready = 0;
  do {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    ready = ::poll(&wanted, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  } while (ready < 0 && errno == EINTR);
  char byte = 0;
  if (ready <= 0) return Readiness::kSilent;
  return ::read(pipe, &byte, 1) == 1 ? Readiness::kReady : Readiness::kDied;
}

// The last line the daemon wrote is the one that says why it gave up.
std::string last_line(int file) {
  std::array<char, 4096> buffer{};
  const off_t size = ::lseek(file, 0, SEEK_END);
  const off_t start = std::max<off_t>(0, size - static_cast<off_t>(buffer.size()));
  const ssize_t count = ::pread(file, buffer.data(), buffer.size(), start);
  std::string_view text(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  while (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

struct Pipe {
  emu::OwnedFd read_end;
  emu::OwnedFd write_end;
};

tl::expected<Pipe, int> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return tl::unexpected(errno);
  Pipe pipe{emu::OwnedFd(ends[0]), emu::OwnedFd(ends[1])};
  pipe.write_end.reset(::fcntl(pipe.write_end.get(), F_DUPFD_CLOEXEC, kAboveStandardStreams));
  if (!pipe.write_end) return tl::unexpected(errno);
  return pipe;
}

// Its standard error until it is ready; a file, so that the daemon never waits for us to read.
emu::OwnedFd make_error_file() {
  const emu::OwnedFd file(::memfd_create("vmbusd-stderr", MFD_CLOEXEC));
  return emu::OwnedFd(::fcntl(file.get(), F_DUPFD_CLOEXEC, kAboveStandardStreams));
}

Error not_started(const std::string& daemon, std::string_view why) {
  return {ECHILD, fmt::format("{} did not start: {}", daemon, why)};
}

tl::expected<void, Error> run_daemon(const std::string& daemon, std::vector<std::string> arguments,
                                     std::chrono::milliseconds patience) {
  auto pipe = make_pipe();
  const emu::OwnedFd errors = make_error_file();
  if (!pipe || !errors)
    return tl::unexpected(not_started(daemon, errno_text(pipe ? errno : pipe.error())));
  const SpawnSetup setup(pipe->write_end.get(), errors.get());
  pid_t child = -1;
  const int error = ::posix_spawn(&child, daemon.c_str(), setup.actions(), setup.attributes(),
                                  pointers_to(arguments).data(), daemon_environment().data());
  if (error != 0) return tl::unexpected(not_started(daemon, errno_text(error)));
  pipe->write_end.reset();
  const Readiness readiness = wait_until_ready(pipe->read_end.get(), patience);
  // The process we started goes into the background, so it ends either way, unless it is stuck.
  if (readiness == Readiness::kSilent) ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (readiness == Readiness::kReady) return {};
  if (readiness == Readiness::kSilent) {
    return tl::unexpected(
        not_started(daemon, fmt::format("not ready after {} ms", patience.count())));
  }
  const std::string line = last_line(errors.get());
  return tl::unexpected(not_started(daemon, line.empty() ? "it ended without a word" : line));
}

tl::expected<void, Error> start_daemon(const BusPath& bus, const StartOptions& options) {
  const auto daemon = find_daemon();
  if (!daemon) return tl::unexpected(daemon.error());
  std::vector<std::string> arguments = {"vmbusd", "--socket", bus.socket, "--ready-fd",
                                        std::to_string(kReadyDescriptor)};
  if (options.leave_when_idle) arguments.emplace_back("--leave-when-idle");
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  return run_daemon(*daemon, std::move(arguments), options.patience);
}

}  // namespace

tl::expected<std::string, Error> find_daemon(const VariableLookup& lookup) {
  const char* chosen = lookup("VMBUS_DAEMON");
  if (chosen != nullptr && *chosen != '\0') {
    if (::access(chosen, X_OK) == 0) return std::string(chosen);
    return tl::unexpected(
        Error{ENOENT, fmt::format("VMBUS_DAEMON '{}' is not a program that can be run", chosen)});
  }
  std::error_code error;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", error);
  std::string beside = own.parent_path() / "vmbusd";
  if (!error && ::access(beside.c_str(), X_OK) == 0) return beside;
  const char* path = lookup("PATH");
  return find_in_path(path == nullptr ? std::string_view{} : std::string_view(path));
}

tl::expected<Connection, Error> connect_or_start(const BusPath& bus, const StartOptions& options) {
  auto connected = connect(bus, options.program);
  if (connected || !nobody_listens(connected.error())) return connected;
  if (const auto directory = open_bus_directory(bus); !directory)
    return tl::unexpected(directory.error());
  const auto lock = lock_bus(bus, options.patience);
  if (!lock) return tl::unexpected(lock.error());
  connected = connect(bus, options.program);  // somebody may have started one while we waited
  if (connected || !nobody_listens(connected.error())) return connected;
  if (const auto started = start_daemon(bus, options); !started)
    return tl::unexpected(started.error());
  return connect(bus, options.program);
}

}  // namespace vmbus::client
