#include "emu/hvsocket/host_service.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "emu/hvsocket/names.h"
#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;
using proto::Guid;

// How long an open waits for room in a listener's queue, as OpenVMM's relay waits for a guest's open.
// Longer than a guest's own connect by default, so that a program sees its own time limit.
constexpr std::chrono::seconds kOpenLimit{5};

// The VmIds that mean "many": two sockets bound to the same one and service could not be told
// apart. A particular VM's id is shared by all clients that bind to what they are about to dial, as
// Windows programs do.
bool is_collective(const Guid& vm_id) {
  return vm_id == proto::kHvGuidWildcard || vm_id == proto::kHvGuidChildren ||
         vm_id == proto::kHvGuidLoopback || vm_id == proto::kHvGuidParent;
}

}  // namespace

Guid listening_vm_id(const proto::Address& local) {
  if (local.kind == proto::AddressKind::kHyperV) return local.vm_id;
  return local.cid == proto::kCidLocal ? proto::kHvGuidLoopback : proto::kHvGuidWildcard;
}

// ---- names --------------------------------------------------------------------------------------

Socket* HostService::holder(const proto::Address& address) const {
  const Guid vm_id = listening_vm_id(address);
  const auto [first, last] = names_.equal_range(proto::service_id_of(address));
  for (auto it = first; it != last; ++it) {
    Socket& socket = *it->second;
    if (listening_vm_id(socket.local) != vm_id) continue;
    if (socket.state == EndpointState::kListening || is_collective(vm_id)) return &socket;
  }
  return nullptr;
}

void HostService::hold(Socket& socket) {
  names_.emplace(proto::service_id_of(socket.local), &socket);
}

void HostService::release(const Socket& socket) {
  const auto [first, last] = names_.equal_range(proto::service_id_of(socket.local));
  for (auto it = first; it != last; ++it) {
    if (it->second != &socket) continue;
    names_.erase(it);
    return;
  }
}

proto::Port HostService::pick_port() {
  while (true) {
    const proto::Port port{next_port_};
    next_port_ = next_port_ == proto::kPortAny.value - 1 ? kFirstAutomaticPort : next_port_ + 1;
    if (holder(proto::vsock_address(proto::kCidHost, port)) == nullptr) return port;
  }
}

Socket* HostService::find(const Guid& vm_id, const Guid& service) const {
  const auto [first, last] = names_.equal_range(service);
  for (auto it = first; it != last; ++it) {
    Socket& holder = *it->second;
    if (holder.state == EndpointState::kListening && listening_vm_id(holder.local) == vm_id)
      return &holder;
  }
  return nullptr;
}

// A listener whose last close the loop has not come to yet is no listener any more.
Socket* HostService::find_live(const Guid& vm_id, const Guid& service) {
  return sockets_.first_alive([&] { return find(vm_id, service); });
}

Socket* HostService::listener_for_guest(const PartitionConfig& guest, const Guid& service) {
  if (guest.flavour == Flavour::kWsl) return find_live(guest.vm_id, service);
  for (const Guid& candidate : {guest.vm_id, proto::kHvGuidChildren, proto::kHvGuidWildcard}) {
    Socket* listener = find_live(candidate, service);
    if (listener != nullptr && !bars(*listener, guest, service)) return listener;
  }
  return nullptr;
}

// Nobody registers services for WSL: its only listeners are those that name the VM.
bool HostService::bars(const Socket& end, const PartitionConfig& guest, const Guid& service) const {
  return guest.flavour != Flavour::kWsl && end.obeys("registration=listed") &&
         !services_.is_registered(service);
}

bool HostService::is_wsl(const Guid& vm_id) const {
  const Guest* guest = sockets_.guests().find_vm_id(vm_id);
  return guest != nullptr && guest->config().flavour == Flavour::kWsl;
}

bool HostService::bars_name(const Socket& socket, const proto::Address& name) const {
  const Guid vm_id = listening_vm_id(name);
  const bool exempt =
      vm_id == proto::kHvGuidLoopback || vm_id == proto::kHvGuidParent || is_wsl(vm_id);
  return !exempt && socket.obeys("registration=listed") &&
         !services_.is_registered(proto::service_id_of(name));
}

Socket* HostService::listener_for_host(const Guid& service) {
  for (const Guid& candidate : {proto::kHvGuidLoopback, proto::kHvGuidWildcard}) {
    if (Socket* listener = find_live(candidate, service)) return listener;
  }
  return nullptr;
}

// ---- a guest connects ---------------------------------------------------------------------------

void HostService::on_tl_connect(Partition& bus, const Guid& endpoint, const Guid& service) {
  const Socket* dialer = sockets_.guests().of(bus).driver().dialer(endpoint);
  const bool barred = dialer != nullptr && bars(*dialer, bus.config(), service);
  if (barred || listener_for_guest(bus.config(), service) == nullptr)
    return bus.host_refuse_connect(endpoint, service);
  auto relid = bus.host_offer(service, endpoint, false);
  if (!relid && let_go_of_closed(bus, endpoint, service)) {
    relid = bus.host_offer(service, endpoint, false);
  }
  if (!relid) return bus.host_refuse_connect(endpoint, service);
  channels_[{&bus, relid->value}] = {.service = service, .endpoint = endpoint};
}

