#include "shim/poll_events.h"

#include <atomic>

#include "emu/protocol/endpoint_table.h"
#include "shim/daemon_client.h"
#include "shim/fd_table.h"
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

bool has_error(FdEntry entry) {
  return entry.is_carrier() && (is_zerocopy_due(entry) || has_failed(entry));
}

}  // namespace

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
    if ((events & POLLWRBAND) == 0 && !errors) continue;
    const FdEntry entry = fd_table().find(asked[i].fd);
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
