// Sockets: feeds. A program that writes to a peer who waits in the kernel gets a copy of the peer's end B,
// and does the pump's turn there itself: two wake-ups a message less.  Contract    docs/lanes.md
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

#include "emu/hvsocket/sockets.h"
#include "ringbuf/pipe.h"

namespace vmbus::emu {
namespace {

// A send of one packet into an empty carrier is to be all or nothing, so that a feeder's death leaves no
// half of one there: it is, as long as a packet is one buffer of the kernel's.
bool takes_packets_whole(int b) {
  int bytes = 0;
  socklen_t length = sizeof bytes;
  return ::getsockopt(b, SOL_SOCKET, SO_SNDBUF, &bytes, &length) == 0 &&
         bytes >= 4 * static_cast<int>(ring::kMaxPipePayloadBytes);
}

}  // namespace

// Its programs work rings, so that whoever reads the carrier holds the gate meanwhile, and nothing but the
// pump's copy would happen to a packet.
bool Sockets::may_be_fed(const Socket& socket) const {
  return socket.lane != nullptr && socket.works_rings && takes_plain_bytes(socket) &&
         !stands_still(socket) && takes_packets_whole(socket.b.get());
}

tl::expected<Sockets::Feed, int> Sockets::feed(Socket& socket) {
  Socket* peer = peer_of(socket);
  const bool gives = undertaker_ != nullptr && peer != nullptr && socket.lane != nullptr &&
                     may_be_fed(*peer) && &peer->lane->memory() == &socket.lane->memory() &&
                     peer->lane->index() == proto::opposite_lane(socket.lane->index());
  if (!gives) return tl::unexpected(ENOTSUP);
  OwnedFd copy(::fcntl(peer->b.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy) return tl::unexpected(ENFILE);
  if (!peer->is_fed && !undertaker_->keep(peer->cookie, peer->b.get())) {
    return tl::unexpected(ENOTSUP);
  }
  peer->is_fed = true;
  watch_for_room(*peer);
  counters_.add(Counter::kFeedsGiven);
  return Feed{std::move(copy), peer->lane->generation()};
}

// Each read of a fed program makes room in its carrier; the daemon is told while it waits for some.
void Sockets::watch_for_room(Socket& socket) {
  if (!socket.is_fed || socket.watches_room == !socket.b_writable) return;
  socket.watches_room = !socket.b_writable;
  const std::uint32_t events = kCarrierEvents & ~std::uint32_t{EPOLLOUT};
  loop_.rewatch(socket.watch, socket.watches_room ? kCarrierEvents : events);
}

}  // namespace vmbus::emu
