#include "emu/hvsocket/unix_diag.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace vmbus::emu {
namespace {

constexpr std::uint64_t kAnyCookie = ~std::uint64_t{0};

struct DiagRequest {
  nlmsghdr header;
  unix_diag_req body;
};

DiagRequest make_request(const DiagTarget& target, std::uint32_t what) {
  DiagRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.sdiag_family = AF_UNIX;
  request.body.udiag_states = ~0U;
  request.body.udiag_ino = static_cast<__u32>(target.inode);
  request.body.udiag_cookie[0] = static_cast<__u32>(target.cookie);
  request.body.udiag_cookie[1] = static_cast<__u32>(target.cookie >> 32);
  request.body.udiag_show = what;
  return request;
}

}  // namespace

UnixDiag::UnixDiag() : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {}

template <typename Value>
std::optional<Value> UnixDiag::ask(const DiagTarget& target, std::uint32_t what,
                                   int attribute) const {
  if (!netlink_) return std::nullopt;
  const DiagRequest request = make_request(target, what);
  if (::send(netlink_.get(), &request, sizeof request, 0) < 0) return std::nullopt;
  struct Reply {
    nlmsghdr header;
    unix_diag_msg body;
    nlattr attribute;  // the only one that was asked for
    Value value;
  } reply{};
  const ssize_t length = ::recv(netlink_.get(), &reply, sizeof reply, 0);
  const bool whole = length == static_cast<ssize_t>(sizeof reply) &&
                     reply.header.nlmsg_type == SOCK_DIAG_BY_FAMILY &&
                     reply.attribute.nla_type == attribute;
  if (!whole) return std::nullopt;
  return reply.value;
}

std::optional<std::uint64_t> UnixDiag::unread_bytes(ino_t inode, std::uint64_t cookie) const {
  const auto queues = ask<unix_diag_rqlen>({inode, cookie}, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN);
  if (!queues) return std::nullopt;
  return queues->udiag_rqueue;
}

ino_t UnixDiag::peer_inode(int fd) const {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return 0;
  return ask<std::uint32_t>({info.st_ino, kAnyCookie}, UDIAG_SHOW_PEER, UNIX_DIAG_PEER).value_or(0);
}

}  // namespace vmbus::emu
