#include "emu/hvsocket/guest_driver.h"

#include <cerrno>
#include <utility>

#include "emu/hvsocket/names.h"
#include "emu/hvsocket/sockets.h"
#include "emu/protocol/status.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

// Ring pages as Linux's hv_sock asks for them; both numbers include the control page.
constexpr std::size_t kLargeRingBytes = 64 * proto::kPageBytes;        // RINGBUFFER_HVS_MAX_SIZE
constexpr std::size_t kStrictClientRingBytes = 7 * proto::kPageBytes;  // 24 KiB of data
constexpr std::size_t kStrictAcceptedRingBytes =
    52 * proto::kPageBytes;  // the default socket buffer, 212,992 bytes

std::size_t ring_bytes(const Socket& socket, bool accepting) {
  if (socket.quirks().large_rings) return kLargeRingBytes;
  return accepting ? kStrictAcceptedRingBytes : kStrictClientRingBytes;
}

}  // namespace

Socket* GuestDriver::live_listener(proto::Cid cid, proto::Port port) {
  return sockets_.first_alive([&] { return ports_.listener(cid, port); });
}

// ---- connecting to the host ---------------------------------------------------------------------

void GuestDriver::dial(Socket& socket) {
  connecting_[socket.local.port.value] = socket.cookie;
  Partition& bus = guest_.bus();
  if (bus.status().connected) return send_request(socket);
  bus.guest_contact();
}

void GuestDriver::send_request(Socket& socket) {
  const Attempt& attempt = *socket.attempt;
  if (guest_.bus().guest_tl_connect(attempt.endpoint, attempt.service)) return;
  connecting_.erase(socket.local.port.value);
  sockets_.connect_failed(socket, ENODEV);
}

void GuestDriver::on_contact(Partition& bus, bool connected) {
  static_cast<void>(bus);
  std::vector<std::uint64_t> waiting;
  for (const auto& [port, cookie] : connecting_) waiting.push_back(cookie);
  for (const std::uint64_t cookie : waiting) {
    Socket* socket = sockets_.find(cookie);
    if (socket == nullptr || socket->attempt == nullptr) continue;
    if (connected) {
      send_request(*socket);
    } else {
      connecting_.erase(socket->local.port.value);
      sockets_.connect_failed(*socket, ENODEV);
    }
  }
}

void GuestDriver::on_tl_connect_result(Partition& bus, const proto::Guid& endpoint,
                                       const proto::Guid& service, std::int32_t status) {
  static_cast<void>(bus);
  const auto found = connecting_.find(endpoint.data1);
  if (status >= 0 || found == connecting_.end()) return;
  Socket* socket = sockets_.find(found->second);
  if (socket == nullptr || socket->attempt == nullptr || socket->attempt->service != service)
    return;
  if (!socket->quirks().refuses_at_once)
    return;  // Linux has no handler for this message: the time limit decides
  connecting_.erase(found);
  sockets_.connect_failed(*socket, ECONNRESET);
}

void GuestDriver::abandon(Socket& socket) {
  connecting_.erase(socket.local.port.value);
  if (socket.attempt == nullptr || socket.attempt->relid == proto::Relid{}) return;
  // The open is under way: on_open_result() closes the channel that nobody wants any more.
  const auto found = channels_.find(socket.attempt->relid);
  if (found != channels_.end()) found->second.socket = 0;
}

// ---- offers -------------------------------------------------------------------------------------

void GuestDriver::on_offer(Partition& bus, const HvsockOffer& offer) {
  if (offer.for_guest_accept) return accept_offer(offer);
  const auto found = connecting_.find(offer.endpoint.data1);
  Socket* socket = found == connecting_.end() ? nullptr : sockets_.find(found->second);
  const bool matches = socket != nullptr && socket->attempt != nullptr &&
                       socket->attempt->service == offer.service &&
                       socket->attempt->endpoint == offer.endpoint;
  if (!matches) {
    static_cast<void>(bus.guest_refuse(offer.relid));  // given up meanwhile
    return;
  }
  connecting_.erase(found);
  socket->attempt->relid = offer.relid;
  channels_[offer.relid] = {.socket = socket->cookie};
  open(offer.relid, *socket, false);
}

