#include "emu/hvsocket/socket_requests.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "emu/hvsocket/socket_options.h"
#include "emu/records.h"

namespace vmbus::emu {
namespace {

using proto::AddressKind;
using proto::EndpointState;
using proto::Guid;

constexpr std::uint32_t kMaxBacklog = 4096;  // net.core.somaxconn

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

// "strict", or "strict+peek=on" with settings; empty when either is wrong.
std::optional<Profile> make_profile(std::string_view name, std::string_view settings) {
  const auto column = proto::find_profile(name.empty() ? proto::kProfileTable[0].name : name);
  if (!column) return std::nullopt;
  Profile profile{std::string(proto::kProfileTable[*column].name), proto::kProfileValues[*column]};
  const auto fault = proto::apply_settings(settings, &profile.quirks);
  if (fault.kind != proto::SettingFault::Kind::kNone) return std::nullopt;
  if (!settings.empty()) profile.text.append("+").append(settings);
  return profile;
}

// Linux forgets at shutdown that the connection had come to its end: recv, which gave 0, then says
// that there is none.
bool forgets_peer(const Socket& socket, int a) {
  const bool over = socket.has(proto::kEndedPeerGone) && socket.has(proto::kEndedPeerWrite);
  int unread_bytes = 0;
  return over && socket.kind == AddressKind::kVsock && socket.obeys("recv-after-end=enotconn") &&
         ::ioctl(a, FIONREAD, &unread_bytes) == 0 && unread_bytes == 0;
}

}  // namespace

// The last one that was made, if it is that.
SharedProfile SocketRequests::find_profile(const CreateCall& call) {
  auto profile = make_profile(call.profile, call.quirks);
  if (!profile) return nullptr;
  if (last_profile_ == nullptr || last_profile_->text != profile->text) {
    last_profile_ = std::make_shared<const Profile>(std::move(*profile));
  }
  return last_profile_;
}

tl::expected<Sockets::Born, int> SocketRequests::create(const CreateCall& call) {
  const SharedProfile profile = find_profile(call);
  if (profile == nullptr) return tl::unexpected(EINVAL);
  if (call.type == SOCK_SEQPACKET && profile->quirks.before("vintage=5.14")) {
    return tl::unexpected(ESOCKTNOSUPPORT);
  }
  const AddressKind kind = kind_of(call.family);
  GuestList& guests = sockets_.guests();
  Guest* guest = nullptr;
  if (call.partition != "auto" && call.partition != "host") {
    guest = guests.find(call.partition);
    if (guest == nullptr) return tl::unexpected(EINVAL);
    const bool knows_family =
        kind != AddressKind::kFreeBsd || guest->config().flavour == Flavour::kFreeBsd;
    if (!knows_family) return tl::unexpected(EAFNOSUPPORT);
  } else if (kind == AddressKind::kFreeBsd) {
    guest = guests.find_flavour(Flavour::kFreeBsd);
    if (guest == nullptr) return tl::unexpected(EAFNOSUPPORT);
  }
  // A family that nobody here has comes before what is wrong with its sockets.
  if (const int error = check_kind(call)) return tl::unexpected(error);
  auto born = sockets_.create({.kind = kind,
                               .type = static_cast<std::uint8_t>(call.type),
                               .partition = call.partition,
                               .profile = profile,
                               .protocol = call.protocol,
                               .pid = call.pid,
                               .program = call.program,
                               .is_spare = call.is_spare});
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

// Before svm_flags there was a byte that had to be zero.
int SocketRequests::parse_address(const Socket& socket, std::span<const std::byte> raw,
                                  proto::Address& address) {
  constexpr std::size_t kFlagsOffset = offsetof(proto::SockaddrVm, flags);
  if (const int error = proto::parse_sockaddr(socket.kind, raw, address)) return error;
  const bool flagged = socket.kind == AddressKind::kVsock && raw[kFlagsOffset] != std::byte{0};
  return flagged && socket.before("vintage=5.11") ? EINVAL : 0;
}

// A free port of the socket's guest.
std::optional<proto::Port> SocketRequests::automatic_port(const Socket& socket, proto::Cid cid) {
  const bool all = socket.obeys("port-scan=all");
  return socket.guest->driver().ports().pick(cid, all ? kAllPortCandidates : kLinuxPortCandidates);
}

// ---- bind ---------------------------------------------------------------------------------------

int SocketRequests::bind(Socket& socket, std::span<const std::byte> address, bool privileged) {
  proto::Address name;
  if (const int error = parse_address(socket, address, name)) return error;
  if (socket.state != EndpointState::kFresh) return EINVAL;
  if (socket.guest != nullptr && socket.guest->removed) return ENODEV;
  int error = 0;
  switch (socket.kind) {
    case AddressKind::kHyperV:
      error = bind_hyperv(socket, name);
      break;
    case AddressKind::kFreeBsd:
      name.cid = proto::kCidAny;  // it has none: the port stands for every way to its guest
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
  } else if (address.port < proto::kFirstUnprivilegedPort && !privileged &&
             socket.obeys("low-ports=root")) {
    return EACCES;
  } else if (socket.home == Home::kHost && sockets_.host().bars_name(socket, address)) {
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
  } else if (sockets_.host().bars_name(socket, name)) {
    return EACCES;
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
  if (cid == proto::kCidLocal) return socket.reaches_itself();
  return socket.obeys("own-cid=on") && cid.value == socket.guest->config().cid;
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
  // Up to 6.12 a failed connect leaves a bound socket like any other.
  const bool bound_by_connect = socket.state == EndpointState::kFailed &&
                                socket.kind == AddressKind::kVsock && socket.before("vintage=6.16");
  if (socket.state != EndpointState::kBound && !bound_by_connect) {
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

// ---- the rest -----------------------------------------------------------------------------------

int SocketRequests::shutdown(Socket& socket, int a, int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return EINVAL;
  if (socket.state == EndpointState::kConnecting) {
    sockets_.cancel_attempt(socket);
  } else if (socket.reset_pending) {
    socket.reset_pending = false;  // to Linux it was still connecting
  } else if (socket.state != EndpointState::kConnected) {
    return ENOTCONN;
  }
  const std::uint8_t before = socket.ended;
  if (how != SHUT_WR) socket.ended |= proto::kEndedLocalRead;
  if (how != SHUT_RD) socket.ended |= proto::kEndedLocalWrite;
  const unsigned added = socket.ended & ~unsigned{before};
  if ((added & proto::kEndedLocalWrite) != 0) socket.flags |= proto::kFlagSendBufferLow;
  if (forgets_peer(socket, a)) socket.ended |= proto::kEndedForgotten;
  sockets_.publish(socket);
  if ((added & proto::kEndedLocalWrite) != 0) {
    leave_plug(socket, a);
  }
  if ((added & proto::kEndedLocalRead) != 0) {
    if (socket.lane != nullptr) socket.lane->announce_end();
    ::shutdown(a, SHUT_RD);
    if (socket.lane != nullptr) socket.lane->wake_sleepers();
    sockets_.tell_of_shut_read(socket);
  }
  sockets_.queue(socket);
  return 0;
}

// The plug stays at B unread, and so does whatever else a stream has queued: A shows no OUT until its
// last close.
void SocketRequests::leave_plug(Socket& socket, int a) {
  const Plug& plug = sockets_.plug();
  const bool is_plugged = std::exchange(socket.is_plugged, false);
  if (socket.carries_records()) {
    take_records_before_plug(socket, plug);  // makes room for it
    plug.put(a);
    ::shutdown(a, SHUT_WR);
    take_records_before_plug(socket, plug);
  } else {
    if (!is_plugged) plug.put(a);
    ::shutdown(a, SHUT_WR);
    std::vector<std::byte> queued = peek_all(socket.b.get());
    plug.erase_from(queued);
    socket.outbox.insert(socket.outbox.end(), queued.begin(), queued.end());
  }
  socket.outbox_is_last = true;
}

int SocketRequests::set_option(Socket& socket, int level, int option,
                               std::span<const std::byte> value) {
  if (level == proto::kCarrierLevel) {
    if (option == proto::kReceiveBegins) sockets_.begin_receive(socket);
    if (option == proto::kReceiveEnds) sockets_.end_receive(socket);
    return 0;
  }
  const int error = emu::set_option(socket, level, option, value);
  if (error != 0) return error;
  sockets_.publish(socket);
  sockets_.queue(socket);  // its low-water mark may be another
  if (level == proto::kFamilyVsock) sockets_.share_buffer_size(socket);
  return 0;
}

void SocketRequests::take_back(Socket& socket, int a) {
  const bool over =
      socket.stream == nullptr || socket.has(proto::kEndedPeerWrite | proto::kEndedLocalRead);
  if (over || !socket.has_low_water() || socket.receives > 0) return;
  int unread_bytes = 0;
  const bool has_some = ::ioctl(a, FIONREAD, &unread_bytes) == 0 && unread_bytes > 0;
  if (!has_some || std::cmp_greater_equal(unread_bytes, socket.options.receive_low_water)) return;
  const std::vector<std::byte> bytes = take_all(a);
  socket.inbox.insert(socket.inbox.begin(), bytes.begin(), bytes.end());
  sockets_.queue(socket);
}

int SocketRequests::take_error(Socket& socket) {
  const int error = std::exchange(socket.so_error, 0);
  sockets_.publish(socket);
  return error;
}

}  // namespace vmbus::emu
