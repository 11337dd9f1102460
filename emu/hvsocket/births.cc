// Sockets: how they are born, on request or ahead of one.
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {

tl::expected<Sockets::Born, int> Sockets::create(const SocketSpec& spec) {
  auto carrier = take_carrier(spec.type);
  if (!carrier) return tl::unexpected(carrier.error() == EMFILE ? ENFILE : carrier.error());
  const auto entry = registry_.allocate();
  if (!entry) return tl::unexpected(ENFILE);
  if (!tag_carrier(carrier->a.get(), *entry)) {
    registry_.free(*entry);
    return tl::unexpected(ENOMEM);
  }
  auto socket = std::make_unique<Socket>();
  Socket& born = *socket;
  born.entry = *entry;
  born.cookie = carrier->cookie;
  born.b = std::move(carrier->b);
  born.pid = spec.pid;
  born.program = spec.program;
  born.works_rings = spec.works_rings;
  born.is_spare = spec.is_spare;
  born.kind = spec.kind;
  born.type = spec.type;
  born.partition = spec.partition;
  born.profile = spec.profile;
  born.protocol = spec.protocol;
  const std::uint64_t cookie = born.cookie;
  born.watch = loop_.watch(born.b.get(), kCarrierEvents, [this, cookie](std::uint32_t events) {
    on_carrier_event(cookie, events);
  });
  sockets_.emplace(cookie, std::move(socket));
  if (!spec.is_spare) counters_.add(Counter::kSocketsCreated);
  return Born{&born, std::move(carrier->a)};
}

tl::expected<CarrierPair, int> Sockets::new_carrier(int type) const {
  auto carrier = make_carrier(type);
  if (!carrier) return carrier;
  if (const int error = close_watch_.add(carrier->a.get(), carrier->cookie))
    return tl::unexpected(error);
  return carrier;
}

tl::expected<CarrierPair, int> Sockets::take_carrier(int type) {
  if (type != SOCK_STREAM || ready_carriers_.empty()) return new_carrier(type);
  CarrierPair carrier = std::move(ready_carriers_.back());
  ready_carriers_.pop_back();
  return carrier;
}

// While nobody waits for an answer.
void Sockets::make_carriers_ready() {
  while (ready_carriers_.size() < kReadyCarriers) {
    auto carrier = new_carrier(SOCK_STREAM);
    if (!carrier) return;
    ready_carriers_.push_back(std::move(*carrier));
  }
}

void Sockets::take_spare(Socket& socket) {
  if (!std::exchange(socket.is_spare, false)) return;
  counters_.add(Counter::kSocketsCreated);
  if (socket.home == Home::kGuest) ++socket.guest->sockets;
}

}  // namespace vmbus::emu
