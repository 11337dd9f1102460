#include "emu/hvsocket/sockets.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "emu/hvsocket/endpoint_image.h"
#include "emu/hvsocket/names.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

constexpr std::size_t kLoopbackRingBytes = 64 * proto::kPageBytes;
// Connections that may wait for room in one listener's queue: far fewer than a guest has channels, so
// a listener that nobody serves cannot use them up.
constexpr std::size_t kMaxWaiting = 512;
constexpr std::uint64_t kHostMemoryBytes = std::uint64_t{2} << 30;
constexpr std::chrono::milliseconds kCreditTurn{10};

bool has_something_to_send(const Socket& socket) {
  return !socket.outbox.empty() || queued_at_b(socket.b.get()) > 0;
}

}  // namespace

Sockets::Sockets(EventLoop& loop, EndpointRegistry registry, Counters& counters, MessageLog& log)
    : loop_(loop),
      registry_(std::move(registry)),
      counters_(counters),
      host_(*this),
      guests_(*this, host_, counters, log) {}

Sockets::~Sockets() {
  for (const auto& [cookie, socket] : sockets_) loop_.unwatch(socket->watch);
}

Socket* Sockets::find(std::uint64_t cookie) const {
  const auto found = sockets_.find(cookie);
  return found == sockets_.end() ? nullptr : found->second.get();
}

// ---- connecting ---------------------------------------------------------------------------------

void Sockets::connected(Socket& socket, std::unique_ptr<Stream> stream, const NamePair& names) {
  socket.stream = std::move(stream);
  socket.peer = names.peer;
  if (socket.kind == proto::AddressKind::kHyperV) {
    release_name(socket);  // Windows gives a client a fresh name, whatever it was bound to
    socket.local = names.local;
  } else {
    socket.local.cid = names.local.cid;
  }
  share_buffer_size(socket);
  open_lane(socket);
  end_attempt(socket, EndpointState::kConnected, 0);
  queue(socket);
}

void Sockets::connect_failed(Socket& socket, int error) {
  if (socket.state != EndpointState::kConnecting) return;
  counters_.add(Counter::kConnectionsRefused);
  end_attempt(socket, EndpointState::kFailed, error);
}

void Sockets::end_attempt(Socket& socket, EndpointState state, int error) {
  const std::unique_ptr<Attempt> attempt = std::move(socket.attempt);
  socket.state = state;
  socket.so_error = error;
  const std::uint32_t shown_bytes = socket.quirk(proto::Quirk::kConnectedBuffers);
  if (socket.state == EndpointState::kConnected && shown_bytes != 0) {
    socket.options.send_buffer = shown_bytes;
    socket.options.receive_buffer = shown_bytes;
  }
  publish(socket);
  if (attempt == nullptr) return;
  loop_.cancel(attempt->timer);
  leave_queue(attempt->place);
  if (!attempt->plugged) return;
  std::vector<std::byte> early = plug_.remove(socket.b.get());
  if (!socket.carries_records()) socket.outbox = std::move(early);
}

void Sockets::start_timer(Socket& socket, std::chrono::microseconds limit) {
  const std::uint64_t cookie = socket.cookie;
  socket.attempt->timer = loop_.after(limit, [this, cookie] { on_time_limit(cookie); });
}

void Sockets::on_time_limit(std::uint64_t cookie) {
  Socket* socket = find(cookie);
  if (socket == nullptr || socket->state != EndpointState::kConnecting) return;
  counters_.add(Counter::kConnectionsRefused);
  abandon_attempt(*socket);
  end_attempt(*socket, EndpointState::kFailed, ETIMEDOUT);
}

void Sockets::cancel_attempt(Socket& socket) {
  if (socket.state != EndpointState::kConnecting) return;
  abandon_attempt(socket);
  end_attempt(socket, EndpointState::kFailed, 0);
}

void Sockets::abandon_attempt(Socket& socket) {
  if (socket.home == Home::kHost) {
    host_.abandon(socket);
  } else if (socket.guest != nullptr) {
    socket.guest->driver().abandon(socket);
  }
}

void Sockets::connect_loopback(Socket& dialer, Socket& listener) {
  if (dialer.type != listener.type) return connect_failed(dialer, dialer.near_refusal());
  if (!has_room(listener)) {
    if (listener.obeys("full-backlog=reset")) {
      return connect_failed(dialer, dialer.near_refusal());
    }
    dialer.attempt->place =
        wait_for_room(listener, {.kind = WaitingPeer::Kind::kLoopback, .dialer = dialer.cookie});
    if (dialer.attempt->place.ticket == 0) connect_failed(dialer, dialer.near_refusal());
    return;
  }
  const auto pair = loopback_rings(listener);
  if (pair == nullptr) return connect_failed(dialer, ENOBUFS);
  const LoopbackNames names = loopback_names(dialer, listener);
  pair->sockets[0] = dialer.cookie;
  Socket* accepted = accept(listener, Stream::on_loopback(pair, 1), names.accepted);
  if (accepted == nullptr) return connect_failed(dialer, ECONNRESET);
  pair->sockets[1] = accepted->cookie;
  connected(dialer, Stream::on_loopback(pair, 0), names.dialer);
}

