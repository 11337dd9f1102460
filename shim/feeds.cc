#include "shim/feeds.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>

#include "shim/control_connection.h"
#include "shim/daemon_client.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/sandbox.h"

namespace vmbus::shim {

// What is known of one connection. Written under `user` but for key and bells, which only count.
struct FeedPlace {
  std::atomic<FeedKey> key{0};
  std::atomic<std::uint32_t> bells{0};
  std::atomic<std::uint32_t> user{0};  // the process, while somebody is at the rest
  std::atomic<int> fd{0};              // 0: there is no feed
  std::atomic<std::uint32_t> generation{0};
  std::atomic<unsigned long long> cookie{0};
  std::atomic<std::uint64_t> entry{0};  // of the connection, in the table of descriptors
};

constinit std::atomic<int> g_feeds{0};

namespace {

// Generations of lanes count up, so connections made one after the other do not meet.
constexpr std::size_t kPlaces = 256;
constinit FeedPlace g_places[kPlaces];

// A program with fewer descriptors needs them itself.
constexpr unsigned long kFewDescriptors = 256;
// No feed has a lower number: what feed_numbers() makes of that.
constexpr unsigned kLowestNumber = 200;

FeedPlace& place_of(FeedKey key) { return g_places[(key >> 32) % kPlaces]; }

bool try_lock(FeedPlace& place) {
  std::uint32_t seen = 0;
  const std::uint32_t self = known_process();
  return self != 0 && place.user.compare_exchange_strong(seen, self);
}

// Whoever is at it is in the middle of a turn, with signals blocked; unless that is a thread of a process
// that this one was cloned from. REQUIRES: LockedSection.
void lock(FeedPlace& place) {
  const std::uint32_t self = known_process();
  std::uint32_t user = 0;
  while (!place.user.compare_exchange_strong(user, self)) {
    if (user != self) return place.user.store(self);
    real::call(SYS_sched_yield);
    user = 0;
  }
}

void unlock(FeedPlace& place) { place.user.store(0); }

bool is_still(int fd, const FeedPlace& place) { return real::is_socket(fd, place.cookie.load()); }

// REQUIRES: the place is locked.
void forget_feed(FeedPlace& place) {
  if (place.fd.exchange(0) != 0) g_feeds.fetch_sub(1);
}

void close_feed(FeedPlace& place) {
  const int fd = place.fd.load();
  if (fd != 0 && is_still(fd, place)) real::call(SYS_close, fd);
  forget_feed(place);
}

bool is_same_connection(FdEntry one, FdEntry other) {
  return one.endpoint == other.endpoint && one.generation == other.generation &&
         one.bus == other.bus;
}

FdEntry entry_of(const FeedPlace& place) { return std::bit_cast<FdEntry>(place.entry.load()); }

bool is_held_by_program(FdEntry entry) {
  bool held = false;
  fd_table().for_each_carrier(
      [&](int, FdEntry other) { held = held || is_same_connection(entry, other); });
  return held;
}

// The program closed the connection past our hooks, and it is over.
bool is_over(const FeedPlace& place) {
  const FdEntry entry = entry_of(place);
  proto::Endpoint endpoint;
  return !proto::read_endpoint(shared_endpoint(entry), &endpoint) ||
         endpoint.generation != entry.generation || endpoint.memory == 0;
}

// REQUIRES: LockedSection.
template <typename Which>
void close_feeds(Which which) {
  for (FeedPlace& place : g_places) {
    if (place.fd.load() == 0 || !which(place)) continue;
    lock(place);
    if (place.fd.load() != 0 && which(place)) close_feed(place);
    unlock(place);
  }
}

void close_feeds_that_are_over() {
  const LockedSection section;
  close_feeds([](const FeedPlace& place) { return is_over(place); });
}

// Feeds have numbers from `first` on, and there are at most so many.
struct Numbers {
  int first = 0;
  int most = 0;
};

Numbers feed_numbers() {
  rlimit limit{};
  real::call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  if (limit.rlim_cur < kFewDescriptors) return {};
  const auto most = static_cast<int>(std::min<unsigned long>(limit.rlim_cur / 8, kMostFeeds));
  return {highest_comfortable_number() - most, most};
}

// A duplicate among `numbers`, and `received` closed; -1: they are in use.
int move_up(int received, Numbers numbers) {
  const long moved = real::call(SYS_fcntl, received, F_DUPFD_CLOEXEC, numbers.first);
  real::call(SYS_close, received);
  if (moved < numbers.first + numbers.most) return static_cast<int>(moved);
  real::call(SYS_close, moved);
  return -1;
}

void keep_feed(FeedPlace& place, FeedKey key, FdEntry entry, int fd, std::uint32_t generation) {
  unsigned long long cookie = 0;
  lock(place);
  const bool fits =
      place.key.load() == key && place.fd.load() == 0 && real::socket_cookie(fd, &cookie) == 0;
  if (fits) {
    fd_table().clear(fd);  // what a close past us may have left there
    place.generation.store(generation);
    place.cookie.store(cookie);
    place.entry.store(std::bit_cast<std::uint64_t>(entry));
    place.fd.store(fd);
    g_feeds.fetch_add(1);
    // Whoever takes the last entry out of the table from now on sees the feed; who did before is seen here.
    if (!is_held_by_program(entry)) close_feed(place);
  } else {
    real::call(SYS_close, fd);
  }
  unlock(place);
}

}  // namespace

FeedUse::FeedUse(FeedKey key) {
  FeedPlace& place = place_of(key);
  if (place.key.load(std::memory_order_relaxed) != key || place.fd.load() == 0) return;
  if (!try_lock(place)) return;
  place_ = &place;
  if (place.key.load() != key || place.fd.load() == 0) return;
  if (!is_still(place.fd.load(), place)) {
    forget_feed(place);
    return;
  }
  fd_ = place.fd.load();
  generation_ = place.generation.load();
}

FeedUse::~FeedUse() {
  if (place_ != nullptr) unlock(*place_);
}

bool is_feed_due(FeedKey key) {
  FeedPlace& place = place_of(key);
  FeedKey seen = place.key.load();
  if (seen == key) return place.bells.fetch_add(1) + 1 == kBellsBeforeFeed;
  if (place.fd.load() != 0) {
    if (owns_memory() && is_over(place)) close_feeds_that_are_over();
    return false;
  }
  if (place.key.compare_exchange_strong(seen, key)) place.bells.store(1);
  return false;
}

void ask_for_feed(int fd, FdEntry entry, FeedKey key) {
  if (is_sandboxed() || !owns_memory()) return;
  const Numbers numbers = feed_numbers();
  if (g_feeds.load() >= numbers.most) close_feeds_that_are_over();
  if (g_feeds.load() >= numbers.most) return;
  int received = -1;
  std::uint32_t generation = 0;
  if (request_feed(fd, entry, &received, &generation) != 0 || received < 0) return;
  const LockedSection section;
  if (const int moved = move_up(received, numbers); moved >= 0) {
    keep_feed(place_of(key), key, entry, moved, generation);
  }
}

void end_feed_of(FdEntry entry) {
  const auto is_of = [entry](const FeedPlace& place) {
    return is_same_connection(entry_of(place), entry);
  };
  bool found = false;
  for (const FeedPlace& place : g_places) found = found || (place.fd.load() != 0 && is_of(place));
  if (!found || is_held_by_program(entry)) return;
  const LockedSection section;
  close_feeds(is_of);
}

void end_unheld_feeds() {
  const LockedSection section;
  close_feeds([](const FeedPlace& place) { return !is_held_by_program(entry_of(place)); });
}

void give_up_feeds(unsigned first, unsigned last) {
  if (last < kLowestNumber) return;
  const auto is_one = [first, last](const FeedPlace& place) {
    const auto number = static_cast<unsigned>(place.fd.load());
    return number != 0 && first <= number && number <= last;
  };
  if (std::none_of(std::begin(g_places), std::end(g_places), is_one)) return;
  const LockedSection section;
  for (FeedPlace& place : g_places) {
    if (!is_one(place)) continue;
    lock(place);
    if (is_one(place)) forget_feed(place);
    unlock(place);
  }
}

void close_feeds_after_fork() {
  for (FeedPlace& place : g_places) {
    close_feed(place);
    place.key.store(0);
    place.bells.store(0);
    unlock(place);
  }
  g_feeds.store(0);
}

}  // namespace vmbus::shim
