// Sockets: closes that wait until what was sent has left the socket (SO_LINGER, row linger).
//
// Which close is the last one only the kernel knows, and only afterwards. So a program asks before it
// closes, for one end of a line, and shuts its writing side behind: then the daemon looks whether the
// socket is still open anywhere. The daemon never waits; it hangs up when there is no reason to.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {
namespace {

// Closes of one socket that wait at a time, in as many processes.
constexpr std::size_t kMaxLingering = 16;

// Bytes of the program that are not in a ring yet. Behind a SHUT_WR what B still holds is the plug.
bool has_unsent(const Socket& socket) {
  if (socket.stream == nullptr) return false;
  return !socket.outbox.empty() || (!socket.outbox_is_last && queued_at_b(socket.b.get()) > 0);
}

}  // namespace

OwnedFd Sockets::linger(Socket& socket) {
  const bool waits = socket.obeys("linger=on") && !socket.before("vintage=6.16") &&
                     socket.lingering.size() < kMaxLingering;
  if (!waits || !has_unsent(socket)) return {};
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return {};
  OwnedFd theirs(ends[1]);
  LingeringClose close{.line = OwnedFd(ends[0])};
  close.watch = loop_.watch(ends[0], EPOLLRDHUP,
                            [this, cookie = socket.cookie, line = ends[0]](std::uint32_t events) {
                              on_line_event(cookie, line, events);
                            });
  socket.lingering.push_back(std::move(close));
  return theirs;
}

// The program has closed its descriptor, or waits no longer.
void Sockets::on_line_event(std::uint64_t cookie, int line, std::uint32_t events) {
  Socket* socket = find(cookie);
  if (socket == nullptr) return;
  const bool gave_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
  const bool was_last = socket->closed || !is_alive(*socket);
  if (was_last && !gave_up) return;
  std::erase_if(socket->lingering, [&](const LingeringClose& close) {
    if (close.line.get() != line) return false;
    loop_.unwatch(close.watch);
    return true;
  });
}

void Sockets::hang_up_if_sent(Socket& socket) {
  if (!socket.lingering.empty() && !has_unsent(socket)) hang_up(socket);
}

void Sockets::hang_up(Socket& socket) {
  for (const LingeringClose& close : socket.lingering) loop_.unwatch(close.watch);
  socket.lingering.clear();
}

}  // namespace vmbus::emu
