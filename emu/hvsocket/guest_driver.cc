#include "emu/hvsocket/guest_driver.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "emu/hvsocket/names.h"
#include "emu/hvsocket/sockets.h"
#include "emu/protocol/status.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;

// Linux' RINGBUFFER_HVS_SND_SIZE and RINGBUFFER_HVS_MAX_SIZE. A ring sized by a socket buffer has
// its control page within that size, any other has it on top.
constexpr std::size_t kLeastRingBytes = 6 * proto::kPageBytes;
constexpr std::size_t kLargestSizedRingBytes = 64 * proto::kPageBytes;

std::size_t whole_pages(std::size_t bytes) {
  return (bytes + proto::kPageBytes - 1) / proto::kPageBytes * proto::kPageBytes;
}

// One ring, control page included. `buffer` is the socket buffer that it replaces.
std::size_t ring_bytes(const Socket& socket, bool accepting, std::size_t buffer) {
  const std::size_t wanted =
      socket.quirk(accepting ? proto::Quirk::kAcceptedRing : proto::Quirk::kClientRing);
  const bool by_buffer =
      accepting ? wanted == 0 : socket.obeys("client-buffers=on") || socket.before("vintage=5.5");
  if (by_buffer) {
    return whole_pages(std::clamp(buffer, kLeastRingBytes, kLargestSizedRingBytes));
  }
  const std::size_t data = whole_pages(std::max(wanted, kLeastRingBytes));
  const bool page_within = data == kLeastRingBytes && socket.before("vintage=6.6");
  return page_within ? data : data + proto::kPageBytes;
}

// Linux before 5.5 kept to the documented range of services.
bool is_beyond_old_ports(const Socket& socket, proto::Port port) {
  return socket.before("vintage=5.6") && port.value > 0x7FFFFFFF;
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
  if (!socket->obeys("fast-fail=on"))
    return;  // Linux has no handler for this message: the time limit decides
  connecting_.erase(found);
  sockets_.connect_failed(*socket, socket->refusal());
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
  const bool has_room =
      listener != nullptr && listener->listener->waiting.empty() && Sockets::has_room(*listener);
  const Socket* dialer = sockets_.find(sockets_.host().socket_of(guest_.bus(), offer.relid));
  const bool other_type =
      listener != nullptr && dialer != nullptr && dialer->type != listener->type;
  const bool refuses = listener == nullptr || other_type || guest_.removed ||
                       is_beyond_old_ports(*listener, *port) ||
                       sockets_.host().bars(*listener, guest_.config(), offer.service) ||
                       (!has_room && listener->obeys("full-backlog=reset"));
  if (refuses) {
    static_cast<void>(guest_.bus().guest_refuse(offer.relid));
    return;
  }
  Channel channel{.accepting = true, .port = *port, .host_port = proto::Port{offer.endpoint.data1}};
  if (!has_room) {
    channel.place = sockets_.wait_for_room(
        *listener,
        {.kind = WaitingPeer::Kind::kFromHost, .guest = &guest_.bus(), .relid = offer.relid});
    if (channel.place.ticket == 0) {
      static_cast<void>(guest_.bus().guest_refuse(offer.relid));
      return;
    }
  }
  channels_[offer.relid] = channel;
  if (has_room) open(offer.relid, *listener, true);
}

void GuestDriver::answer_waiting(const WaitingPeer& peer, Socket* listener) {
  const auto found = channels_.find(peer.relid);
  if (found == channels_.end() || found->second.place.ticket != peer.ticket) return;
  found->second.place = {};
  if (listener != nullptr) return open(peer.relid, *listener, true);
  channels_.erase(found);
  static_cast<void>(guest_.bus().guest_refuse(peer.relid));
}

void GuestDriver::open(proto::Relid relid, const Socket& sized_by, bool accepting) {
  const std::size_t to_host = ring_bytes(sized_by, accepting, sized_by.options.send_buffer);
  const std::size_t to_guest = ring_bytes(sized_by, accepting, sized_by.options.receive_buffer);
  if (guest_.bus().guest_open(relid, to_host, to_guest)) return;
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
  NamePair names = guest_accepted_names(*listener, proto::service_id_of(channel.port),
                                        proto::service_id_of(channel.host_port));
  if (listener->kind == proto::AddressKind::kVsock && listener->before("vintage=5.5")) {
    names.peer = proto::vsock_address(proto::kCidAny, proto::Port{next_old_peer_port_++});
  }
  Socket* accepted = sockets_.accept(*listener, std::move(stream), names);
  if (accepted == nullptr) return let_go(relid);
  channel.socket = accepted->cookie;
  sockets_.share_buffer_size(*accepted);
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

Socket* GuestDriver::dialer(const proto::Guid& endpoint) const {
  const auto found = connecting_.find(endpoint.data1);
  Socket* socket = found == connecting_.end() ? nullptr : sockets_.find(found->second);
  const bool matches =
      socket != nullptr && socket->attempt != nullptr && socket->attempt->endpoint == endpoint;
  return matches ? socket : nullptr;
}

std::uint64_t GuestDriver::socket_of(proto::Relid relid) const {
  const auto found = channels_.find(relid);
  return found == channels_.end() ? 0 : found->second.socket;
}

void GuestDriver::finish(Socket& socket) { let_go(socket.stream->relid()); }

void GuestDriver::let_go(proto::Relid relid) {
  if (const auto found = channels_.find(relid); found != channels_.end()) {
    sockets_.leave_queue(found->second.place);
    channels_.erase(found);
  }
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
  auto channels = std::exchange(channels_, {});
  for (auto& [relid, channel] : channels) {
    sockets_.leave_queue(channel.place);
    Socket* socket = sockets_.find(channel.socket);
    if (socket == nullptr) continue;
    if (socket->stream != nullptr) sockets_.detach(*socket, false);
    sockets_.connect_failed(*socket, ENODEV);
  }
}

}  // namespace vmbus::emu
