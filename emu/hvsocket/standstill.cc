// Sockets: what pausing, migrating and a reset of its device do to a guest's connections.
//
// A guest's programs are processes of this machine and run on while the guest is paused. What stands
// still is their guest: the pump takes nothing from their carriers and gives them nothing, its half of
// the bus handles no message and no signal, and its connects wait.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "emu/hvsocket/sockets.h"

namespace vmbus::emu {
namespace {

constexpr std::uint32_t kConnectedSuspend = 4;  // HVSOCKET_CONNECTED_SUSPEND

Fate fate_by_row(const Socket& end) {
  if (end.obeys("pause=reset")) return Fate::kReset;
  return end.obeys("pause=ends") ? Fate::kEnds : Fate::kStays;
}

// What befalls both ends is the harsher of what their systems do. Null: that end is none any more.
Fate fate_of(const Socket* host_end, const Socket* guest_end) {
  const Fate by_host = host_end == nullptr ? Fate::kStays : fate_by_row(*host_end);
  const Fate by_guest = guest_end == nullptr ? Fate::kStays : fate_by_row(*guest_end);
  return std::max(by_host, by_guest);
}

// On Hyper-V the host's socket may ask to outlive a pause.
Fate fate_at_pause(const Socket* host_end, const Socket* guest_end) {
  const Fate fate = fate_of(host_end, guest_end);
  const bool asked = host_end != nullptr && (host_end->options.hv_options & kConnectedSuspend) != 0;
  return fate == Fate::kEnds && asked ? Fate::kStays : fate;
}

Fate reset_all(const Socket* /*host_end*/, const Socket* /*guest_end*/) { return Fate::kReset; }

}  // namespace

bool Sockets::stands_still(const Socket& socket) {
  return socket.home == Home::kGuest && socket.guest->paused;
}

// A program that works the rings itself is shut out, and its connection is the pump's from here on. One
// that is at it rings when it is done, and the pump comes here again.
void Sockets::stand_still(Socket& socket) {
  if (socket.stream == nullptr || socket.lane == nullptr || !close_lane(socket, false)) return;
  auto writer = ring::PipeWriter::resume(socket.stream->out.memory());
  if (writer.ok()) socket.stream->out = std::move(writer).value();
  publish(socket);
}

void Sockets::pause_guest(Guest& guest) {
  // A running guest has made contact when it started. Without, the host's connects would be refused.
  guest.bus().guest_contact();
  settle_buses();
  host_.end_channels(guest.bus(), fate_at_pause, HostService::Attempts::kWait);
  guest.paused = true;
  guest.bus().stop_processors(true);
  for (const auto& [cookie, socket] : sockets_) {
    if (socket->guest == &guest && stands_still(*socket)) stand_still(*socket);
  }
}

void Sockets::resume_guest(Guest& guest) {
  guest.paused = false;
  guest.bus().stop_processors(false);
  settle_buses();
  for (const auto& [cookie, socket] : sockets_) {
    if (socket->guest == &guest) queue(*socket);
  }
}

void Sockets::migrate_guest(Guest& guest) {
  host_.end_channels(guest.bus(), fate_of, HostService::Attempts::kEnd);
  settle_buses();
}

void Sockets::reset_device(Guest& guest) {
  host_.end_channels(guest.bus(), reset_all, HostService::Attempts::kEnd);
  settle_buses();
}

void Sockets::reset_guest_end(Socket& guest_end) {
  guest_end.so_error = ECONNRESET;
  registry_.note_reset();
  detach(guest_end, true);
}

bool Sockets::any_in_use() const {
  const bool any_paused =
      std::ranges::any_of(guests_.all(), [](const auto& guest) { return guest->paused; });
  return std::ranges::any_of(sockets_,
                             [&](const auto& row) { return !row.second->closed || !any_paused; });
}

}  // namespace vmbus::emu
