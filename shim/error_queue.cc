// recvmsg(MSG_ERRQUEUE), and what goes into that queue: zero-copy notifications.
#include <time.h>
// Needs what is above.
#include <linux/errqueue.h>

#include <cstring>

#include "shim/option_table.h"
#include "shim/socket.h"
#include "shim/user_memory.h"
#include "shim/zerocopy.h"

namespace vmbus::shim {
namespace {

// Newer than Debian 12's headers: SOL_VSOCK and VSOCK_RECVERR.
constexpr int kSolVsock = 287;
constexpr int kVsockReceiveError = 1;

}  // namespace

bool Socket::is_zerocopy(int flags) const {
  return (flags & MSG_ZEROCOPY) != 0 && (endpoint_.stored_options & kStoredZeroCopy) != 0;
}

long Socket::send_zerocopy(const iovec* parts, std::size_t count, std::size_t bytes, int flags) {
  if (!reserve_zerocopy_sends(entry_)) return -ENOBUFS;
  const long result = transmit(parts, count, bytes, flags);
  if (result == -EFAULT) return -ENOMEM;  // what Linux says of pages that it cannot hold on to
  // virtio copies what is more than the peer has room for.
  if (result > 0) note_zerocopy_send(entry_, bytes > endpoint_.peer_buffer_size);
  return result;
}

long Socket::receive_notification(msghdr* message) {
  ZerocopyRange range;
  if (!prove()) return kNotOurs;
  if (!take_zerocopy_sends(entry_, &range)) return -EAGAIN;
  if (message == nullptr) return 0;
  sock_extended_err error{};
  error.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
  error.ee_code = range.copied ? SO_EE_CODE_ZEROCOPY_COPIED : 0;
  error.ee_info = range.first;
  error.ee_data = range.last;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof error)] = {};
  cmsghdr header{};
  header.cmsg_level = kSolVsock;
  header.cmsg_type = kVsockReceiveError;
  header.cmsg_len = CMSG_LEN(sizeof error);
  std::memcpy(control, &header, sizeof header);
  std::memcpy(control + CMSG_LEN(0), &error, sizeof error);
  const bool fits = message->msg_control != nullptr && message->msg_controllen >= sizeof control;
  if (fits && copy_to_program(message->msg_control, control, sizeof control) != 0) return -EFAULT;
  message->msg_namelen = 0;
  message->msg_controllen = fits ? sizeof control : 0;
  message->msg_flags = MSG_ERRQUEUE | (fits ? 0 : MSG_CTRUNC);
  return 0;
}

}  // namespace vmbus::shim