void GuestDriver::accept_offer(const HvsockOffer& offer) {
  const auto port = proto::port_of(offer.service);
  Socket* listener = port ? live_listener(proto::Cid{guest_.config().cid}, *port) : nullptr;
  if (listener == nullptr || guest_.removed) {
    static_cast<void>(guest_.bus().guest_refuse(offer.relid));
    return;
  }
  channels_[offer.relid] = {
      .accepting = true, .port = *port, .host_port = proto::Port{offer.endpoint.data1}};
  if (listener->listener->waiting.empty() && Sockets::has_room(*listener))
    return open(offer.relid, *listener, true);
  listener->listener->waiting.push_back(
      {WaitingPeer::Kind::kFromHost, &guest_.bus(), offer.relid, 0});
}

void GuestDriver::answer_waiting(Partition& bus, proto::Relid relid, Socket* listener) {
  const auto found = channels_.find(relid);
  if (found == channels_.end()) return;  // the host gave up
  if (listener != nullptr) return open(relid, *listener, true);
  channels_.erase(found);
  static_cast<void>(bus.guest_refuse(relid));
}

void GuestDriver::open(proto::Relid relid, const Socket& sized_by, bool accepting) {
  const std::size_t bytes = ring_bytes(sized_by, accepting);
  if (guest_.bus().guest_open(relid, bytes, bytes)) return;
  on_open_result(guest_.bus(), relid, false, {});
}

void GuestDriver::on_open_result(Partition& bus, proto::Relid relid, bool ok,
                                 const ChannelRings& rings) {
  static_cast<void>(bus);
  const auto found = channels_.find(relid);
  if (found == channels_.end()) return;
  if (found->second.accepting) {
    finish_accept(found->second, relid, ok, rings);
  } else {
    finish_dial(found->second, relid, ok, rings);
  }
}

void GuestDriver::finish_dial(Channel& channel, proto::Relid relid, bool ok,
                              const ChannelRings& rings) {
  Socket* socket = sockets_.find(channel.socket);
  const bool wanted = socket != nullptr && socket->state == EndpointState::kConnecting;
  auto stream =
      ok && wanted ? Stream::on_channel(Side::kGuest, guest_.bus(), relid, rings) : nullptr;
  if (stream == nullptr) {
    let_go(relid);
    if (wanted) sockets_.connect_failed(*socket, ECONNRESET);
    return;
  }
  sockets_.connected(*socket, std::move(stream),
                     guest_dialer_names(*socket, socket->attempt->service));
}

void GuestDriver::finish_accept(Channel& channel, proto::Relid relid, bool ok,
                                const ChannelRings& rings) {
  Socket* listener = live_listener(proto::Cid{guest_.config().cid}, channel.port);
  auto stream = ok && listener != nullptr
                    ? Stream::on_channel(Side::kGuest, guest_.bus(), relid, rings)
                    : nullptr;
  if (stream == nullptr) return let_go(relid);
  const NamePair names = guest_accepted_names(*listener, proto::service_id_of(channel.port),
                                              proto::service_id_of(channel.host_port));
  Socket* accepted = sockets_.accept(*listener, std::move(stream), names);
  if (accepted == nullptr) return let_go(relid);
  channel.socket = accepted->cookie;
}

// ---- the end ------------------------------------------------------------------------------------

void GuestDriver::on_rescind(Partition& bus, proto::Relid relid) {
  static_cast<void>(bus);
  const auto found = channels_.find(relid);
  if (found == channels_.end()) return;
  Socket* socket = sockets_.find(found->second.socket);
  if (socket != nullptr && socket->stream != nullptr) return sockets_.peer_closed(*socket);
  let_go(relid);
  if (socket != nullptr) sockets_.connect_failed(*socket, ECONNRESET);
}

void GuestDriver::finish(Socket& socket) { let_go(socket.stream->relid()); }

void GuestDriver::let_go(proto::Relid relid) {
  channels_.erase(relid);
  static_cast<void>(guest_.bus().guest_close(relid));
}

void GuestDriver::on_guest_signal(Partition& bus, proto::Relid relid) {
  static_cast<void>(bus);
  const auto found = channels_.find(relid);
  if (found == channels_.end()) return;
  if (Socket* socket = sockets_.find(found->second.socket)) sockets_.count_signal(*socket);
}

void GuestDriver::on_unloaded(Partition& bus) {
  static_cast<void>(bus);
  const auto channels = std::exchange(channels_, {});
  for (const auto& [relid, channel] : channels) {
    Socket* socket = sockets_.find(channel.socket);
    if (socket == nullptr) continue;
    if (socket->stream != nullptr) sockets_.detach(*socket, false);
    sockets_.connect_failed(*socket, ENODEV);
  }
}

}  // namespace vmbus::emu
