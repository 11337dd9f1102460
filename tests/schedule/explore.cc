#include "tests/schedule/explore.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "tests/support/schedule_search.h"

namespace vmbus::test {
namespace {

using Programs = std::function<void(LaneWorld&)>;

constexpr std::uint64_t kShuffles = 2000;
constexpr std::uint64_t kFirstShuffles = 500;
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
  // Anew, until it finds no more places where fibers meet. A few runs at random find most of them.
  void search(unsigned stops, double seconds) {
    do {
      if (!shuffle(1, kFirstShuffles)) return;
    } while (world_->scheduler().learn());
    do {
      if (!search_once(stops, seconds)) return;
    } while (world_->scheduler().learn());
  }
  bool shuffle(std::uint64_t seed, std::uint64_t count, double seconds = 0) {
    const double start = real_seconds();
    Shuffle shuffle(seed, kFalls);
    for (std::uint64_t i = 0; i < count || real_seconds() < start + seconds; ++i) {
      shuffle.begin(most_steps_);
      if (!run(shuffle)) return false;
      ++shuffled_;
    }
    return true;
  }
  void report(std::uint64_t seed) const {
    std::printf("seed %llu: %llu schedules\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(shuffled_));
  }
  bool has_failed() const { return has_failed_; }

 private:
  bool search_once(unsigned stops, double seconds) {
    const double start = real_seconds();
    Search search(stops);
    schedules_ = 0;
    bool is_late = false;
    do {
      search.begin();
      if (!run(search)) return false;
      ++schedules_;
      is_late = seconds > 0 && real_seconds() > start + seconds;
    } while (!search.diverged() && !is_late && search.next());
    EXPECT_FALSE(search.diverged()) << "a schedule cannot be repeated: " << search.schedule();
    std::printf("stops %u%s: %llu schedules, %zu states, at most %llu steps, %.1f s\n", stops,
                is_late ? ", not all" : "", static_cast<unsigned long long>(schedules_),
                search.states(), static_cast<unsigned long long>(most_steps_),
                real_seconds() - start);
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
      ADD_FAILURE() << failure << "\nafter " << schedules_
                    << " schedules; step by step with VMBUS_SCHEDULE="
                    << (chooser.schedule().empty() ? "0:0" : chooser.schedule());
    }
    return !has_failed_;
  }

  Exploration how_;
  const Programs& programs_;
  std::unique_ptr<LaneWorld> world_;
  bool has_failed_ = false;
  std::uint64_t schedules_ = 0;
  std::uint64_t shuffled_ = 0;
  std::uint64_t most_steps_ = 0;
};

}  // namespace

void explore(const Exploration& how, const Programs& programs) {
  Explorer explorer(how, programs);
  if (const char* text = std::getenv("VMBUS_SCHEDULE")) return explorer.replay(text);
  const std::uint64_t seconds = number_from("VMBUS_SCHEDULE_SECONDS", 0);
  const std::uint64_t stops =
      number_from("VMBUS_SCHEDULE_STOPS", how.stops + (seconds > 0 ? 1 : 0));
  const std::uint64_t seed = number_from("VMBUS_SEED", 1);
  const auto limit = static_cast<double>(seconds);
  explorer.search(static_cast<unsigned>(stops), limit);
  if (explorer.has_failed()) return;
  if (explorer.shuffle(seed, kShuffles, limit)) explorer.report(seed);
}

}  // namespace vmbus::test
