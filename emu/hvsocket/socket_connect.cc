// SocketRequests: connect. Where an address leads, what the connecting end is called, and who is
// asked.
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "emu/hvsocket/socket_requests.h"

namespace vmbus::emu {
namespace {

using proto::AddressKind;
using proto::EndpointState;
using proto::Guid;

Guid fresh_guid() {
  std::array<std::uint8_t, 16> bytes{};
  [[maybe_unused]] const ssize_t length = ::getrandom(bytes.data(), bytes.size(), 0);
  return proto::random_guid(bytes);
}

bool is_unreachable_vm_id(const Guid& vm_id) {
  return vm_id == proto::kHvGuidWildcard || vm_id == proto::kHvGuidBroadcast ||
         vm_id == proto::kHvGuidChildren || vm_id == proto::kHvGuidSiloHost;
}

// Who asked for zero-copy sends is not connected over a transport that has none.
bool refuses_zerocopy(const Socket& socket) {
  return (socket.options.stored & kStoredZeroCopy) != 0 && socket.kind == AddressKind::kVsock &&
         socket.obeys("zerocopy=off");
}

std::chrono::microseconds connect_limit(const Socket& socket) {
  if (socket.kind == AddressKind::kHyperV) {
    return std::chrono::milliseconds(socket.options.hv_connect_timeout_ms);
  }
  constexpr std::uint64_t kLongestUs = 1'000'000'000'000'000;  // 31 years, and no overflow
  return std::chrono::microseconds(std::min(socket.options.connect_timeout_us, kLongestUs));
}

}  // namespace

int SocketRequests::connect(Socket& socket, int a, std::span<const std::byte> address,
                            bool nonblocking) {
  if (socket.state == EndpointState::kConnected) {
    return socket.has(proto::kEndedLocalRead | proto::kEndedLocalWrite) ? EINVAL : EISCONN;
  }
  if (socket.has(proto::kEndedLocalRead | proto::kEndedLocalWrite)) return EINVAL;
  if (socket.state == EndpointState::kConnecting) return nonblocking ? EALREADY : EINPROGRESS;
  if (socket.reset_pending) return nonblocking ? EALREADY : collect_reset(socket, a);
  if (socket.state == EndpointState::kListening) return EINVAL;
  proto::Address target;
  if (const int error = parse_address(socket, address, target)) return error;
  if (socket.carries_records() && socket.obeys("seqpacket=off")) return ESOCKTNOSUPPORT;
  if (const int error = start(socket, target)) return error;
  sockets_.settle_buses();
  if (socket.state == EndpointState::kConnected) {
    raise_out_edge(a, socket.type);
    return 0;
  }
  if (socket.state != EndpointState::kConnecting) {
    raise_out_edge(a, socket.type);
    if (!nonblocking) return take_error(socket);
    socket.reset_pending = socket.so_error == ECONNRESET && socket.obeys("after-reset=pending");
    return EINPROGRESS;
  }
  return wait_for_outcome(socket, a);
}

int SocketRequests::wait_for_outcome(Socket& socket, int a) {
  socket.flags |= proto::kFlagSendBufferLow;
  sockets_.publish(socket);
  socket.attempt->plugged = sockets_.plug().put(a);
  if (socket.obeys("connect-limit=option")) sockets_.start_timer(socket, connect_limit(socket));
  return EINPROGRESS;
}

// To Linux the attempt is still under way. Where SO_ERROR was read meanwhile nothing ends it but its
// time limit.
int SocketRequests::collect_reset(Socket& socket, int a) {
  socket.reset_pending = false;
  if (socket.so_error != 0) return take_error(socket);
  socket.attempt = std::make_unique<Attempt>();
  socket.state = EndpointState::kConnecting;
  return wait_for_outcome(socket, a);
}

int SocketRequests::start(Socket& socket, const proto::Address& target) {
  if (const int error = choose_home_for_connect(socket, target)) return error;
  if (socket.home == Home::kHost) return start_from_host(socket, target);
  return socket.guest->removed ? ENODEV : start_from_guest(socket, target);
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
  const bool fresh_port = socket.home != Home::kHost && socket.obeys("dial-port=fresh");
  if (fresh_port && socket.state == EndpointState::kBound) {
    sockets_.release_name(socket);
    socket.local = {};
  }
  if (socket.home != Home::kHost && socket.local.port == proto::Port{}) {
    const auto port = fresh_port ? socket.guest->driver().ports().pick_from_top(proto::kCidAny)
                                 : automatic_port(socket, proto::kCidAny);
    if (!port) return EADDRNOTAVAIL;
    socket.local = {.kind = socket.kind, .cid = proto::kCidAny, .port = *port};
    sockets_.hold_name(socket);
  }
  socket.attempt = std::make_unique<Attempt>();
  const bool by_port = socket.home != Home::kHost;
  socket.attempt->endpoint = by_port ? proto::service_id_of(socket.local.port) : fresh_guid();
  // The guest sees the low 32 bits as its peer's port: the host program's own, where it has one.
  if (!by_port && socket.kind == AddressKind::kVsock && socket.obeys("peer-port=own")) {
    socket.attempt->endpoint.data1 = socket.local.port.value;
  }
  socket.state = EndpointState::kConnecting;
  socket.so_error = 0;
  return 0;
}

int SocketRequests::start_from_guest(Socket& socket, const proto::Address& target) {
  const Reach reach = reach_of(socket, target);
  if (reach == Reach::kNowhere) return unreachable(socket, target);
  Guest& guest = *socket.guest;
  const Guid service = proto::service_id_of(target);
  if (reach == Reach::kOtherSide && refuses_zerocopy(socket)) return EOPNOTSUPP;
  if (const int error = name_dialer(socket)) return error;
  socket.attempt->service = service;
  socket.attempt->guest = &guest.bus();
  socket.peer = target;
  if (guest.paused) {
    std::erase(guest.held_dials, socket.cookie);
    guest.held_dials.push_back(socket.cookie);
  } else {
    dial_from_guest(socket, guest);
  }
  return 0;
}

// The second half, which waits while the guest is paused.
void SocketRequests::dial_from_guest(Socket& socket, Guest& guest) {
  const proto::Address target = socket.peer;
  const Guid service = socket.attempt->service;
  const Reach reach = reach_of(socket, target);
  if (reach == Reach::kDevice) return sockets_.connect_failed(socket, ECONNRESET);
  Socket* nearby = nullptr;
  if (reach == Reach::kLoopback) {
    const proto::Cid cid =
        target.cid == proto::kCidAny ? proto::Cid{guest.config().cid} : target.cid;
    nearby = guest.driver().live_listener(cid, proto::Port{service.data1});
  } else {
    nearby = stand_in_for_host(socket, service);
  }
  if (reach == Reach::kLoopback || nearby != nullptr) {
    dial_loopback(socket, nearby);
  } else {
    guest.driver().dial(socket);
  }
}

void SocketRequests::resume(Guest& guest) {
  sockets_.resume_guest(guest);
  for (const std::uint64_t cookie : std::exchange(guest.held_dials, {})) {
    Socket* socket = sockets_.find(cookie);
    const bool waits = socket != nullptr && socket->state == EndpointState::kConnecting;
    if (waits) dial_from_guest(*socket, guest);
  }
}

// Where a guest's connect goes.
SocketRequests::Reach SocketRequests::reach_of(const Socket& socket, const proto::Address& target) {
  const PartitionConfig& guest = socket.guest->config();
  switch (socket.kind) {
    case AddressKind::kHyperV:
      if (target.vm_id == proto::kHvGuidParent) return Reach::kOtherSide;
      return target.vm_id == proto::kHvGuidLoopback || target.vm_id == guest.vm_id
                 ? Reach::kLoopback
                 : Reach::kNowhere;
    case AddressKind::kFreeBsd:
      return Reach::kOtherSide;
    case AddressKind::kNone:
    case AddressKind::kVsock:
      break;
  }
  if (target.cid == proto::kCidHost) {
    const bool old = socket.before("vintage=5.6") && target.port.value > 0x7FFFFFFF;
    return old ? Reach::kNowhere : Reach::kOtherSide;
  }
  const proto::Cid own = socket.obeys("own-cid=on") ? proto::Cid{guest.cid} : proto::kCidAny;
  const bool itself = target.cid == proto::kCidLocal || target.cid == own ||
                      (target.cid == proto::kCidAny && socket.obeys("odd-cid=unreachable"));
  if (itself && socket.reaches_itself()) return Reach::kLoopback;
  return socket.obeys("odd-cid=device") ? Reach::kDevice : Reach::kNowhere;
}

int SocketRequests::unreachable(const Socket& socket, const proto::Address& target) {
  if (socket.kind == AddressKind::kHyperV) return EADDRNOTAVAIL;
  const bool known = target.cid == proto::kCidHypervisor || target.cid == proto::kCidLocal ||
                     target.cid == proto::kCidHost;
  return known || socket.before("vintage=2026") ? ENETUNREACH : ENODEV;
}

// A CID_ANY listener of an `auto` program also answers dials to CID 2 while no host listener has
// that port.
Socket* SocketRequests::stand_in_for_host(const Socket& socket, const Guid& service) {
  if (socket.partition != "auto" || socket.kind != AddressKind::kVsock) return nullptr;
  const PartitionConfig& guest = socket.guest->config();
  HostService& host = sockets_.host();
  if (host.bars(socket, guest, service) || host.listener_for_guest(guest, service) != nullptr) {
    return nullptr;
  }
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
  sockets_.connect_failed(socket, socket.near_refusal());
}

int SocketRequests::cancel_connect(Socket& socket) {
  sockets_.cancel_attempt(socket);
  return 0;
}

}  // namespace vmbus::emu
