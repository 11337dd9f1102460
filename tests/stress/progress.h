// Progress: how far one end has come, in a file that outlives a process that is killed. stress_test.py reads
// it: to choose its moments, to see a standstill, and to judge what a survivor received.
#ifndef VMBUS_TESTS_STRESS_PROGRESS_H_
#define VMBUS_TESTS_STRESS_PROGRESS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace vmbus::stress {

using SharedCount = std::atomic<std::uint64_t>;
static_assert(SharedCount::is_always_lock_free && sizeof(SharedCount) == 8);

inline void set(SharedCount& word, std::uint64_t value) {
  word.store(value, std::memory_order_relaxed);
}
inline void add_one(SharedCount& word) { word.fetch_add(1, std::memory_order_relaxed); }

// How a direction of a connection ended.
enum class End : std::uint64_t {
  kNone,   // not yet
  kWhole,  // all sent and shut; or end of file
  kReset,  // ECONNRESET
  kPipe,   // EPIPE
};
inline void set(SharedCount& word, End end) { set(word, static_cast<std::uint64_t>(end)); }

// One connection. Places in its streams.
struct ConnectionProgress {
  SharedCount begun;  // that the call at hand may reach
  SharedCount sent;   // that calls have returned for
  SharedCount received;
  SharedCount out_end;  // End
  SharedCount in_end;   // End
};

// The file, from its beginning on: 64-bit words.
struct Progress {
  static constexpr std::size_t kConnections = 8;

  SharedCount transfers;  // sent whole
  SharedCount calls;      // that gave bytes: a standstill shows here
  SharedCount in_waits;   // in the way of the plan, not in receives
  SharedCount out_waits;
  SharedCount refused;      // io_uring was: `poll` in its place
  SharedCount connections;  // over
  std::array<ConnectionProgress, kConnections> connection;

  // REQUIRES: the file is there, and all 0. Ends the program where it cannot be mapped.
  static Progress& in(const std::string& file);
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_PROGRESS_H_