std::shared_ptr<LoopbackRings> Sockets::loopback_rings(const Socket& listener) {
  if (listener.home == Home::kGuest)
    return LoopbackRings::in(listener.guest->bus().memory(), kLoopbackRingBytes);
  if (host_memory_ == nullptr) {
    auto memory = GuestMemory::create(kHostMemoryBytes);
    if (!memory) return nullptr;
    host_memory_ = std::move(*memory);
  }
  return LoopbackRings::in(*host_memory_, kLoopbackRingBytes);
}

// ---- listening ----------------------------------------------------------------------------------

bool Sockets::has_room(const Socket& listener) {
  Listener& queue = *listener.listener;
  const auto fits = [&queue] {
    return queue.most_waiting + queue.undelivered.size() < std::size_t{queue.backlog} + 1;
  };
  if (fits()) return true;
  queue.most_waiting = waiting_accepts(listener.b.get());
  return fits();
}

int Sockets::hand_over(const Socket& listener, int accepted) {
  const int error = send_accepted(listener.b.get(), accepted);
  if (error == 0) ++listener.listener->most_waiting;
  return error;
}

QueuePlace Sockets::wait_for_room(const Socket& listener, WaitingPeer peer) {
  std::deque<WaitingPeer>& waiting = listener.listener->waiting;
  if (waiting.size() >= kMaxWaiting) return {};
  peer.ticket = ++last_ticket_;
  waiting.push_back(peer);
  return {listener.cookie, peer.ticket};
}

void Sockets::leave_queue(QueuePlace& place) {
  const QueuePlace left = std::exchange(place, {});
  const Socket* listener = left.ticket == 0 ? nullptr : find(left.listener);
  if (listener == nullptr || listener->listener == nullptr) return;
  std::erase_if(listener->listener->waiting,
                [&](const WaitingPeer& peer) { return peer.ticket == left.ticket; });
}

Socket* Sockets::accept(const Socket& listener, std::unique_ptr<Stream> stream,
                        const NamePair& names) {
  auto born = create({.kind = listener.kind,
                      .type = listener.type,
                      .partition = listener.partition,
                      .profile = listener.profile,
                      .protocol = listener.protocol,
                      .pid = listener.pid,
                      .program = listener.program,
                      .works_rings = listener.works_rings});
  if (!born) return nullptr;
  Socket& socket = *born->socket;
  socket.home = listener.home;
  if (listener.guest != nullptr) assign_guest(socket, *listener.guest);
  socket.options.connect_timeout_us = listener.options.connect_timeout_us;
  socket.options.buffer_size = listener.options.buffer_size;
  socket.options.buffer_min_size = listener.options.buffer_min_size;
  socket.options.buffer_max_size = listener.options.buffer_max_size;
  socket.stream = std::move(stream);
  socket.local = names.local;
  socket.peer = names.peer;
  open_lane(socket);
  end_attempt(socket, EndpointState::kConnected, 0);
  const int error = hand_over(listener, born->a.get());
  if (error == EAGAIN) {
    listener.listener->undelivered.push_back(std::move(born->a));
  } else if (error != 0) {
    close_lane(socket, true);
    socket.stream.reset();
    release(socket);
    return nullptr;
  }
  counters_.add(Counter::kConnectionsAccepted);
  if (socket.obeys("accepted-ports=held") && socket.home == Home::kGuest) hold_name(socket);
  queue(socket);
  return &socket;
}

void Sockets::serve_listener(Socket& listener) {
  Listener& queue = *listener.listener;
  while (!queue.undelivered.empty()) {
    if (hand_over(listener, queue.undelivered.front().get()) != 0) return;
    queue.undelivered.pop_front();
  }
  while (!queue.waiting.empty() && has_room(listener)) {
    const WaitingPeer peer = queue.waiting.front();
    queue.waiting.pop_front();
    answer(peer, &listener);
  }
}

void Sockets::fail_waiting(Socket& listener) {
  const std::unique_ptr<Listener> queue = std::move(listener.listener);
  for (const WaitingPeer& peer : queue->waiting) answer(peer, nullptr);
}

