// UnixDiag: asks the kernel whether an AF_UNIX socket still exists anywhere (any descriptor of any
// process, or in flight). Needed in one place: HUP on B also comes when A is merely shut in both
// directions.
//
// Uses NETLINK_SOCK_DIAG by inode and cookie; where that is refused or missing, /proc/net/unix by
// inode.
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

  // False only when the kernel said that no such socket exists. Unknown (neither source works)
  // counts as alive.
  bool exists(ino_t inode, std::uint64_t cookie);
  // Bytes that the socket has received and nobody has read. Empty: nobody knows.
  std::optional<std::uint64_t> unread_bytes(ino_t inode, std::uint64_t cookie);

 private:
  enum class Answer { kExists, kGone, kUnknown };
  Answer ask_netlink(ino_t inode, std::uint64_t cookie);
  static Answer ask_proc(ino_t inode);

  OwnedFd netlink_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_UNIX_DIAG_H_
