// Feeds: this process's duplicates of its peers' ends B, one a connection at most (docs/lanes.md).
//
// A sender whose peer waits in the kernel has the daemon woken for every message. One that has rung for the
// same connection often enough asks the daemon, once, for a feed, and then does the pump's turn for the
// peer itself (direct_feed.cc).
//
// Number      high, below the control connection's, close-on-exec. At most kMostFeeds of them, and an eighth
//             of RLIMIT_NOFILE; none where that is low.
// Ends        when this process closes or replaces its last descriptor of the connection, and when the program
//             closes, or puts something over, the number: its calls see there what they would without
//             us, but for a close() that would say EBADF. A raw close of either is noticed later: SO_COOKIE of the number is
//             compared before each use.
// Fork        the child closes its copies (a raw clone() keeps them until exec), and may ask for its own.
// Threads     Any. A feed is used with the connection's out gate held, so by one thread at a time; who ends it
//             waits for that.
#ifndef VMBUS_SHIM_FEEDS_H_
#define VMBUS_SHIM_FEEDS_H_

#include <atomic>
#include <cstdint>

#include "shim/fd_table.h"

namespace vmbus::shim {

inline constexpr int kMostFeeds = 64;
inline constexpr std::uint32_t kBellsBeforeFeed = 8;

// Names a connection's end, never used again: bus, lane and its generation.
using FeedKey = std::uint64_t;
constexpr FeedKey feed_key(std::uint8_t bus, std::uint32_t lane, std::uint32_t generation) {
  return std::uint64_t{generation} << 32 | std::uint64_t{bus} << 16 | lane;
}

struct FeedPlace;

// The feed of a connection, for one turn; none: there is none, or it is being ended. REQUIRES: the
// connection's out gate is held, with signals blocked if the program handles any.
class FeedUse {
 public:
  explicit FeedUse(FeedKey key);
  ~FeedUse();
  FeedUse(const FeedUse&) = delete;
  FeedUse& operator=(const FeedUse&) = delete;

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  std::uint32_t generation() const { return generation_; }  // of the peer's gates

 private:
  FeedPlace* place_ = nullptr;
  int fd_ = -1;
  std::uint32_t generation_ = 0;
};

// The daemon was rung, for want of a reader that sleeps on its lane. True: ask for a feed now.
bool is_feed_due(FeedKey key);
// Asks the daemon. `fd`: the connection. REQUIRES: no gate is held.
void ask_for_feed(int fd, FdEntry entry, FeedKey key);

extern constinit std::atomic<int> g_feeds;  // how many there are, about
inline bool has_feeds() { return g_feeds.load(std::memory_order_seq_cst) != 0; }

// `entry` was taken out of the descriptor table.
void end_feed_of(FdEntry entry);
// Many were.
void end_unheld_feeds();
// The program is about to close what has these numbers, or to put something else there. They are not
// closed here.
void give_up_feeds(unsigned first, unsigned last);
// In a child of fork().
void close_feeds_after_fork();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_FEEDS_H_
