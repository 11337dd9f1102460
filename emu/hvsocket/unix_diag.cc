#include "emu/hvsocket/unix_diag.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>

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

}  // namespace vmbus::emu
