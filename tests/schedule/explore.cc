#include "tests/schedule/explore.h"

#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/support/schedule_search.h"

namespace vmbus::test {
namespace {

using Programs = std::function<void(LaneWorld&)>;

constexpr std::uint64_t kShuffles = 2000;
constexpr unsigned kFalls = 4;

// The world's clocks stand still.
double real_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Explorer {
 public:
  Explorer(const Exploration& how, const Programs& programs)
      : how_(how), programs_(programs), world_(std::make_unique<LaneWorld>(how.lane)) {}
  // After a failure nothing in there can be ended: its stacks are where they were.
  ~Explorer() {
    if (has_failed_) static_cast<void>(world_.release());
  }

  void replay(const char* text) {
    Replay replay(text);
    world_->scheduler().set_trace(true);
    run(replay);
  }
  // Anew, until it finds no more places where fibers meet.
  void search(unsigned stops) {
    do {
      if (!search_once(stops)) return;
    } while (world_->scheduler().learn());
  }
  void shuffle(std::uint64_t seed, double seconds) {
    const double start = real_seconds();
    std::uint64_t count = 0;
    Shuffle shuffle(seed, kFalls);
    while (seconds > 0 ? real_seconds() < start + seconds : count < kShuffles) {
      shuffle.begin(most_steps_);
      if (!run(shuffle)) return;
      ++count;
    }
    std::printf("seed %llu: %llu schedules, %.1f s\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(count), real_seconds() - start);
  }
  bool has_failed() const { return has_failed_; }

 private:
  bool search_once(unsigned stops) {
    const double start = real_seconds();
    Search search(stops);
    schedules_ = 0;
    do {
      search.begin();
      if (!run(search)) return false;
      ++schedules_;
    } while (!search.diverged() && search.next());
    EXPECT_FALSE(search.diverged()) << "a schedule cannot be repeated: " << search.schedule();
    std::printf("stops %u: %llu schedules, %zu states, at most %llu steps, %.1f s\n", stops,
                static_cast<unsigned long long>(schedules_), search.states(),
                static_cast<unsigned long long>(most_steps_), real_seconds() - start);
    return true;
  }
  bool run(Recorder& chooser) {
    world_->connect();
    programs_(*world_);
    std::string failure = world_->scheduler().run(chooser);
    most_steps_ = std::max(most_steps_, world_->scheduler().steps());
    if (failure.empty()) failure = world_->disconnect();
    has_failed_ = !failure.empty();
    if (has_failed_) {
      ADD_FAILURE() << failure << "\nafter " << schedules_ << " schedules; step by step with VMBUS_SCHEDULE="
                    << (chooser.schedule().empty() ? "0:0" : chooser.schedule());
    }
    return !has_failed_;
  }

  Exploration how_;
  const Programs& programs_;
  std::unique_ptr<LaneWorld> world_;
  bool has_failed_ = false;
  std::uint64_t schedules_ = 0;
  std::uint64_t most_steps_ = 0;
};

}  // namespace

void explore(const Exploration& how, const Programs& programs) {
  Explorer explorer(how, programs);
  if (const char* text = std::getenv("VMBUS_SCHEDULE")) return explorer.replay(text);
  explorer.search(static_cast<unsigned>(number_from("VMBUS_SCHEDULE_STOPS", how.stops)));
  if (explorer.has_failed()) return;
  explorer.shuffle(number_from("VMBUS_SEED", 1),
                   static_cast<double>(number_from("VMBUS_SCHEDULE_SECONDS", 0)));
}

}  // namespace vmbus::test