void Sockets::end_guest(const Guest& guest) {
  std::vector<Socket*> spares;
  for (const auto& [cookie, socket] : sockets_) {
    if (socket->guest != &guest) continue;
    if (socket->is_spare) spares.push_back(socket.get());
    connect_failed(*socket, ENODEV);
    if (socket->state != EndpointState::kListening) continue;
    socket->so_error = ENODEV;
    socket->ended |= proto::kEndedPeerGone | proto::kEndedPeerWrite;
    end_of_stream(*socket);
  }
  for (Socket* spare : spares) release(*spare);
}

void Sockets::answer(const WaitingPeer& peer, Socket* listener) {
  switch (peer.kind) {
    case WaitingPeer::Kind::kFromGuest:
      return host_.answer_waiting(peer, listener);
    case WaitingPeer::Kind::kFromHost:
      return guests_.of(*peer.guest).driver().answer_waiting(peer, listener);
    case WaitingPeer::Kind::kLoopback: {
      Socket* dialer = find(peer.dialer);
      if (dialer == nullptr || dialer->attempt == nullptr ||
          dialer->attempt->place.ticket != peer.ticket)
        return;  // it gave up
      dialer->attempt->place = {};
      if (listener == nullptr) return connect_failed(*dialer, ECONNRESET);
      return connect_loopback(*dialer, *listener);
    }
  }
}

// ---- the loop -----------------------------------------------------------------------------------

void Sockets::on_carrier_event(std::uint64_t cookie, std::uint32_t events) {
  Socket* socket = find(cookie);
  if (socket == nullptr) return;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) socket->b_readable = true;
  if ((events & EPOLLOUT) != 0) {
    socket->b_writable = true;
    watch_for_room(*socket);
  }
  const bool is_over = (events & EPOLLHUP) != 0 ? ends_if_closed(*socket)
                                                : (events & EPOLLERR) != 0 && !is_alive(*socket);
  if (is_over) return;
  if (socket->state == EndpointState::kListening) return serve_listener(*socket);
  if (socket->state == EndpointState::kConnected) queue(*socket);
}

bool Sockets::is_alive(Socket& socket) {
  if (socket.closed) return true;  // dealt with; a name it still holds, it is to hold (port-linger)
  pollfd end{socket.b.get(), 0, 0};
  const bool hung_up = ::poll(&end, 1, 0) > 0 && (end.revents & POLLHUP) != 0;
  return !hung_up || !ends_if_closed(socket);
}

bool Sockets::ends_if_closed(Socket& socket) {
  if (socket.closed || close_watch_.is_open(socket.cookie)) return false;
  on_last_close(socket);
  return true;
}

bool Sockets::was_alive(Socket& socket) {
  if (answering_ != 0 && socket.alive_in == answering_) return true;
  if (!is_alive(socket)) return false;
  socket.alive_in = answering_;
  return true;
}

void Sockets::queue(Socket& socket) {
  if (socket.queued) return;
  socket.queued = true;
  run_queue_.push_back(socket.cookie);
}

void Sockets::count_signal(Socket& socket) {
  if (socket.stream != nullptr) ++socket.stream->signals_received;
  queue(socket);
}

void Sockets::signal_peer(Socket& socket) {
  Stream& stream = *socket.stream;
  ++stream.signals_sent;
  counters_.add(Counter::kSignalsSent);
  switch (stream.side()) {
    case Side::kHost:
      return stream.bus()->host_signal(stream.relid());
    case Side::kGuest:
      return stream.bus()->guest_signal(stream.relid());
    case Side::kLoopback:
      if (Socket* peer = find(stream.loopback_peer())) count_signal(*peer);
  }
}

void Sockets::run_pump(Socket& socket) {
  if (stands_still(socket)) return stand_still(socket);
  const bool had_end = socket.has(proto::kEndedPeerWrite);
  settle_credit(socket);
  const PumpResult out = turn_out(socket);
  // B's end may be A's last close, which the loop comes to later: the peer learns both at once.
  const bool b_ended = socket.stream != nullptr && socket.b_ended && !socket.outbox_is_last;
  if (b_ended) static_cast<void>(is_alive(socket));
  const PumpResult in = turn_in(socket);
  watch_for_room(socket);
  show_held_bytes(socket);
  if (socket.stream != nullptr && (out.signal || in.signal)) signal_peer(socket);
  if (out.fault || in.fault) {
    counters_.add(Counter::kRingFaults);
    // Without a ring, what was rescued from it is the nonsense.
    if (socket.stream != nullptr) {
      socket.stream->peer_closed = true;
    } else {
      socket.inbox.clear();
    }
    socket.ended |= proto::kEndedPeerGone | proto::kEndedPeerWrite | proto::kEndedReset;
  }
  if (!had_end && socket.has(proto::kEndedPeerWrite)) {
    // A close is a FIN in the ring and a message on the bus: who sees the one has seen the other.
    settle_buses();
    end_of_stream(socket);
  }
  if (socket.stream != nullptr) finish_stream(socket);
  if (socket.stream != nullptr) watch_ring(socket);
  hang_up_if_sent(socket);
  if (socket.closed && socket.stream == nullptr) return release(socket);
  if (out.more || in.more) queue(socket);
}

