#include "emu/hvsocket/socket_requests.h"

#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "emu/hvsocket/socket_options.h"

namespace vmbus::emu {
namespace {

using proto::AddressKind;
using proto::EndpointState;
using proto::Guid;

constexpr std::uint32_t kMaxBacklog = 4096;  // net.core.somaxconn

Guid fresh_guid() {
  std::array<std::uint8_t, 16> bytes{};
  [[maybe_unused]] const ssize_t length = ::getrandom(bytes.data(), bytes.size(), 0);
  return proto::random_guid(bytes);
}

// What socket(2) says of (family, type, protocol); 0 if such a socket exists.
int check_kind(const CreateCall& call) {
  const bool vsock = call.family == proto::kFamilyVsock;
  if (vsock && call.type == SOCK_DGRAM) return ENODEV;
  if (vsock && call.type != SOCK_STREAM && call.type != SOCK_SEQPACKET) return ESOCKTNOSUPPORT;
  if (vsock)
    return call.protocol == 0 || call.protocol == proto::kFamilyVsock ? 0 : EPROTONOSUPPORT;
  if (call.type != SOCK_STREAM) return ESOCKTNOSUPPORT;
  if (call.family == proto::kFamilyHyperVFreeBsd) return call.protocol <= 1 ? 0 : EPROTONOSUPPORT;
  if (call.family != proto::kFamilyHyperV) return EAFNOSUPPORT;
  if (call.protocol == 0) return EPROTOTYPE;
  return call.protocol == 1 ? 0 : EPROTONOSUPPORT;
}

AddressKind kind_of(std::uint32_t family) {
  if (family == proto::kFamilyHyperV) return AddressKind::kHyperV;
  return family == proto::kFamilyHyperVFreeBsd ? AddressKind::kFreeBsd : AddressKind::kVsock;
}

bool is_unreachable_vm_id(const Guid& vm_id) {
  return vm_id == proto::kHvGuidWildcard || vm_id == proto::kHvGuidBroadcast ||
         vm_id == proto::kHvGuidChildren || vm_id == proto::kHvGuidSiloHost;
}

// A free port of the socket's guest.
std::optional<proto::Port> automatic_port(const Socket& socket, proto::Cid cid) {
  const bool all = socket.quirks().scans_all_ports;
  return socket.guest->driver().ports().pick(cid, all ? kAllPortCandidates : kLinuxPortCandidates);
}

}  // namespace

tl::expected<Sockets::Born, int> SocketRequests::create(const CreateCall& call) {
  if (const int error = check_kind(call)) return tl::unexpected(error);
  const auto profile = find_profile(call.profile.empty() ? kDefaultProfile.name : call.profile);
  if (!profile) return tl::unexpected(EINVAL);
  const AddressKind kind = kind_of(call.family);
  GuestList& guests = sockets_.guests();
  Guest* guest = nullptr;
  if (call.partition != "auto" && call.partition != "host") {
    guest = guests.find(call.partition);
    if (guest == nullptr) return tl::unexpected(EINVAL);
  } else if (kind == AddressKind::kFreeBsd) {
    guest = guests.find_flavour(Flavour::kFreeBsd);
    if (guest == nullptr) return tl::unexpected(EAFNOSUPPORT);
  }
  auto born = sockets_.create({.kind = kind,
                               .type = static_cast<std::uint8_t>(call.type),
                               .partition = call.partition,
                               .profile = *profile,
                               .pid = call.pid,
                               .program = call.program});
  if (!born) return born;
  Socket& socket = *born->socket;
  if (guest != nullptr) {
    sockets_.assign_guest(socket, *guest);
  } else if (call.partition == "host" || kind == AddressKind::kHyperV) {
    sockets_.assign_host(socket);
  }
  sockets_.publish(socket);
  return born;
}

// ---- bind ---------------------------------------------------------------------------------------

int SocketRequests::bind(Socket& socket, std::span<const std::byte> address, bool privileged) {
  proto::Address name;
  if (const int error = proto::parse_sockaddr(socket.kind, address, name)) return error;
  if (socket.state != EndpointState::kFresh) return EINVAL;
  if (socket.guest != nullptr && socket.guest->removed) return ENODEV;
  int error = 0;
  switch (socket.kind) {
    case AddressKind::kHyperV:
      error = bind_hyperv(socket, name);
      break;
    case AddressKind::kFreeBsd:
      error = take_name(socket, name) ? 0 : EADDRINUSE;
      break;
    case AddressKind::kNone:
    case AddressKind::kVsock:
      error = bind_vsock(socket, name, privileged);
      break;
  }
  if (error != 0) return error;
  socket.state = EndpointState::kBound;
  sockets_.publish(socket);
  return 0;
}

int SocketRequests::bind_vsock(Socket& socket, proto::Address address, bool privileged) {
  if (const int error = choose_home_for_bind(socket, address.cid)) return error;
  if (!is_local_cid(socket, address.cid)) return EADDRNOTAVAIL;
  if (address.port == proto::kPortAny) {
    if (socket.home == Home::kHost) {
      address.port = sockets_.host().pick_port();
    } else {
      const auto port = automatic_port(socket, address.cid);
      if (!port) return EADDRNOTAVAIL;
      address.port = *port;
    }
  } else if (address.port < proto::kFirstUnprivilegedPort && !privileged) {
    return EACCES;
  }
  return take_name(socket, address) ? 0 : EADDRINUSE;
}

int SocketRequests::bind_hyperv(Socket& socket, const proto::Address& address) {
  const bool any_name = address.vm_id == proto::kHvGuidZero && address.service_id == Guid{};
  if (any_name) {
    socket.local = address;
    return 0;
  }
  proto::Address name = address;
  if (socket.home == Home::kGuest) {
    const auto port = proto::port_of(address.service_id);
    if (!port) return EADDRNOTAVAIL;  // a guest's listeners are found by port
    name.port = *port;
    name.cid = proto::kCidAny;
  }
  return take_name(socket, name) ? 0 : EADDRINUSE;
}

// An `auto` socket bound to CID 2 is the host's, one bound to a guest's CID that guest's; (ANY,
// port) and (1, port) stand with the default guest until connect or listen decides.
int SocketRequests::choose_home_for_bind(Socket& socket, proto::Cid cid) {
  if (socket.home != Home::kUndecided) return 0;
  if (cid == proto::kCidHost) {
    sockets_.assign_host(socket);
    return 0;
  }
  if (cid == proto::kCidAny) {
    socket.guest = &sockets_.guests().default_guest();
    return 0;
  }
  Guest* guest = cid == proto::kCidLocal ? &sockets_.guests().default_guest()
                                         : sockets_.guests().find_cid(cid.value);
  if (guest == nullptr) return EADDRNOTAVAIL;
  sockets_.assign_guest(socket, *guest);
  return 0;
}

bool SocketRequests::is_local_cid(const Socket& socket, proto::Cid cid) const {
  if (cid == proto::kCidAny) return true;
  if (socket.home == Home::kHost) return cid == proto::kCidHost || cid == proto::kCidLocal;
  if (cid == proto::kCidLocal) return socket.quirks().has_loopback;
  return socket.quirks().shows_own_cid && cid.value == socket.guest->config().cid;
}

bool SocketRequests::take_name(Socket& socket, proto::Address address) {
  const bool taken =
      socket.home == Home::kHost ? host_name_taken(address) : sockets_.first_alive([&] {
        return socket.guest->driver().ports().holder(address.cid, address.port);
      }) != nullptr;
  if (taken) return false;
  socket.local = address;
  sockets_.hold_name(socket);
  return true;
}

bool SocketRequests::host_name_taken(const proto::Address& address) {
  return sockets_.first_alive([&] { return sockets_.host().holder(address); }) != nullptr;
}

// ---- listen -------------------------------------------------------------------------------------

int SocketRequests::listen(Socket& socket, int a, int backlog) {
  const std::uint32_t length =
      backlog < 0 ? kMaxBacklog : std::min(static_cast<std::uint32_t>(backlog), kMaxBacklog);
  if (socket.guest != nullptr && socket.guest->removed) return ENODEV;
  if (socket.state == EndpointState::kListening) {
    socket.listener->backlog = length;
    return 0;
  }
  if (socket.state != EndpointState::kBound) {
    return socket.kind == AddressKind::kFreeBsd && socket.state == EndpointState::kFresh
               ? EADDRNOTAVAIL
               : EINVAL;
  }
  if (socket.kind == AddressKind::kHyperV && socket.home == Home::kHost) {
    sockets_.host().release(socket);
    const bool taken = host_name_taken(socket.local);
    sockets_.host().hold(socket);
    if (taken) return EADDRINUSE;
  }
  if (socket.home == Home::kUndecided) sockets_.assign_guest(socket, *socket.guest);
  socket.listener = std::make_unique<Listener>();
  socket.listener->backlog = length;
  socket.state = EndpointState::kListening;
  socket.flags |= proto::kFlagSendBufferLow;
  sockets_.publish(socket);
  sockets_.plug().put(a);
  return 0;
}

// ---- connect ------------------------------------------------------------------------------------

int SocketRequests::connect(Socket& socket, int a, std::span<const std::byte> address,
                            bool nonblocking) {
  if (socket.state == EndpointState::kConnected) {
    return socket.has(proto::kEndedLocalRead | proto::kEndedLocalWrite) ? EINVAL : EISCONN;
  }
  if (socket.has(proto::kEndedLocalRead | proto::kEndedLocalWrite)) return EINVAL;
  if (socket.state == EndpointState::kConnecting) return nonblocking ? EALREADY : EINPROGRESS;
  if (socket.state == EndpointState::kListening) return EINVAL;
  proto::Address target;
  if (const int error = proto::parse_sockaddr(socket.kind, address, target)) return error;
  if (socket.type != SOCK_STREAM) return ESOCKTNOSUPPORT;
  if (const int error = start(socket, target)) return error;
  sockets_.settle_buses();
  if (socket.state == EndpointState::kConnected) {
    raise_out_edge(a);
    return 0;
  }
  if (socket.state != EndpointState::kConnecting) {
    raise_out_edge(a);
    return nonblocking ? EINPROGRESS : take_error(socket);
  }
  socket.flags |= proto::kFlagSendBufferLow;
  sockets_.publish(socket);
  socket.attempt->plugged = sockets_.plug().put(a);
  if (socket.kind == AddressKind::kVsock) {
    sockets_.start_timer(socket, std::chrono::microseconds(socket.options.connect_timeout_us));
  } else if (socket.kind == AddressKind::kHyperV) {
    sockets_.start_timer(socket, std::chrono::milliseconds(socket.options.hv_connect_timeout_ms));
  }
  return EINPROGRESS;
}

int SocketRequests::start(Socket& socket, const proto::Address& target) {
  if (const int error = choose_home_for_connect(socket, target)) return error;
  if (socket.guest != nullptr && socket.guest->removed) return ENODEV;
  return socket.home == Home::kHost ? start_from_host(socket, target)
                                    : start_from_guest(socket, target);
}

// `auto`: dialling a VM's CID makes it the host's, anything else the default guest's.
int SocketRequests::choose_home_for_connect(Socket& socket, const proto::Address& target) {
  if (socket.home != Home::kUndecided) return 0;
  GuestList& guests = sockets_.guests();
  if (guests.find_cid(target.cid.value) == nullptr) {
    sockets_.assign_guest(socket, socket.guest != nullptr ? *socket.guest : guests.default_guest());
    return 0;
  }
  if (socket.state == EndpointState::kBound) {
    if (host_name_taken(socket.local)) return EADDRINUSE;
    sockets_.release_name(socket);
    socket.guest = nullptr;
    sockets_.assign_host(socket);
    sockets_.hold_name(socket);
    return 0;
  }
  sockets_.assign_host(socket);
  return 0;
}

// The connecting socket's own port (or, for a Windows name, its fresh service) and its Attempt.
int SocketRequests::name_dialer(Socket& socket) {
  if (socket.state == EndpointState::kFresh && socket.home == Home::kHost &&
      socket.kind == AddressKind::kVsock) {
    take_name(socket, proto::vsock_address(proto::kCidAny, sockets_.host().pick_port()));
  }
  if (socket.home != Home::kHost && socket.local.port == proto::Port{}) {
    const auto port = automatic_port(socket, proto::kCidAny);
    if (!port) return EADDRNOTAVAIL;
    socket.local = {.kind = socket.kind, .cid = proto::kCidAny, .port = *port};
    sockets_.hold_name(socket);
  }
  socket.attempt = std::make_unique<Attempt>();
  const bool by_port = socket.home != Home::kHost;
  socket.attempt->endpoint = by_port ? proto::service_id_of(socket.local.port) : fresh_guid();
  // The guest sees the low 32 bits as its peer's port: the host program's own, where it has one.
  if (!by_port && socket.kind == AddressKind::kVsock) {
    socket.attempt->endpoint.data1 = socket.local.port.value;
  }
  socket.state = EndpointState::kConnecting;
  socket.so_error = 0;
  return 0;
}

int SocketRequests::start_from_guest(Socket& socket, const proto::Address& target) {
  Guest& guest = *socket.guest;
  const proto::Cid own{guest.config().cid};
  Reach reach = Reach::kNowhere;
  Guid service = proto::service_id_of(target);
  switch (socket.kind) {
    case AddressKind::kHyperV:
      if (target.vm_id == proto::kHvGuidParent) reach = Reach::kOtherSide;
      if (target.vm_id == proto::kHvGuidLoopback || target.vm_id == guest.config().vm_id)
        reach = Reach::kLoopback;
      if (reach == Reach::kNowhere) return EADDRNOTAVAIL;
      break;
    case AddressKind::kFreeBsd:
      reach = Reach::kOtherSide;
      break;
    case AddressKind::kNone:
    case AddressKind::kVsock:
      if (target.cid == proto::kCidHost) reach = Reach::kOtherSide;
      if (target.cid == proto::kCidLocal || target.cid == proto::kCidAny || target.cid == own) {
        reach = socket.quirks().has_loopback ? Reach::kLoopback : Reach::kNowhere;
      }
      if (reach == Reach::kNowhere) return ENETUNREACH;
      break;
  }
  if (const int error = name_dialer(socket)) return error;
  socket.attempt->service = service;
  socket.attempt->guest = &guest.bus();
  socket.peer = target;
  Socket* nearby = nullptr;
  if (reach == Reach::kLoopback) {
    const proto::Cid cid = target.cid == proto::kCidAny ? own : target.cid;
    nearby = guest.driver().live_listener(cid, proto::Port{service.data1});
  } else {
    nearby = stand_in_for_host(socket, service);
  }
  if (reach == Reach::kLoopback || nearby != nullptr) {
    dial_loopback(socket, nearby);
  } else {
    guest.driver().dial(socket);
  }
  return 0;
}

// A CID_ANY listener of an `auto` program also answers dials to CID 2 while no host listener has
// that port.
Socket* SocketRequests::stand_in_for_host(const Socket& socket, const Guid& service) {
  if (socket.partition != "auto" || socket.kind != AddressKind::kVsock) return nullptr;
  if (sockets_.host().listener_for_guest(socket.guest->config().vm_id, service) != nullptr)
    return nullptr;
  Socket* listener =
      socket.guest->driver().live_listener(proto::kCidAny, proto::Port{service.data1});
  return listener != nullptr && listener->partition == "auto" ? listener : nullptr;
}

int SocketRequests::start_from_host(Socket& socket, const proto::Address& target) {
  Guest* guest = nullptr;
  bool loopback = false;
  if (socket.kind == AddressKind::kHyperV) {
    if (is_unreachable_vm_id(target.vm_id) || target.vm_id == proto::kHvGuidParent)
      return EADDRNOTAVAIL;
    loopback = target.vm_id == proto::kHvGuidLoopback;
    if (!loopback) guest = sockets_.guests().find_vm_id(target.vm_id);
    if (!loopback && guest == nullptr) return EHOSTUNREACH;
  } else {
    loopback = target.cid == proto::kCidLocal || target.cid == proto::kCidHost ||
               target.cid == proto::kCidAny;
    if (!loopback) guest = sockets_.guests().find_cid(target.cid.value);
    if (!loopback && guest == nullptr) return ENODEV;
  }
  if (const int error = name_dialer(socket)) return error;
  socket.attempt->service = proto::service_id_of(target);
  socket.peer = target;
  if (loopback) {
    dial_loopback(socket, sockets_.host().listener_for_host(socket.attempt->service));
  } else {
    sockets_.host().dial(socket, guest->bus());
  }
  return 0;
}

void SocketRequests::dial_loopback(Socket& socket, Socket* listener) {
  if (listener != nullptr) return sockets_.connect_loopback(socket, *listener);
  sockets_.connect_failed(socket, socket.refusal());
}

int SocketRequests::cancel_connect(Socket& socket) {
  sockets_.cancel_attempt(socket);
  return 0;
}

// ---- the rest -----------------------------------------------------------------------------------

int SocketRequests::shutdown(Socket& socket, int a, int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return EINVAL;
  if (socket.state == EndpointState::kConnecting) {
    sockets_.cancel_attempt(socket);
  } else if (socket.state != EndpointState::kConnected) {
    return ENOTCONN;
  }
  const std::uint8_t before = socket.ended;
  if (how != SHUT_WR) socket.ended |= proto::kEndedLocalRead;
  if (how != SHUT_RD) socket.ended |= proto::kEndedLocalWrite;
  const unsigned added = socket.ended & ~unsigned{before};
  if ((added & proto::kEndedLocalWrite) != 0) socket.flags |= proto::kFlagSendBufferLow;
  sockets_.publish(socket);
  if ((added & proto::kEndedLocalWrite) != 0) {
    // The plug, and whatever else is queued, stays at B unread: A shows no OUT until its last
    // close.
    sockets_.plug().put(a);
    ::shutdown(a, SHUT_WR);
    std::vector<std::byte> queued = peek_all(socket.b.get());
    sockets_.plug().erase_from(queued);
    socket.outbox.insert(socket.outbox.end(), queued.begin(), queued.end());
    socket.outbox_is_last = true;
  }
  if ((added & proto::kEndedLocalRead) != 0) ::shutdown(a, SHUT_RD);
  sockets_.queue(socket);
  return 0;
}

int SocketRequests::set_option(Socket& socket, int level, int option,
                               std::span<const std::byte> value) {
  const int error = emu::set_option(socket, level, option, value);
  if (error == 0) sockets_.publish(socket);
  return error;
}

int SocketRequests::take_error(Socket& socket) {
  const int error = std::exchange(socket.so_error, 0);
  sockets_.publish(socket);
  return error;
}

}  // namespace vmbus::emu
