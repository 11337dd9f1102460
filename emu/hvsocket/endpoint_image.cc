#include "emu/hvsocket/endpoint_image.h"

#include <algorithm>

#include "emu/hvsocket/names.h"

namespace vmbus::emu {
namespace {

std::uint32_t shown_cid(const Socket& socket, const GuestList& guests) {
  if (socket.home == Home::kHost) return proto::kCidHost.value;
  if (!socket.quirks().shows_own_cid) return proto::kCidAny.value;
  return socket.guest != nullptr ? socket.guest->config().cid : guests.default_guest().config().cid;
}

std::uint16_t family_of(proto::AddressKind kind) {
  switch (kind) {
    case proto::AddressKind::kHyperV:
      return proto::kFamilyHyperV;
    case proto::AddressKind::kFreeBsd:
      return proto::kFamilyHyperVFreeBsd;
    case proto::AddressKind::kNone:
    case proto::AddressKind::kVsock:
      break;
  }
  return proto::kFamilyVsock;
}

std::uint16_t store_name(const proto::Address& address,
                         std::array<std::uint8_t, proto::kMaxNameBytes>& name) {
  const proto::RawAddress raw = proto::to_raw(address);
  std::ranges::transform(raw.bytes(), name.begin(),
                         [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  return static_cast<std::uint16_t>(raw.size);
}

std::uint32_t endpoint_quirks(const Socket& socket) {
  const bool guest_rules = socket.home != Home::kHost;
  return guest_rules && !socket.quirks().allows_peek ? proto::kQuirkNoPeek : 0U;
}

}  // namespace

proto::Endpoint endpoint_image(const Socket& socket, const GuestList& guests) {
  const SocketOptions& options = socket.options;
  proto::Endpoint image{};
  image.cookie = socket.cookie;
  image.family = family_of(socket.kind);
  image.type = socket.type;
  image.state = socket.state;
  image.ended = socket.ended;
  image.flags = socket.flags;
  image.protocol = socket.kind == proto::AddressKind::kHyperV ? 1 : 0;
  image.so_error = socket.so_error;
  image.quirks = endpoint_quirks(socket);
  image.send_buffer = options.send_buffer;
  image.receive_buffer = options.receive_buffer;
  image.receive_low_water = options.receive_low_water;
  image.local_cid = shown_cid(socket, guests);
  image.buffer_size = options.buffer_size;
  image.buffer_min_size = options.buffer_min_size;
  image.buffer_max_size = options.buffer_max_size;
  image.connect_timeout_us = options.connect_timeout_us;
  image.hv_connect_timeout_ms = options.hv_connect_timeout_ms;
  image.hv_options = options.hv_options;
  image.stored_options = options.stored;
  image.priority = options.priority;
  image.local_bytes = store_name(shown_local(socket), image.local_name);
  image.peer_bytes = store_name(socket.peer, image.peer_name);
  return image;
}

}  // namespace vmbus::emu
