// UnixDiag: asks the kernel (NETLINK_SOCK_DIAG) about an AF_UNIX socket that we have no descriptor of, by inode and
// cookie.
#ifndef VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_
#define VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "emu/owned_fd.h"

namespace vmbus::emu {

class UnixDiag {
 public:
  UnixDiag();

  // Bytes that the socket has received and nobody has read. Empty: nobody knows.
  std::optional<std::uint64_t> unread_bytes(ino_t inode, std::uint64_t cookie);

 private:
  OwnedFd netlink_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_
