#include "emu/hvsocket/endpoint_image.h"

#include <algorithm>
#include <array>

#include "emu/hvsocket/names.h"

namespace vmbus::emu {
namespace {

std::uint32_t shown_cid(const Socket& socket, const GuestList& guests) {
  if (socket.home == Home::kHost) return proto::kCidHost.value;
  if (!socket.obeys("own-cid=on")) return proto::kCidAny.value;
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

// What the shim decides: a setting, and the bits that tell it.
struct ShimRule {
  proto::Setting setting;
  std::uint32_t bits;
};
constexpr std::array<ShimRule, 18> kShimRules{{
    {"peek=off", proto::kQuirkNoPeek},
    {"peek=refuse", proto::kQuirkNoPeek | proto::kQuirkNoPeekAtOnce},
    {"waitall=buffer", proto::kQuirkWaitallBuffer},
    {"waitall=any", proto::kQuirkWaitallAny},
    {"peer-name=kept", proto::kQuirkKeepsPeerName},
    {"low-water=kept", proto::kQuirkKeepsLowWater},
    {"low-water-poll=on", proto::kQuirkLowWaterPoll},
    {"zerocopy=on", proto::kQuirkZerocopy},
    {"outq=counted", proto::kQuirkCountsOutq},
    {"zero-length=einval", proto::kQuirkEmptyIsInvalid},
    {"send-after-fin=off", proto::kQuirkNoSendAfterFin},
    {"recv-after-shut=eshutdown", proto::kQuirkShutReadIsError},
    {"reads=stream", proto::kQuirkReadsStream},
    {"peer-buffer=on", proto::kQuirkPeerBuffer},
    {"credit=drained", proto::kQuirkCreditDrained},
    {"inq=packet", proto::kQuirkInqPacket},
    {"fin-readiness=late", proto::kQuirkFinLate},
    {"linger=on", proto::kQuirkLingers},
}};

bool lingers(const Socket& socket) {
  return socket.obeys("linger=on") && !socket.before("vintage=6.16");
}

std::uint32_t endpoint_quirks(const Socket& socket) {
  std::uint32_t bits = 0;
  for (const ShimRule& rule : kShimRules) {
    if (socket.obeys(rule.setting)) bits |= rule.bits;
  }
  if (socket.heeds_room()) bits |= proto::kQuirkRoomOfRing;
  if (socket.kind == proto::AddressKind::kHyperV) bits |= proto::kQuirkKeepsPeerName;
  if (socket.kind != proto::AddressKind::kVsock) return bits;
  if (socket.before("vintage=6.7")) bits |= proto::kQuirkNoSigpipe;
  if (socket.before("vintage=6.11")) bits |= proto::kQuirkNoIoctls;
  if (socket.before("vintage=6.16")) bits |= proto::kQuirkKeepsPassCred;
  if (!lingers(socket)) bits &= ~std::uint32_t{proto::kQuirkLingers};
  if (socket.before("vintage=6.17")) bits |= proto::kQuirkNoInq;
  return bits;
}

std::uint16_t shown_protocol(const Socket& socket) {
  if (socket.kind == proto::AddressKind::kHyperV) return 1;
  return socket.obeys("protocol=asked") ? static_cast<std::uint16_t>(socket.protocol) : 0;
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
  image.protocol = shown_protocol(socket);
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
  image.held_bytes = socket.held_bytes;
  image.peer_buffer_size = socket.peer_buffer_size;
  image.local_bytes = store_name(shown_local(socket), image.local_name);
  image.peer_bytes = store_name(socket.peer, image.peer_name);
  image.packet_bytes =
      socket.home == Home::kHost ? ring::kMaxPipePayloadBytes : socket.quirk(proto::Quirk::kPacket);
  if (socket.lane != nullptr) socket.lane->describe(image);
  return image;
}

}  // namespace vmbus::emu
