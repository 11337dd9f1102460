// LaneProgram: a program at one end of a LaneWorld's connection. What it does around DirectEnd is what
// shim/transfer.cc does. Its bytes are words of 8 bytes that count up from 0, so that one that is lost, doubled or
// overtaken is seen at once.
#ifndef VMBUS_TESTS_SCHEDULE_LANE_PROGRAM_H_
#define VMBUS_TESTS_SCHEDULE_LANE_PROGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/schedule/lane_world.h"

namespace vmbus::test {

inline constexpr std::size_t kWordBytes = sizeof(std::uint64_t);

class LaneProgram {
 public:
  // `end` of the connection; `client`: its process, from 1. No two that run at once have the same `place`.
  LaneProgram(LaneWorld& world, std::size_t end, std::uint32_t client, std::size_t place);

  // The way that a plain send or receive of one packet takes first.
  void use_short_way() { is_short_ = true; }
  // A receive that finds nothing waits in the kernel, as one with a time limit does.
  void never_sleep() { sleeps_ = false; }

  // ---- sending: `count` words from `first` on, in one call, that waits for room
  void send(std::uint64_t first, std::size_t count);
  // Through the carrier, counted, as what DirectEnd leaves to the kernel.
  void send_by_carrier(std::uint64_t first, std::size_t count);
  // Past all hooks.
  void send_raw(std::uint64_t first, std::size_t count);

  // ---- receiving: calls of at most `most` words
  // Until word `end` has been read: the next in order each time.
  void receive_until(std::uint64_t end, std::size_t most = kMostWords);
  // The same, waiting in poll and receiving without waiting.
  void poll_until(std::uint64_t end, std::size_t most = kMostWords);
  // The stream's end is next.
  void receive_end();
  // One call: the words it gave, in order among themselves; none at the end of the stream.
  std::span<const std::uint64_t> receive_some(std::size_t most = kMostWords);

 private:
  static constexpr std::size_t kMostWords = 512;

  long receive(std::size_t bytes);
  long receive_at_once(std::size_t bytes);
  long receive_in_kernel(std::size_t bytes, int flags);
  void accept(long bytes);
  void send_in_kernel(const std::byte* from, std::size_t bytes);
  [[noreturn]] void fail(const std::string& why) { world_.scheduler().fail(why); }

  LaneWorld& world_;
  std::size_t end_;
  shim::DirectEnd direct_;
  std::span<std::uint64_t, kMostWords> words_;
  std::uint64_t next_ = 0;
  bool is_short_ = false;
  bool sleeps_ = true;
};

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SCHEDULE_LANE_PROGRAM_H_