// Channels with one pair of names exclude each other. A guest that dials under a name of a connection
// which it has closed need not wait until the host's end has read that to its end.
bool HostService::let_go_of_closed(Partition& bus, const Guid& endpoint, const Guid& service) {
  for (auto& [key, channel] : channels_) {
    if (key.first != &bus || channel.endpoint != endpoint || channel.service != service) continue;
    Socket* socket = sockets_.find(channel.socket);
    if (socket == nullptr || socket->stream == nullptr || !socket->stream->peer_closed) continue;
    if (!sockets_.close_lane(*socket, false)) continue;
    channel.socket = 0;
    sockets_.detach(*socket, false);
    static_cast<void>(bus.host_complete_close(proto::Relid{key.second}));
    rescind(bus, proto::Relid{key.second}, channel);
    return true;
  }
  return false;
}

void HostService::on_channel_open(Partition& bus, proto::Relid relid, const ChannelRings& rings) {
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end()) {
    static_cast<void>(bus.host_complete_open(relid, false));
    return;
  }
  Channel& channel = found->second;
  channel.rings = rings;
  if (!channel.dialled) {
    Socket* listener = listener_for_guest(bus.config(), channel.service);
    const Socket* dialer = sockets_.find(sockets_.guests().of(bus).driver().socket_of(relid));
    const bool other_type =
        listener != nullptr && dialer != nullptr && dialer->type != listener->type;
    if (listener == nullptr || other_type) return refuse_open(bus, relid, channel);
    if (listener->listener->waiting.empty() && Sockets::has_room(*listener)) {
      return accept(bus, relid, channel, *listener);
    }
    if (listener->obeys("full-backlog=reset")) return refuse_open(bus, relid, channel);
    return wait_for_room(bus, relid, channel, *listener);
  }
  Socket* dialer = sockets_.find(channel.socket);
  if (dialer == nullptr || dialer->state != EndpointState::kConnecting)
    return refuse_open(bus, relid, channel);
  auto stream = Stream::on_channel(Side::kHost, bus, relid, rings);
  if (stream == nullptr) {
    refuse_open(bus, relid, channel);
    return sockets_.connect_failed(*dialer, ECONNRESET);
  }
  static_cast<void>(bus.host_complete_open(relid, true));
  const Guest& guest = sockets_.guests().of(bus);
  sockets_.connected(*dialer, std::move(stream),
                     host_dialer_names(*dialer, guest, channel.service, channel.endpoint));
}

void HostService::accept(Partition& bus, proto::Relid relid, Channel& channel, Socket& listener) {
  auto stream = Stream::on_channel(Side::kHost, bus, relid, channel.rings);
  Socket* accepted = nullptr;
  if (stream != nullptr) {
    const Guest& guest = sockets_.guests().of(bus);
    accepted =
        sockets_.accept(listener, std::move(stream),
                        host_accepted_names(listener, guest, channel.service, channel.endpoint));
  }
  if (accepted == nullptr) return refuse_open(bus, relid, channel);
  channel.socket = accepted->cookie;
  static_cast<void>(bus.host_complete_open(relid, true));
}

void HostService::wait_for_room(Partition& bus, proto::Relid relid, Channel& channel,
                                const Socket& listener) {
  channel.place = sockets_.wait_for_room(
      listener, {.kind = WaitingPeer::Kind::kFromGuest, .guest = &bus, .relid = relid});
  const std::uint64_t ticket = channel.place.ticket;
  if (ticket == 0) return refuse_open(bus, relid, channel);
  channel.limit = sockets_.loop().after(kOpenLimit, [this, ticket, &bus, relid] {
    answer_waiting(
        {.kind = WaitingPeer::Kind::kFromGuest, .ticket = ticket, .guest = &bus, .relid = relid},
        nullptr);
  });
}

void HostService::stop_waiting(Channel& channel) {
  sockets_.leave_queue(channel.place);
  sockets_.loop().cancel(channel.limit);
}

void HostService::answer_waiting(const WaitingPeer& peer, Socket* listener) {
  const auto found = channels_.find({peer.guest, peer.relid.value});
  if (found == channels_.end() || found->second.place.ticket != peer.ticket) return;
  stop_waiting(found->second);
  if (listener == nullptr) return refuse_open(*peer.guest, peer.relid, found->second);
  accept(*peer.guest, peer.relid, found->second, *listener);
}

void HostService::refuse_open(Partition& bus, proto::Relid relid, Channel& channel) {
  static_cast<void>(bus.host_complete_open(relid, false));
  rescind(bus, relid, channel);
}

// ---- the host connects --------------------------------------------------------------------------

void HostService::dial(Socket& socket, Partition& bus) {
  if (bars(socket, bus.config(), socket.attempt->service)) return not_answered(socket);
  socket.attempt->guest = &bus;
  if (!bus.status().connected) {
    bus.guest_contact();
    bus.run();
  }
  if (!make_offer(socket, bus)) sockets_.connect_failed(socket, ECONNREFUSED);
}

