#include "emu/hvsocket/port_table.h"

#include <sys/socket.h>

#include "emu/hvsocket/socket.h"

namespace vmbus::emu {
namespace {

constexpr std::uint32_t kFirstAutomatic = 1024;
constexpr std::uint32_t kLastAutomatic = 0xFFFFFFFE;

bool overlaps(proto::Cid a, proto::Cid b) {
  return a == b || a == proto::kCidAny || b == proto::kCidAny;
}

}  // namespace

PortTable::PortTable(std::uint32_t first_automatic)
    : next_automatic_(first_automatic < kFirstAutomatic || first_automatic > kLastAutomatic
                          ? kFirstAutomatic
                          : first_automatic) {}

Socket* PortTable::holder(proto::Cid cid, proto::Port port) const {
  const auto [first, last] = holders_.equal_range(port.value);
  for (auto it = first; it != last; ++it) {
    if (overlaps(it->second->local.cid, cid)) return it->second;
  }
  return nullptr;
}

void PortTable::hold(Socket& socket) { holders_.emplace(socket.local.port.value, &socket); }

void PortTable::release(const Socket& socket) {
  const auto [first, last] = holders_.equal_range(socket.local.port.value);
  for (auto it = first; it != last; ++it) {
    if (it->second != &socket) continue;
    holders_.erase(it);
    return;
  }
}

std::optional<proto::Port> PortTable::pick(proto::Cid cid, std::uint32_t candidates) {
  for (std::uint32_t i = 0; i < candidates; ++i) {
    const proto::Port port{next_automatic_};
    next_automatic_ = next_automatic_ == kLastAutomatic ? kFirstAutomatic : next_automatic_ + 1;
    if (holder(cid, port) == nullptr) return port;
  }
  return std::nullopt;
}

std::optional<proto::Port> PortTable::pick_from_top(proto::Cid cid) const {
  for (std::uint32_t port = kLastAutomatic; port >= kFirstAutomatic; --port) {
    if (holder(cid, proto::Port{port}) == nullptr) return proto::Port{port};
  }
  return std::nullopt;
}

Socket* PortTable::listener(proto::Cid cid, proto::Port port) const {
  const auto [first, last] = holders_.equal_range(port.value);
  for (auto it = first; it != last; ++it) {
    Socket& socket = *it->second;
    const bool serves = socket.local.cid == proto::kCidAny || socket.local.cid == cid;
    // A transport without records does not see who listens for them.
    const bool is_seen = !socket.carries_records() || socket.obeys("seqpacket=on");
    if (serves && is_seen && socket.state == proto::EndpointState::kListening) return &socket;
  }
  return nullptr;
}

}  // namespace vmbus::emu
