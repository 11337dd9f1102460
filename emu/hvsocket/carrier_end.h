// The daemon's operations on a carrier (emu/protocol/carrier.h): birth, plug, shutdown, accept
// bytes, last close.
//
// `a` is the copy of the application's end that a request brought; it must be closed when the
// request is done. `b` is the end the daemon keeps. None of these blocks.
#ifndef VMBUS_EMU_HVSOCKET_CARRIER_END_H_
#define VMBUS_EMU_HVSOCKET_CARRIER_END_H_

#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tl/expected.hpp>
#include <vector>

#include "emu/owned_fd.h"
#include "emu/protocol/carrier.h"

namespace vmbus::emu {

// What the daemon asks about end B.
inline constexpr std::uint32_t kCarrierEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP;

struct CarrierPair {
  OwnedFd a;
  OwnedFd b;
  std::uint64_t cookie = 0;  // of a
};

// Both blocking and close-on-exec: who works b says with each call that it does not wait. Error: errno (EMFILE, ENOMEM).
tl::expected<CarrierPair, int> make_carrier(int type);
// From now on every process that has `a` finds its entry. False: the kernel refuses.
bool tag_carrier(int a, std::uint32_t entry);

// SO_COOKIE; 0 if `fd` is no socket.
std::uint64_t socket_cookie(int fd);

// What a plug consists of: random bytes, new with every daemon, so that application data is never
// taken for one.
class Plug {
 public:
  Plug();
  // Takes OUT away from a. False: a's queue is so full that it is not writable anyway, and stays so
  // while the daemon leaves the queue unread.
  bool put(int a) const;
  // As often as A takes it: then it takes nothing else, either.
  bool fill(int a) const;
  // Takes the plug from b's queue: a becomes writable, with an edge. Returns what else was queued
  // there (a program that wrote past its hooks before it was connected): application data.
  std::vector<std::byte> remove(int b) const;
  // Is the next record of b the plug?
  bool is_next(int b) const;
  // Cuts the plug out of bytes peeked from b, wherever a racing writer left it.
  void erase_from(std::vector<std::byte>& bytes) const;

 private:
  std::array<std::byte, proto::kPlugBytes> bytes_{};
};

// Gives a an OUT edge (an epoll user that saw OUT before connect() waits for the next one).
void raise_out_edge(int a, int type);

// Bytes from the program that wait at b, and what the kernel charges for those that wait at a. -1: it
// does not say.
int queued_at_b(int b);
int queued_at_a(int b);

// Bytes queued towards b: copied out and left there (so that a stays not writable), or taken.
std::vector<std::byte> peek_all(int b);
std::vector<std::byte> take_all(int b);

// One message towards a, with the descriptor `attached` unless that is -1. 0, EAGAIN (no room), or
// errno.
int send_attached(int b, std::span<const std::byte> bytes, int attached);

// One waiting connection for a listener: kAcceptByte with `accepted` attached. 0, EAGAIN (no room),
// or errno.
int send_accepted(int b, int accepted);

// Connections sent with send_accepted() that nobody took yet.
std::uint32_t waiting_accepts(int b);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_CARRIER_END_H_
