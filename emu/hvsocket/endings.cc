// Sockets: how connections end, from either side, and what is left to do then.
#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

constexpr std::chrono::seconds kPortLinger{8};  // Linux' HVS_CLOSE_TIMEOUT
constexpr std::chrono::seconds kClosingTurn{1};

}  // namespace

void Sockets::peer_closed(Socket& socket) {
  if (socket.stream == nullptr) return;
  socket.stream->peer_closed = true;
  socket.ended |= proto::kEndedPeerGone;
  publish(socket);
  queue(socket);
}

void Sockets::detach(Socket& socket, bool reset) {
  close_lane(socket, true);
  rescue_ring(socket);
  socket.stream.reset();
  socket.ended |= proto::kEndedPeerGone;
  if (reset) socket.ended |= proto::kEndedReset;
  publish(socket);
  queue(socket);
}

void Sockets::end_of_stream(Socket& socket) {
  publish(socket);
  if (socket.lane != nullptr) socket.lane->announce_end();
  if (!socket.closed) ::shutdown(socket.b.get(), SHUT_WR);
  if (socket.lane != nullptr) socket.lane->wake_sleepers();
}

void Sockets::finish_stream(Socket& socket) {
  const Stream& stream = *socket.stream;
  const bool read_done =
      socket.closed || socket.has(proto::kEndedPeerWrite | proto::kEndedLocalRead);
  const bool sent_all_and_closed = socket.closed && stream.fin_sent;
  bool finished = stream.peer_closed && read_done;
  switch (stream.side()) {
    case Side::kHost:
    case Side::kLoopback:
      finished |= sent_all_and_closed || (stream.fin_sent && socket.has(proto::kEndedPeerWrite));
      break;
    case Side::kGuest:
      finished |= sent_all_and_closed && socket.obeys("closes-first=on");
      break;
  }
  // Who works a ring at this moment rings when it is done, and the pump comes here again.
  if (!finished || !close_lane_in_time(socket)) return;
  if (stream.side() == Side::kHost) host_.finish(socket);
  if (stream.side() == Side::kGuest) socket.guest->driver().finish(socket);
  if (stream.side() == Side::kLoopback) {
    stream.pair()->sockets[stream.end()] = 0;
    if (Socket* peer = find(stream.loopback_peer())) peer_closed(*peer);
  }
  socket.stream.reset();
  const bool had_end = socket.has(proto::kEndedPeerWrite);
  socket.ended |= proto::kEndedPeerGone | proto::kEndedPeerWrite;
  if (had_end) {
    publish(socket);
  } else {
    end_of_stream(socket);
  }
}

Socket* Sockets::peer_of(const Socket& socket) {
  if (socket.stream == nullptr) return nullptr;
  const Stream& stream = *socket.stream;
  switch (stream.side()) {
    case Side::kLoopback:
      return find(stream.loopback_peer());
    case Side::kHost:
      return find(guests_.of(*stream.bus()).driver().socket_of(stream.relid()));
    case Side::kGuest:
      return find(host_.socket_of(*stream.bus(), stream.relid()));
  }
  return nullptr;
}

void Sockets::share_buffer_size(Socket& socket) {
  Socket* peer = peer_of(socket);
  if (peer == nullptr) return;
  socket.peer_buffer_size = peer->options.buffer_size;
  peer->peer_buffer_size = socket.options.buffer_size;
  for (Socket* end : {&socket, peer}) {
    const bool limited = end->peer_buffer_size < proto::kDefaultBufferSize;
    if (limited && end->obeys("peer-buffer=on")) end->flags |= proto::kFlagSendBufferLow;
  }
  publish(socket);
  publish(*peer);
}

void Sockets::tell_of_shut_read(const Socket& socket) {
  if (!socket.obeys("shut-rd=told")) return;
  Socket* peer = peer_of(socket);
  if (peer == nullptr) return;
  peer->ended |= proto::kEndedPeerRead;
  publish(*peer);
  queue(*peer);
}

// Windows tells a guest that closed from one that had shut its writing side before.
void Sockets::reset_host_end(const Socket& guest_end) {
  if (guest_end.home != Home::kGuest || guest_end.has(proto::kEndedLocalWrite)) return;
  Socket* peer = peer_of(guest_end);
  const bool is_windows = peer != nullptr && peer->kind == proto::AddressKind::kHyperV;
  if (!is_windows || !peer->obeys("guest-close=reset")) return;
  peer->ended |= proto::kEndedReset;
  publish(*peer);
}

bool Sockets::keeps_port(const Socket& socket) const {
  return socket.obeys("port-linger=on") && socket.home == Home::kGuest &&
         socket.state == EndpointState::kConnected && socket.stream != nullptr;
}

void Sockets::release_port_later(const Socket& socket) {
  loop_.after(kPortLinger, [this, cookie = socket.cookie] {
    if (Socket* closed = find(cookie)) release_name(*closed);
  });
}

void Sockets::on_last_close(Socket& socket) {
  socket.closed = true;
  socket.b_readable = true;
  reset_host_end(socket);
  if (keeps_port(socket)) {
    release_port_later(socket);
  } else {
    release_name(socket);
  }
  if (socket.state == EndpointState::kListening) fail_waiting(socket);
  if (socket.state == EndpointState::kConnecting) cancel_attempt(socket);
  if (socket.state != EndpointState::kConnected || socket.stream == nullptr) return release(socket);
  queue(socket);
  closing_.push_back(socket.cookie);
  if (closing_.size() == 1) give_closing_turns_later();
  if (stands_still(socket) && on_idle_) on_idle_();  // it stays, but nobody uses it
}

// Those that are not done yet wait for room in a ring, or for the peer's end, and a signal tells. One that a liar
// has swallowed, whose memory has the masks, would leave them here for good.
void Sockets::give_closing_turns_later() {
  loop_.after(kClosingTurn, [this] {
    std::erase_if(closing_, [this](std::uint64_t cookie) {
      Socket* closing = find(cookie);
      if (closing == nullptr || closing->stream == nullptr) return true;
      if (!stands_still(*closing)) queue(*closing);
      return false;
    });
    if (!closing_.empty()) give_closing_turns_later();
  });
}

void Sockets::release(Socket& socket) {
  hang_up(socket);
  release_name(socket);
  const bool is_counted = socket.guest != nullptr && socket.home == Home::kGuest;
  if (is_counted && !socket.is_spare) --socket.guest->sockets;
  loop_.end_watch(socket.watch);
  if (socket.is_fed && undertaker_ != nullptr) undertaker_->drop(socket.cookie);
  registry_.free(socket.entry);
  const auto found = sockets_.find(socket.cookie);
  released_.push_back(std::move(found->second));
  sockets_.erase(found);
}

void Sockets::collect() {
  if (released_.empty()) return;
  loop_.let_go();
  released_.clear();
  guests_.collect();
  if (on_idle_) on_idle_();
}

}  // namespace vmbus::emu
