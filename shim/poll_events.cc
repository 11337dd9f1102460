#include "shim/poll_events.h"

#include <atomic>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "shim/daemon_client.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/zerocopy.h"

namespace vmbus::shim {
namespace {

// For good: most programs never connect without waiting, and those that do are asked once more.
constinit std::atomic<bool> g_attempts_exist{false};

bool may_have_failed() {
  return g_attempts_exist.load(std::memory_order_relaxed) || resets_exist();
}

// A connect that failed, or a connection whose device was reset.
bool has_failed(FdEntry entry) {
  if (!may_have_failed()) return false;
  proto::Endpoint endpoint{};
  return proto::read_endpoint(shared_endpoint(entry), &endpoint) &&
         endpoint.generation == entry.generation && endpoint.so_error != 0 &&
         (endpoint.state == proto::EndpointState::kFailed ||
          (endpoint.ended & proto::kEndedReset) != 0);
}

// Linux' hv_sock learns of a FIN only when a receive meets it. Until then there is just something to
// read. What ended in another way it knows at once.
bool is_unseen_fin(FdEntry entry) {
  constexpr std::uint8_t kKnownAtOnce =
      proto::kEndedPeerGone | proto::kEndedReset | proto::kEndedLocalRead;
  if ((entry.flags & kFdEndSeen) != 0) return false;
  proto::Endpoint endpoint{};
  return proto::read_endpoint(shared_endpoint(entry), &endpoint) &&
         endpoint.generation == entry.generation && (endpoint.quirks & proto::kQuirkFinLate) != 0 &&
         (endpoint.ended & kKnownAtOnce) == 0;
}

// Whoever asked for RDHUP alone, or is told HUP, is told RDHUP too: nothing else would end the wait.
short without_late_end(FdEntry entry, short events) {
  const bool beside_in = (events & POLLRDHUP) != 0 && (events & (POLLIN | POLLRDNORM)) != 0;
  if (!beside_in || (events & POLLHUP) != 0 || !is_unseen_fin(entry)) return events;
  return static_cast<short>(events & ~POLLRDHUP);
}

bool has_error(FdEntry entry) {
  return entry.is_carrier() && (is_zerocopy_due(entry) || has_failed(entry));
}

}  // namespace

void note_end_seen(FdEntry entry, const proto::Endpoint& endpoint) {
  const bool matters = (endpoint.quirks & proto::kQuirkFinLate) != 0;
  if (!matters || (entry.flags & kFdEndSeen) != 0 || !owns_memory()) return;
  fd_table().for_each_carrier([&](int fd, FdEntry other) {
    const bool same = other.endpoint == entry.endpoint && other.bus == entry.bus &&
                      other.generation == entry.generation;
    if (same) fd_table().add_flags(fd, other, kFdEndSeen);
  });
}

void note_attempt() { g_attempts_exist.store(true, std::memory_order_relaxed); }

bool errors_may_exist() { return zerocopy_events_exist() || may_have_failed(); }

bool has_error(const pollfd* asked, nfds_t count) {
  for (nfds_t i = 0; i < count; ++i) {
    if (has_error(fd_table().find(asked[i].fd))) return true;
  }
  return false;
}

int amend_events(pollfd* asked, nfds_t count, int found) {
  const bool errors = errors_may_exist();
  if (found == 0 && !errors) return 0;
  for (nfds_t i = 0; i < count; ++i) {
    short& events = asked[i].revents;
    if ((events & (POLLWRBAND | POLLRDHUP)) == 0 && !errors) continue;
    const FdEntry entry = fd_table().find(asked[i].fd);
    if (entry.is_carrier()) events = without_late_end(entry, events);
    // Alone it stays, or a program that asked for nothing else would be woken for nothing.
    if (entry.is_carrier() && (events & ~POLLWRBAND) != 0) {
      events = static_cast<short>(events & ~POLLWRBAND);
    }
    if (!errors || !has_error(entry)) continue;
    if (events == 0) ++found;
    events = static_cast<short>(events | POLLERR);
  }
  return found;
}

}  // namespace vmbus::shim