// virtio's rule: no more is sent than the peer's buffer has room for. At the default size that is
// left to the ring, and the carriers' buffers come on top.
void Sockets::settle_credit(Socket& socket) {
  socket.credit_bytes = SIZE_MAX;
  if (std::exchange(socket.owes_credit, false)) {
    if (Socket* sender = peer_of(socket)) queue(*sender);
  }
  const bool limited = socket.peer_buffer_size < proto::kDefaultBufferSize &&
                       !socket.carries_records() && socket.obeys("peer-buffer=on");
  Socket* peer = limited ? peer_of(socket) : nullptr;
  if (peer == nullptr || peer->closed || peer->has(proto::kEndedLocalRead)) return;
  const std::uint64_t room = std::max<std::uint64_t>(socket.peer_buffer_size, 1);
  const std::uint64_t on_the_way =
      socket.bytes_sent - std::min(socket.bytes_sent, peer->bytes_received);
  const std::uint64_t unread =
      on_the_way + diag_.unread_bytes(inode_of(*peer), peer->cookie).value_or(0);
  socket.credit_bytes = room - std::min(room, unread);
  peer->owes_credit = true;
  if (socket.credit_bytes == 0 && has_something_to_send(socket)) wait_for_credit(socket);
}

ino_t Sockets::inode_of(Socket& socket) const {
  if (socket.inode == 0) socket.inode = diag_.peer_inode(socket.b.get());
  return socket.inode;
}

// The kernel tells that the peer's program has read only once there is much room again.
void Sockets::wait_for_credit(Socket& socket) {
  if (std::exchange(socket.waits_for_credit, true)) return;
  loop_.after(kCreditTurn, [this, cookie = socket.cookie] {
    Socket* waiting = find(cookie);
    if (waiting == nullptr) return;
    waiting->waits_for_credit = false;
    queue(*waiting);
  });
}

void Sockets::show_held_bytes(Socket& socket) {
  const std::size_t held = socket.has_low_water() ? socket.inbox.size() : 0;
  if (held == socket.held_bytes) return;
  socket.held_bytes = static_cast<std::uint32_t>(held);
  publish(socket);
}

void Sockets::begin_receive(Socket& socket) {
  ++socket.receives;
  if (socket.state == EndpointState::kConnected) run_pump(socket);
}

void Sockets::end_receive(Socket& socket) { socket.receives = std::max(socket.receives - 1, 0); }

void Sockets::settle_buses() {
  bool ran = true;
  while (ran) {
    ran = false;
    for (const auto& guest : guests_.all()) {
      if (!guest->bus().has_work()) continue;
      guest->bus().run();
      ran = true;
    }
  }
}

bool Sockets::settle() {
  settle_buses();
  std::deque<std::uint64_t> turn;
  turn.swap(run_queue_);
  for (const std::uint64_t cookie : turn) {
    Socket* socket = find(cookie);
    if (socket == nullptr) continue;
    socket->queued = false;
    if (socket->state == EndpointState::kConnected) run_pump(*socket);
  }
  settle_buses();
  collect();
  make_carriers_ready();
  return !run_queue_.empty();
}

// ---- bookkeeping --------------------------------------------------------------------------------

void Sockets::assign_guest(Socket& socket, Guest& guest) {
  socket.home = Home::kGuest;
  socket.guest = &guest;
  if (!socket.is_spare) ++guest.sockets;
}

void Sockets::assign_host(Socket& socket) { socket.home = Home::kHost; }

void Sockets::hold_name(Socket& socket) {
  if (socket.home == Home::kHost) {
    host_.hold(socket);
  } else {
    socket.guest->driver().ports().hold(socket);
  }
}

void Sockets::release_name(Socket& socket) {
  if (socket.home == Home::kHost) {
    host_.release(socket);
  } else if (socket.guest != nullptr) {
    socket.guest->driver().ports().release(socket);
  }
}

void Sockets::publish(const Socket& socket) {
  registry_.write(socket.entry, endpoint_image(socket, guests_));
}

}  // namespace vmbus::emu
