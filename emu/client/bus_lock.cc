#include "emu/client/bus_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace vmbus::client {
namespace {

constexpr std::chrono::milliseconds kLockRetry{10};

std::string what_is_wrong_with(const std::string& directory, const struct stat& status) {
  if (status.st_uid != ::geteuid()) {
    return fmt::format(
        "{} belongs to another user (uid {}); set VMBUS_SOCKET to a path in a directory of yours",
        directory, status.st_uid);
  }
  if ((status.st_mode & 077) != 0) {
    return fmt::format("{} is open to other users (mode {:o}); close it with: chmod 700 {}",
                       directory, status.st_mode & 07777, directory);
  }
  return {};
}

std::string why_not_opened(const std::string& directory, int error) {
  if (error == ELOOP || error == ENOTDIR) {
    return fmt::format("{} must be a directory and not a link; set VMBUS_SOCKET to another path",
                       directory);
  }
  return fmt::format("cannot use directory {}: {}", directory, errno_text(error));
}

}  // namespace

tl::expected<emu::OwnedFd, Error> open_bus_directory(const BusPath& bus) {
  const std::string directory = bus.directory();
  const auto fail = [&](int error) {
    return tl::unexpected(Error{error, why_not_opened(directory, error)});
  };
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno);
  emu::OwnedFd opened(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!opened || ::fstat(opened.get(), &status) != 0) return fail(errno);
  if (std::string wrong = what_is_wrong_with(directory, status); !wrong.empty())
    return tl::unexpected(Error{EACCES, std::move(wrong)});
  return opened;
}

tl::expected<emu::OwnedFd, Error> lock_bus(const BusPath& bus, std::chrono::milliseconds patience) {
  const std::string path = bus.lock();
  emu::OwnedFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    // flock() has no time limit of its own.
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= deadline) {
      const int error = errno;
      return tl::unexpected(
          Error{error, fmt::format("cannot lock {}: {}", path, errno_text(error))});
    }
    ::poll(nullptr, 0, static_cast<int>(kLockRetry.count()));
  }
  if (!lock) {
    const int error = errno;
    return tl::unexpected(Error{error, fmt::format("cannot open {}: {}", path, errno_text(error))});
  }
  return lock;
}

}  // namespace vmbus::client
