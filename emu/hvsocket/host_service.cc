#include "emu/hvsocket/host_service.h"

#include <array>
#include <cerrno>
#include <vector>

#include "emu/hvsocket/names.h"
#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {
namespace {

using proto::EndpointState;
using proto::Guid;

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

Socket* HostService::listener_for_guest(const Guid& vm_id, const Guid& service) {
  for (const Guid& candidate : {vm_id, proto::kHvGuidChildren, proto::kHvGuidWildcard}) {
    if (Socket* listener = find_live(candidate, service)) return listener;
  }
  return nullptr;
}

Socket* HostService::listener_for_host(const Guid& service) {
  for (const Guid& candidate : {proto::kHvGuidLoopback, proto::kHvGuidWildcard}) {
    if (Socket* listener = find_live(candidate, service)) return listener;
  }
  return nullptr;
}

// ---- a guest connects ---------------------------------------------------------------------------

void HostService::on_tl_connect(Partition& bus, const Guid& endpoint, const Guid& service) {
  if (listener_for_guest(bus.config().vm_id, service) == nullptr)
    return bus.host_refuse_connect(endpoint, service);
  const auto relid = bus.host_offer(service, endpoint, false);
  if (!relid) return bus.host_refuse_connect(endpoint, service);
  channels_[{&bus, relid->value}] = {.service = service, .endpoint = endpoint};
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
    Socket* listener = listener_for_guest(bus.config().vm_id, channel.service);
    if (listener == nullptr) return refuse_open(bus, relid, channel);
    if (listener->listener->waiting.empty() && Sockets::has_room(*listener)) {
      return accept(bus, relid, channel, *listener);
    }
    listener->listener->waiting.push_back({WaitingPeer::Kind::kFromGuest, &bus, relid, 0});
    return;
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

void HostService::answer_waiting(Partition& bus, proto::Relid relid, Socket* listener) {
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end() || found->second.rescinded) return;  // the guest gave up
  if (listener == nullptr) return refuse_open(bus, relid, found->second);
  accept(bus, relid, found->second, *listener);
}

void HostService::refuse_open(Partition& bus, proto::Relid relid, Channel& channel) {
  static_cast<void>(bus.host_complete_open(relid, false));
  rescind(bus, relid, channel);
}

// ---- the host connects --------------------------------------------------------------------------

void HostService::dial(Socket& socket, Partition& bus) {
  socket.attempt->guest = &bus;
  if (!bus.status().connected) {
    bus.guest_contact();
    bus.run();
  }
  if (!make_offer(socket, bus)) sockets_.connect_failed(socket, ECONNREFUSED);
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

void HostService::rescind(Partition& bus, proto::Relid relid, Channel& channel) {
  if (channel.rescinded) return;
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
  const Channel channel = found->second;
  channels_.erase(found);
  Socket* socket = sockets_.find(channel.socket);
  if (socket == nullptr) return;
  if (socket->stream != nullptr) return sockets_.detach(*socket, true);
  // Released without having been opened: the guest refuses. A strict dialer waits for its time
  // limit instead.
  if (!socket->quirks().refuses_at_once) return;
  sockets_.connect_failed(*socket, socket->refusal());
}

void HostService::on_host_signal(Partition& bus, proto::Relid relid) {
  const auto found = channels_.find({&bus, relid.value});
  if (found == channels_.end()) return;
  if (Socket* socket = sockets_.find(found->second.socket)) sockets_.count_signal(*socket);
}

void HostService::reset_all(Partition& bus) {
  std::vector<Key> keys;
  for (const auto& [key, channel] : channels_) {
    if (key.first == &bus) keys.push_back(key);
  }
  for (const Key& key : keys) {
    Channel& channel = channels_[key];
    Socket* socket = sockets_.find(channel.socket);
    channel.socket = 0;
    if (socket != nullptr && socket->stream != nullptr) sockets_.detach(*socket, true);
    rescind(bus, proto::Relid{key.second}, channel);
    if (socket != nullptr) sockets_.connect_failed(*socket, ECONNRESET);
  }
}

}  // namespace vmbus::emu
