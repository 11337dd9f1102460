#include "shim/socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cstring>

#include "emu/protocol/carrier.h"
#include "shim/daemon_client.h"
#include "shim/device.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/sandbox.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

using proto::EndpointState;

constexpr unsigned long kSiocUnixFile = SIOCPROTOPRIVATE;  // AF_UNIX's own ioctl

}  // namespace

Socket Socket::hint(int fd) {
  Socket socket;
  const FdEntry entry = fd_table().find(fd);
  if (!entry.is_carrier()) return socket;
  socket.fd_ = fd;
  socket.entry_ = entry;
  if (socket.load()) return socket;
  if (owns_memory()) fd_table().clear(fd);
  return Socket();
}

Socket Socket::proven(int fd) {
  Socket socket = hint(fd);
  return socket && owns_memory() && socket.prove() ? socket : Socket();
}

bool Socket::load() {
  // An entry that cannot be read whole is one that the daemon died in; what follows then fails on
  // the carrier.
  if (!proto::read_endpoint(shared_endpoint(entry_), &endpoint_)) return true;
  return endpoint_.generation == entry_.generation && endpoint_.cookie != 0;
}

bool Socket::prove() {
  if (is_sandboxed()) return true;  // the question itself may be forbidden
  if (real::is_socket(fd_, endpoint_.cookie)) return true;
  if (owns_memory()) fd_table().clear(fd_);
  entry_ = FdEntry{};
  return false;
}

int Socket::copy_address(const sockaddr* address, socklen_t length, void* copy) {
  if (length > sizeof(sockaddr_storage)) return EINVAL;
  return copy_from_program(copy, address, length);
}

long Socket::bind(const sockaddr* address, socklen_t length) {
  sockaddr_storage copy{};
  if (const int error = copy_address(address, length, &copy)) return -error;
  return -request_bind(fd_, entry_, &copy, length);
}

long Socket::listen(int backlog) { return -request_listen(fd_, entry_, backlog); }

long Socket::shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  return -request_shutdown(fd_, entry_, how);
}

long Socket::getsockname(sockaddr* address, socklen_t* length) const {
  socklen_t room = 0;
  if (const int error = read_length(length, &room)) return -error;
  return -store_truncated(address, room, length, endpoint_.local_name.data(),
                          endpoint_.local_bytes);
}

bool Socket::has_peer_name() const {
  const bool shut_here =
      (endpoint_.ended & (proto::kEndedLocalRead | proto::kEndedLocalWrite)) != 0;
  const bool forgotten = shut_here && (endpoint_.quirks & proto::kQuirkKeepsPeerName) == 0;
  return endpoint_.state == EndpointState::kConnected && endpoint_.peer_bytes != 0 && !forgotten;
}

long Socket::getpeername(sockaddr* address, socklen_t* length) const {
  if (!has_peer_name()) return -ENOTCONN;
  socklen_t room = 0;
  if (const int error = read_length(length, &room)) return -error;
  return -store_truncated(address, room, length, endpoint_.peer_name.data(), endpoint_.peer_bytes);
}

long Socket::ioctl(unsigned long request, void* argument) const {
  const bool connected = endpoint_.state == EndpointState::kConnected;
  const bool none = (endpoint_.quirks & proto::kQuirkNoIoctls) != 0;
  switch (request) {
    case FIONREAD:
      if (!none && (endpoint_.quirks & proto::kQuirkNoInq) != 0) return -ENOTTY;
      return connected && !none ? count_unread(argument) : -EOPNOTSUPP;
    case TIOCOUTQ: {
      const bool counts = (endpoint_.quirks & proto::kQuirkCountsOutq) != 0;
      return connected && counts && !none ? kNotOurs : -EOPNOTSUPP;
    }
    case SIOCATMARK:
    case kGetLocalCid:  // a request to the device, not to a socket
    case kSiocUnixFile:
      return none ? -EOPNOTSUPP : -ENOTTY;
    default:
      return kNotOurs;
  }
}

// What is in the carrier, what is still in the ring behind it, and what the daemon holds back below the
// low-water mark, which it does only while the carrier has nothing.
long Socket::count_unread(void* argument) const {
  DirectEnd direct = DirectEnd::of(fd_, entry_, endpoint_);
  if (!direct && endpoint_.held_bytes == 0) return kNotOurs;
  if (direct && (endpoint_.quirks & proto::kQuirkInqPacket) != 0) {
    const auto packet = static_cast<int>(direct.packet_bytes());
    return -copy_to_program(argument, &packet, sizeof packet);
  }
  const auto behind = direct ? static_cast<int>(direct.readable_bytes()) : 0;
  int in_carrier = 0;
  const long result = real::call(SYS_ioctl, fd_, FIONREAD, &in_carrier);
  if (result != 0) return result;
  const int held = in_carrier == 0 ? static_cast<int>(endpoint_.held_bytes) : 0;
  const int all = in_carrier + behind + held;
  return -copy_to_program(argument, &all, sizeof all);
}

// What A holds comes on top of what the daemon allows for a small buffer of the peer's, so it is
// little. The kernel doubles the number, and has a minimum.
int Socket::send_buffer_bytes() const {
  if (carries_records()) return proto::kRecordSendBufferBytes;
  const bool is_limited = (endpoint_.quirks & proto::kQuirkPeerBuffer) != 0 &&
                          endpoint_.peer_buffer_size < proto::kDefaultBufferSize;
  return is_limited ? static_cast<int>(endpoint_.peer_buffer_size / 16) : proto::kSendBufferBytes;
}

void Socket::restore_send_buffer() const {
  const int bytes = send_buffer_bytes();
  real::call(SYS_setsockopt, fd_, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void Socket::raise_send_buffer() {
  if ((endpoint_.flags & proto::kFlagSendBufferLow) == 0 ||
      (endpoint_.ended & proto::kEndedLocalWrite) != 0 ||
      (entry_.flags & kFdSendBufferRaised) != 0 || is_sandboxed()) {
    return;
  }
  restore_send_buffer();
  if (owns_memory()) fd_table().add_flags(fd_, entry_, kFdSendBufferRaised);
}

bool Socket::daemon_hung_up() const {
  // Both ends of the carrier may be shut on purpose once the peer is gone (emu/protocol/carrier.h).
  if ((endpoint_.ended & proto::kEndedPeerGone) != 0) return false;
  // A's own end shows HUP only after its SHUT_WR; without one it is the daemon's end that is gone.
  return (endpoint_.ended & proto::kEndedLocalWrite) == 0 && real::has_hung_up(fd_);
}

long Socket::take_error(int* so_error) {
  *so_error = 0;
  if (endpoint_.so_error == 0) {
    if (daemon_hung_up()) *so_error = ECONNRESET;
    return 0;
  }
  return -request_take_error(fd_, entry_, so_error);
}

}  // namespace vmbus::shim
