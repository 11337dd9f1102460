#include "emu/hvsocket/unix_diag.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

namespace vmbus::emu {
namespace {

struct DiagRequest {
  nlmsghdr header;
  unix_diag_req body;
};

DiagRequest make_request(ino_t inode, std::uint64_t cookie) {
  DiagRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = static_cast<__u32>(inode);
  request.body.udiag_cookie[0] = static_cast<__u32>(cookie);
  request.body.udiag_cookie[1] = static_cast<__u32>(cookie >> 32);
  return request;
}

}  // namespace

UnixDiag::UnixDiag() : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {}

std::optional<std::uint64_t> UnixDiag::unread_bytes(ino_t inode, std::uint64_t cookie) {
  if (!netlink_) return std::nullopt;
  DiagRequest request = make_request(inode, cookie);
  request.body.udiag_show = UDIAG_SHOW_RQLEN;
  if (::send(netlink_.get(), &request, sizeof request, 0) < 0) return std::nullopt;
  struct Reply {
    nlmsghdr header;
    unix_diag_msg body;
    nlattr attribute;  // the only one that was asked for
    unix_diag_rqlen queues;
  } reply{};
  const ssize_t length = ::recv(netlink_.get(), &reply, sizeof reply, 0);
  const bool whole = length == static_cast<ssize_t>(sizeof reply) &&
                     reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY &&
                     reply.attribute.nla_type == UNIX_DIAG_RQLEN;
  if (!whole) return std::nullopt;
  return reply.queues.udiag_rqueue;
}

bool UnixDiag::exists(ino_t inode, std::uint64_t cookie) {
  Answer answer = ask_netlink(inode, cookie);
  if (answer == Answer::kUnknown) answer = ask_proc(inode);
  return answer != Answer::kGone;
}

UnixDiag::Answer UnixDiag::ask_netlink(ino_t inode, std::uint64_t cookie) {
  if (!netlink_) return Answer::kUnknown;
  const DiagRequest request = make_request(inode, cookie);
  if (::send(netlink_.get(), &request, sizeof request, 0) < 0) return Answer::kUnknown;
  alignas(nlmsghdr) std::array<std::byte, 4096> buffer;
  const ssize_t length = ::recv(netlink_.get(), buffer.data(), buffer.size(), 0);
  if (length < static_cast<ssize_t>(sizeof(nlmsghdr))) return Answer::kUnknown;
  nlmsghdr header;
  std::memcpy(&header, buffer.data(), sizeof header);
  if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY) return Answer::kExists;
  if (header.nlmsg_type != NLMSG_ERROR) return Answer::kUnknown;
  nlmsgerr error;
  std::memcpy(&error, buffer.data() + sizeof header, sizeof error);
  // ENOENT: no such inode. ESTALE: the inode number is another socket's by now.
  return error.error == -ENOENT || error.error == -ESTALE ? Answer::kGone : Answer::kUnknown;
}

UnixDiag::Answer UnixDiag::ask_proc(ino_t inode) {
  std::ifstream table("/proc/net/unix");
  std::string line;
  if (!std::getline(table, line)) return Answer::kUnknown;
  while (std::getline(table, line)) {
    // Num RefCount Protocol Flags Type St Inode Path
    std::istringstream fields(line);
    std::string skipped;
    ino_t found = 0;
    for (int i = 0; i < 6; ++i) fields >> skipped;
    if (fields >> found && found == inode) return Answer::kExists;
  }
  return Answer::kGone;
}

}  // namespace vmbus::emu
