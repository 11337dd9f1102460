// Sender, Receiver: one direction of a connection each, a call at a time. A wrong byte, or an end that is
// none of the plan's, ends the program with a sentence.
#ifndef VMBUS_TESTS_STRESS_TRANSFER_H_
#define VMBUS_TESTS_STRESS_TRANSFER_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/fuzz/hostile/pattern.h"
#include "tests/stress/plan.h"
#include "tests/stress/progress.h"
#include "tests/stress/stream.h"

struct iovec;

namespace vmbus::stress {

enum class Step : std::uint8_t {
  kMore,
  kWouldWait,  // EAGAIN
  kHeld,       // its turn comes when the other direction has moved on (Turns)
  kDone,
};

// Where the ends take turns, a wake-up that is lost is a standstill; in two streams that flow by themselves
// the next bytes would make up for it. A transfer is begun only when enough of the peer's have come.
class Turns {
 public:
  // `ahead`: transfers that may be sent before any has come; less than 0: all.
  explicit Turns(std::int64_t ahead) : ahead_(ahead) {}

  bool may_begin(std::uint32_t transfer) const { return is_enough(came_, transfer); }
  // Of the receiver: one more has come; or the end.
  void note_one() { note(came_ + 1); }
  void note_end() { note(INT32_MAX); }
  // Until may_begin(transfer).
  void wait_for(std::uint32_t transfer) const {
    for (auto came = came_.load(); !is_enough(came, transfer); came = came_) came_.wait(came);
  }

 private:
  bool is_enough(std::int64_t came, std::int64_t transfer) const {
    return ahead_ < 0 || transfer < came + ahead_;
  }
  void note(std::int64_t came) {
    came_ = came;
    came_.notify_all();
  }

  std::int64_t ahead_;
  std::atomic<std::int64_t> came_{0};
};

// What both have in common.
struct Direction {
  int fd = -1;
  const Plan* plan = nullptr;
  Way way = Way::kBlocking;
  std::uint64_t seed = 0;  // of its stream, the same at both ends
  Turns* turns = nullptr;
  Progress* totals = nullptr;
  ConnectionProgress* progress = nullptr;

  bool calls_wait() const { return way == Way::kBlocking; }
  // Of the next call. O_NONBLOCK, which is the whole socket's, does it for all calls.
  int call_flags(hostile::Random& random) const;
};

class Sender {
 public:
  explicit Sender(const Direction& direction);
  Step step();
  // After kHeld. Blocks.
  void wait_for_turn() const { direction_.turns->wait_for(number()); }

 private:
  std::uint32_t number() const { return direction_.plan->transfers - left_; }
  ssize_t send_some(std::span<std::byte> bytes);
  void begin_transfer();
  Step finish();
  Step give_up();

  Direction direction_;
  hostile::Random lengths_;
  hostile::Random random_;
  Stream stream_;
  std::vector<std::byte> buffer_;
  std::size_t length_ = 0;  // of the transfer at hand
  std::size_t done_ = 0;    // of it
  std::uint64_t place_ = 0;
  std::uint32_t left_;  // transfers
};

class Receiver {
 public:
  explicit Receiver(const Direction& direction);
  Step step();
  std::uint64_t total() const { return total_; }

 private:
  ssize_t receive_some(std::span<std::byte> bytes);
  ssize_t peek(std::span<std::byte> bytes);
  void check(std::span<const std::byte> bytes);
  void take(std::size_t bytes);
  Step end(End how);

  Direction direction_;
  hostile::Random lengths_;
  hostile::Random random_;
  Stream stream_;
  std::vector<std::byte> buffer_;
  std::uint64_t total_;
  std::uint64_t place_ = 0;
  std::uint64_t next_ = 0;  // where the transfer at hand ends
  bool peeks_ = true;
  bool is_peeked_ = false;  // the last call took nothing
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_TRANSFER_H_
