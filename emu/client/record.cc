#include "emu/client/record.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace vmbus::client {
namespace {

// Exactly one descriptor fits. CMSG_SPACE would round up to room for two; the second would then
// arrive unasked.
struct OneDescriptor {
  alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(int))] = {};
  static constexpr std::size_t kLength = CMSG_LEN(sizeof(int));
};

emu::OwnedFd take_descriptor(msghdr& message) {
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != OneDescriptor::kLength) {
    return {};
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return emu::OwnedFd(fd);
}

}  // namespace

int send_record(int socket, std::string_view bytes, int descriptor, int flags) {
  OneDescriptor control;
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = OneDescriptor::kLength;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = OneDescriptor::kLength;
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

tl::expected<Record, int> receive_record(int socket, std::span<char> buffer, int flags) {
  OneDescriptor control;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = OneDescriptor::kLength;
  ssize_t received = 0;
  do {
    received = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return tl::unexpected(errno);
  Record record;
  record.size = static_cast<std::size_t>(received);
  record.descriptor = take_descriptor(message);
  record.cut = (message.msg_flags & MSG_TRUNC) != 0;
  record.descriptors_cut = (message.msg_flags & MSG_CTRUNC) != 0;
  return record;
}

}  // namespace vmbus::client
