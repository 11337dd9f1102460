#include "emu/client/unix_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace vmbus::client {
namespace {

using SocketCall = int (*)(int, const sockaddr*, socklen_t);

int call_with_address(SocketCall call, int socket, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(&address.sun_path, path.c_str(), path.size() + 1);
  return call(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

int call_with_path(SocketCall call, int socket, const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return call_with_address(call, socket, path);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ENAMETOOLONG;
  const emu::OwnedFd directory(
      ::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return errno;
  return call_with_address(
      call, socket, fmt::format("/proc/self/fd/{}/{}", directory.get(), path.substr(slash + 1)));
}

void set_timeouts(int socket, int timeout_ms) {
  timeval limit{};
  limit.tv_sec = timeout_ms / 1000;
  limit.tv_usec = (timeout_ms % 1000) * 1000;
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

}  // namespace

tl::expected<emu::OwnedFd, int> connect_unix(const std::string& path, int timeout_ms) {
  emu::OwnedFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return tl::unexpected(errno);
  set_timeouts(socket.get(), timeout_ms);
  if (const int error = call_with_path(::connect, socket.get(), path)) return tl::unexpected(error);
  return socket;
}

int bind_unix(int socket, const std::string& path) {
  // bind() makes the file with the socket's own mode, so that it is never open to others, not even
  // for a moment.
  if (::fchmod(socket, 0600) != 0) return errno;
  return call_with_path(::bind, socket, path);
}

tl::expected<PeerIdentity, int> peer_identity(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return tl::unexpected(errno);
  return PeerIdentity{credentials.pid, credentials.uid};
}

}  // namespace vmbus::client
