#include "shim/held_descriptor.h"

#include <atomic>
#include <bit>
#include <cstdint>

#include "shim/control_connection.h"
#include "shim/feeds.h"
#include "shim/fork.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

struct Place {
  std::atomic<int> fd{0};  // 0: free
  std::atomic<std::uint64_t> entry{0};
};

constinit Place g_places[kMaxHeld];

// A number that is about to be kept here.
constexpr int kClaimed = -1;

int claim_place() {
  for (int i = 0; i < kMaxHeld; ++i) {
    int seen = 0;
    if (g_places[i].fd.compare_exchange_strong(seen, kClaimed)) return i;
  }
  return -1;
}

// Unless the program closed it meanwhile.
void close_duplicate(int fd, FdEntry entry) {
  if (!(fd_table().find(fd) == entry)) return;
  fd_table().clear(fd);
  real::call(SYS_close, fd);
}

}  // namespace

Held hold_descriptor(int fd, FdEntry entry, unsigned long long cookie) {
  if (real::has_one_thread() || !owns_memory()) return {};
  const int place = claim_place();
  if (place < 0) return {};
  const auto copy = static_cast<int>(duplicate_high(fd));
  if (copy > 0 && real::is_socket(copy, cookie) && fd_table().set(copy, entry)) {
    g_places[place].entry.store(std::bit_cast<std::uint64_t>(entry));
    g_places[place].fd.store(copy);
    return {place, copy, fd};
  }
  if (copy >= 0) real::call(SYS_close, copy);
  g_places[place].fd.store(0);
  return {};
}

void release_descriptor(void* held) {
  auto* const holder = static_cast<Held*>(held);
  if (holder->place < 0) return;
  Place& place = g_places[holder->place];
  const auto entry = std::bit_cast<FdEntry>(place.entry.load());
  place.fd.store(0);  // first: a child of fork() must not close what has this number next
  close_duplicate(holder->fd, entry);
  // The program may have closed the connection meanwhile.
  if (has_feeds() && !(fd_table().find(holder->original) == entry)) end_feed_of(entry);
}

void release_after_fork() {
  for (Place& place : g_places) {
    const int fd = place.fd.exchange(0);
    if (fd > 0) close_duplicate(fd, std::bit_cast<FdEntry>(place.entry.load()));
  }
}

}  // namespace vmbus::shim
