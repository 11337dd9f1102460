// Connecting and binding AF_UNIX SOCK_SEQPACKET sockets by path, also paths that sockaddr_un (107
// bytes) cannot hold.
#ifndef VMBUS_EMU_CLIENT_UNIX_SOCKET_H_
#define VMBUS_EMU_CLIENT_UNIX_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>

#include "emu/owned_fd.h"

namespace vmbus::client {

// A long path is reached as /proc/self/fd/<directory>/<name>; that leaves this much for the name.
inline constexpr std::size_t kMaxSocketNameBytes = 80;

// Error: errno. `timeout_ms` limits connecting and, later, each send and receive; 0: for ever.
tl::expected<emu::OwnedFd, int> connect_unix(const std::string& path, int timeout_ms);
// Binds with mode 0600. 0 or errno.
int bind_unix(int socket, const std::string& path);

// Who made the other end (SO_PEERCRED).
struct PeerIdentity {
  pid_t pid = 0;  // 0: in a pid namespace that cannot be seen from here
  uid_t uid = 0;
};
tl::expected<PeerIdentity, int> peer_identity(int socket);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_UNIX_SOCKET_H_
