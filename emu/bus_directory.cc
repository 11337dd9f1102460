#include "emu/bus_directory.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "emu/client/bus_lock.h"
#include "emu/client/unix_socket.h"
#include "emu/log.h"

namespace vmbus::emu {
namespace {

// How long another daemon may take to come or go.
constexpr std::chrono::milliseconds kLockPatience{10'000};
constexpr int kProbeTimeoutMs = 1000;

using Failure = tl::unexpected<std::string>;

// The lock may be our starter's, and then stays so. An empty result holds nothing.
tl::expected<OwnedFd, std::string> take_start_lock(const client::BusPath& bus,
                                                   BusDirectory::LockHolder holder) {
  const bool starter = holder == BusDirectory::LockHolder::kStarter;
  auto lock = client::lock_bus(bus, starter ? std::chrono::milliseconds(0) : kLockPatience);
  if (lock) return std::move(*lock);
  if (starter && lock.error().code == EWOULDBLOCK) return OwnedFd();
  return Failure(lock.error().explanation);
}

// Makes sure that the path is free: a socket that nobody listens on is removed, anything else is
// refused.
tl::expected<void, std::string> clear_path(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return Failure(fmt::format("cannot use {}: {}", path, errno_text(errno)));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Failure(
        fmt::format("{} exists and is no socket; choose another path with --socket", path));
  }
  const auto other = client::connect_unix(path, kProbeTimeoutMs);
  if (other) {
    const auto peer = client::peer_identity(other->get());
    return Failure(
        fmt::format("another vmbusd (pid {}) listens on {}; end it with `vmbus stop`, or choose "
                    "another path with --socket",
                    peer ? peer->pid : 0, path));
  }
  if (other.error() != ECONNREFUSED) {
    return Failure(fmt::format("something else uses {}: {}; choose another path with --socket",
                               path, errno_text(other.error())));
  }
  if (::unlink(path.c_str()) != 0)
    return Failure(fmt::format("cannot remove the dead socket {}: {}", path, errno_text(errno)));
  return {};
}

tl::expected<OwnedFd, std::string> listen_on(const std::string& path) {
  OwnedFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int error = listener ? client::bind_unix(listener.get(), path) : errno;
  if (error == 0 && ::listen(listener.get(), SOMAXCONN) != 0) error = errno;
  if (error != 0) return Failure(fmt::format("cannot listen on {}: {}", path, errno_text(error)));
  return listener;
}

bool somebody_waits(int listener) {
  pollfd wanted{listener, POLLIN, 0};
  return ::poll(&wanted, 1, 0) > 0;
}

}  // namespace

tl::expected<BusDirectory, std::string> BusDirectory::claim(client::BusPath bus,
                                                            LockHolder holder) {
  if (const auto directory = client::open_bus_directory(bus); !directory)
    return Failure(directory.error().explanation);
  const auto lock = take_start_lock(bus, holder);
  if (!lock) return Failure(lock.error());
  if (const auto cleared = clear_path(bus.socket); !cleared) return Failure(cleared.error());
  auto listener = listen_on(bus.socket);
  if (!listener) return Failure(listener.error());
  struct stat socket {};
  if (::lstat(bus.socket.c_str(), &socket) != 0)
    return Failure(fmt::format("{} vanished: {}", bus.socket, errno_text(errno)));
  return BusDirectory(std::move(bus), std::move(*listener), socket);
}

bool BusDirectory::leave_if_unused() {
  // A starter that holds the lock is about to connect to us. Where there can be no lock (the
  // directory was removed, the descriptors are used up) we go without: we would stay for ever.
  const auto lock = client::lock_bus(bus_, std::chrono::milliseconds(0));
  const bool taken = !lock && lock.error().code == EWOULDBLOCK;
  if (taken || somebody_waits(listener_.get())) return false;
  remove_socket();
  listener_.reset();
  return true;
}

void BusDirectory::leave() {
  if (!listener_) return;
  remove_socket();
  listener_.reset();
}

void BusDirectory::remove_socket() const {
  struct stat now {};
  const bool ours = ::lstat(bus_.socket.c_str(), &now) == 0 && now.st_ino == socket_.st_ino &&
                    now.st_dev == socket_.st_dev;
  if (!ours) return;
  if (::unlink(bus_.socket.c_str()) != 0)
    log_warn("cannot remove {}: {}", bus_.socket, errno_text(errno));
  // Nobody but the command that it was made for, and its children, ever knew of a private bus.
  if (client::is_private_bus(bus_)) client::remove_private_bus(bus_);
}

}  // namespace vmbus::emu
