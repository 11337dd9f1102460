#include "emu/hvsocket/carrier_end.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vmbus::emu {
namespace {

void set_send_buffer(int fd, int bytes) {
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

// A writer may go on while its queue is emptied.
constexpr std::size_t kMostTaken = 1024 * 1024;

// What one accept byte with a descriptor adds to SIOCOUTQ on this kernel (768 on 6.18): measured
// once.
std::uint32_t measure_accept_unit() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return 0;
  const OwnedFd near(pair[0]);
  const OwnedFd far(pair[1]);
  if (send_accepted(near.get(), far.get()) != 0) return 0;
  return static_cast<std::uint32_t>(std::max(queued_at_a(near.get()), 0));
}

int send_buffer_bytes(int type) {
  return type == SOCK_SEQPACKET ? proto::kRecordSendBufferBytes : proto::kSendBufferBytes;
}

std::vector<std::byte> receive_queued(int b, int flags) {
  const int queued = queued_at_b(b);
  if (queued <= 0) return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(queued));
  const ssize_t length = ::recv(b, bytes.data(), bytes.size(), flags | MSG_DONTWAIT);
  bytes.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return bytes;
}

}  // namespace

int queued_at_b(int b) {
  int queued = 0;
  return ::ioctl(b, SIOCINQ, &queued) == 0 ? queued : -1;
}

int queued_at_a(int b) {
  int queued = 0;
  return ::ioctl(b, SIOCOUTQ, &queued) == 0 ? queued : -1;
}

tl::expected<CarrierPair, int> make_carrier(int type) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return tl::unexpected(errno);
  }
  CarrierPair carrier{OwnedFd(pair[0]), OwnedFd(pair[1]), 0};
  if (type == SOCK_SEQPACKET) {
    set_send_buffer(carrier.a.get(), send_buffer_bytes(type));
    set_send_buffer(carrier.b.get(), send_buffer_bytes(type));
  }
  carrier.cookie = socket_cookie(carrier.a.get());
  return carrier;
}

bool tag_carrier(int a, std::uint32_t entry) {
  const std::uint64_t tag = proto::carrier_tag(entry);
  return ::setsockopt(a, SOL_SOCKET, SO_MAX_PACING_RATE, &tag, sizeof tag) == 0;
}

std::uint64_t socket_cookie(int fd) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

Plug::Plug() {
  // /dev/urandom's source; 256 bytes come whole once the pool is ready.
  [[maybe_unused]] const ssize_t filled = ::getrandom(bytes_.data(), bytes_.size(), 0);
}

bool Plug::put(int a) const {
  set_send_buffer(a, proto::kMinimumSendBuffer);
  return ::send(a, bytes_.data(), bytes_.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes_.size());
}

bool Plug::fill(int a) const {
  if (!put(a)) return false;
  while (put(a)) continue;
  return true;
}

std::vector<std::byte> Plug::remove(int b) const {
  std::vector<std::byte> bytes = take_all(b);
  erase_from(bytes);
  return bytes;
}

bool Plug::is_next(int b) const {
  std::array<std::byte, proto::kPlugBytes> next{};
  const ssize_t length = ::recv(b, next.data(), next.size(), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  return length == static_cast<ssize_t>(bytes_.size()) && next == bytes_;
}

void Plug::erase_from(std::vector<std::byte>& bytes) const {
  constexpr auto kLength = static_cast<std::ptrdiff_t>(proto::kPlugBytes);
  auto from = bytes.begin();
  while (true) {
    from = std::search(from, bytes.end(), bytes_.begin(), bytes_.end());
    if (from == bytes.end()) return;
    from = bytes.erase(from, from + kLength);
  }
}

void raise_out_edge(int a, int type) { set_send_buffer(a, send_buffer_bytes(type)); }

std::vector<std::byte> peek_all(int b) { return receive_queued(b, MSG_PEEK); }

std::vector<std::byte> take_all(int b) {
  std::vector<std::byte> all = receive_queued(b, 0);
  // A stream gives everything at once, records come one by one.
  while (all.size() < kMostTaken) {
    const auto more = receive_queued(b, 0);
    if (more.empty()) break;
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

int send_attached(int b, std::span<const std::byte> bytes, int attached) {
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (attached >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &attached, sizeof attached);
  }
  return ::sendmsg(b, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ? 0 : errno;
}

int send_accepted(int b, int accepted) {
  const std::byte byte{proto::kAcceptByte};
  return send_attached(b, std::span(&byte, 1), accepted);
}

std::uint32_t waiting_accepts(int b) {
  static const std::uint32_t unit = measure_accept_unit();
  if (unit == 0) return 0;
  return static_cast<std::uint32_t>(std::max(queued_at_a(b), 0)) / unit;
}

}  // namespace vmbus::emu
