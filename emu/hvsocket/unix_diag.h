// UnixDiag: asks the kernel (NETLINK_SOCK_DIAG) about an AF_UNIX socket that we have no descriptor of, by inode and
// cookie.
#ifndef VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_
#define VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "emu/owned_fd.h"

namespace vmbus::emu {

struct DiagTarget {
  ino_t inode;
  std::uint64_t cookie;
};

class UnixDiag {
 public:
  UnixDiag();

  // Bytes that the socket has received and nobody has read. Empty: nobody knows.
  std::optional<std::uint64_t> unread_bytes(ino_t inode, std::uint64_t cookie) const;
  // Of the socket that `fd` is connected to; 0: nobody knows.
  ino_t peer_inode(int fd) const;

 private:
  template <typename Value>
  std::optional<Value> ask(const DiagTarget& target, std::uint32_t what, int attribute) const;

  OwnedFd netlink_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_