// Nobody in the guest takes the connection: an impatient dialer hears it at once, a strict one at its
// time limit.
void HostService::not_answered(Socket& dialer) {
  if (dialer.obeys("host-fast-fail=on")) sockets_.connect_failed(dialer, dialer.refusal());
}

bool HostService::make_offer(Socket& socket, Partition& bus) {
  Attempt& attempt = *socket.attempt;
  const auto relid = bus.host_offer(attempt.service, attempt.endpoint, true);
  if (!relid) return false;
  attempt.relid = *relid;
  channels_[{&bus, relid->value}] = {.socket = socket.cookie,
                                     .dialled = true,
                                     .service = attempt.service,
                                     .endpoint = attempt.endpoint};
  return true;
}

void HostService::abandon(Socket& socket) {
  if (socket.attempt == nullptr || socket.attempt->guest == nullptr) return;
  const auto found = channels_.find({socket.attempt->guest, socket.attempt->relid.value});
  if (found == channels_.end()) return;
  found->second.socket = 0;
  rescind(*socket.attempt->guest, socket.attempt->relid, found->second);
}

// ---- the end ------------------------------------------------------------------------------------

void HostService::finish(Socket& socket) {
  Partition& bus = *socket.stream->bus();
  const proto::Relid relid = socket.stream->relid();
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end()) return;
  found->second.socket = 0;
  if (socket.stream->peer_closed) static_cast<void>(bus.host_complete_close(relid));
  rescind(bus, relid, found->second);
}

std::uint64_t HostService::socket_of(Partition& bus, proto::Relid relid) const {
  const auto found = channels_.find({&bus, relid.value});
  return found == channels_.end() ? 0 : found->second.socket;
}

void HostService::rescind(Partition& bus, proto::Relid relid, Channel& channel) {
  if (channel.rescinded) return;
  stop_waiting(channel);
  channel.rescinded = true;
  static_cast<void>(bus.host_rescind(relid));
}

void HostService::on_channel_close(Partition& bus, proto::Relid relid) {
  const auto found = channels_.find({&bus, relid.value});
  Socket* socket = found == channels_.end() ? nullptr : sockets_.find(found->second.socket);
  if (socket != nullptr && socket->stream != nullptr) return sockets_.peer_closed(*socket);
  static_cast<void>(bus.host_complete_close(relid));
  if (found != channels_.end()) rescind(bus, relid, found->second);
}

void HostService::on_channel_released(Partition& bus, proto::Relid relid) {
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end()) return;
  stop_waiting(found->second);
  const Channel channel = found->second;
  channels_.erase(found);
  Socket* socket = sockets_.find(channel.socket);
  if (socket == nullptr) return;
  if (socket->stream != nullptr) return sockets_.detach(*socket, true);
  not_answered(*socket);  // released without having been opened: the guest refuses
}

void HostService::on_host_signal(Partition& bus, proto::Relid relid) {
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end()) return;
  if (Socket* socket = sockets_.find(found->second.socket)) sockets_.count_signal(*socket);
}

std::vector<HostService::Key> HostService::channels_of(const Partition& bus) const {
  std::vector<Key> keys;
  for (const auto& [key, channel] : channels_) {
    if (key.first == &bus) keys.push_back(key);
  }
  return keys;
}

void HostService::reset_all(Partition& bus) {
  for (const Key& key : channels_of(bus)) end_channel(key, Fate::kEnds);
}

// The host lets go of the rings first. Its program's connection was torn away, whatever the guest sees.
void HostService::end_channel(const Key& key, Fate fate) {
  const proto::Relid relid{key.second};
  Channel& channel = channels_[key];
  Socket* host_end = sockets_.find(std::exchange(channel.socket, 0));
  if (host_end != nullptr && host_end->stream != nullptr) sockets_.detach(*host_end, true);
  Socket* guest_end = sockets_.find(sockets_.guests().of(*key.first).driver().socket_of(relid));
  const bool is_reset =
      fate == Fate::kReset && guest_end != nullptr && guest_end->stream != nullptr;
  if (is_reset) sockets_.reset_guest_end(*guest_end);
  rescind(*key.first, relid, channel);
  if (host_end != nullptr) sockets_.connect_failed(*host_end, ECONNRESET);
}

void HostService::end_channels(Partition& bus, FateOf fate, Attempts attempts) {
  for (const Key& key : channels_of(bus)) {
    const Channel& channel = channels_[key];
    if (channel.rescinded) continue;
    const Socket* host_end = sockets_.find(channel.socket);
    const Socket* guest_end =
        sockets_.find(sockets_.guests().of(bus).driver().socket_of(proto::Relid{key.second}));
    const bool made = host_end != nullptr && host_end->stream != nullptr;
    if (!made && attempts == Attempts::kWait) continue;
    const Fate what = fate(host_end, guest_end);
    if (what != Fate::kStays) end_channel(key, what);
  }
}

}  // namespace vmbus::emu
