// Who goes on, chosen in three ways (scheduler.h):
//
// Search    all schedules in which somebody is stopped, or a timer runs out, at most so often while others, or
//           the same one, could have gone on. A state that was reached before with as few stops is not gone
//           into again.
// Shuffle   PCT: each fiber has a priority, drawn anew for each run; so does each timer. At a few steps of the
//           run, drawn too, who goes on falls behind all others.
// Replay    one schedule, from its text: "37:2,58:1" takes the third option at moment 37, the second at
//           moment 58, and the first at all others.
#ifndef VMBUS_TESTS_SUPPORT_SCHEDULE_SEARCH_H_
#define VMBUS_TESTS_SUPPORT_SCHEDULE_SEARCH_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/scheduler.h"

namespace vmbus::test {

// Notes what it chose.
class Recorder : public Chooser {
 public:
  std::size_t choose(std::span<const Option> options, std::uint64_t state,
                     std::uint64_t moment) final {
    moment_ = moment;
    const std::size_t choice = pick(options, state);
    if (choice != 0) {
      text_ += (text_.empty() ? "" : ",") + std::to_string(moment) + ":" + std::to_string(choice);
    }
    ++made_;
    return choice;
  }
  // For Replay.
  const std::string& schedule() const { return text_; }

 protected:
  void forget() {
    made_ = 0;
    text_.clear();
  }
  std::uint64_t made() const { return made_; }
  std::uint64_t moment() const { return moment_; }

 private:
  virtual std::size_t pick(std::span<const Option> options, std::uint64_t state) = 0;

  std::uint64_t made_ = 0;
  std::uint64_t moment_ = 0;
  std::string text_;
};

class Search final : public Recorder {
 public:
  explicit Search(unsigned most_stops) : most_stops_(most_stops) {}

  void begin() {
    forget();
    stops_ = 0;
    is_known_ = false;
  }
  // False: that was the last one.
  bool next() {
    while (!path_.empty()) {
      Node& last = path_.back();
      for (++last.choice; last.choice < last.costs.size(); ++last.choice) {
        if (last.stops + last.costs[last.choice] <= most_stops_) return true;
      }
      path_.pop_back();
    }
    return false;
  }
  std::size_t states() const { return fewest_stops_.size(); }
  // A schedule went on in another way than when it was run before: something that is not scheduled matters.
  bool diverged() const { return diverged_; }

 private:
  struct Node {
    std::vector<std::uint8_t> costs;
    std::size_t choice;
    unsigned stops;  // before it
  };

  std::size_t pick(std::span<const Option> options, std::uint64_t state) override {
    if (made() < path_.size()) return again(path_[made()], options);
    if (is_known_) return 0;
    const auto [found, is_new] = fewest_stops_.try_emplace(state, stops_);
    if (!is_new && found->second <= stops_) {
      is_known_ = true;
      return 0;
    }
    found->second = static_cast<std::uint8_t>(stops_);
    Node node{{}, 0, stops_};
    for (const Option& option : options) node.costs.push_back(option.cost);
    path_.push_back(std::move(node));
    return 0;
  }
  std::size_t again(const Node& node, std::span<const Option> options) {
    const bool same = node.costs.size() == options.size() && node.stops == stops_ &&
                      std::ranges::equal(node.costs, options, {}, {}, &Option::cost);
    diverged_ |= !same;
    if (!same) return 0;
    stops_ += options[node.choice].cost;
    return node.choice;
  }

  unsigned most_stops_;
  unsigned stops_ = 0;
  bool is_known_ = false;
  bool diverged_ = false;
  std::vector<Node> path_;
  std::unordered_map<std::uint64_t, std::uint8_t> fewest_stops_;
};

class Shuffle final : public Recorder {
 public:
  Shuffle(std::uint64_t seed, unsigned falls) : random_(seed), falls_(falls) {}

  // `length`: choices of a run, about.
  void begin(std::uint64_t length) {
    forget();
    priorities_.clear();
    lowest_ = 0;
    fall_at_.clear();
    std::uniform_int_distribution<std::uint64_t> step(0, length);
    for (unsigned i = 0; i < falls_; ++i) fall_at_.push_back(step(random_));
  }

 private:
  std::size_t pick(std::span<const Option> options, std::uint64_t) override {
    const auto highest = std::ranges::max_element(
        options, {}, [this](const Option& option) { return priority(option); });
    const auto choice = static_cast<std::size_t>(highest - options.begin());
    const bool falls = std::ranges::find(fall_at_, made()) != fall_at_.end();
    // A timer that comes first would run out for ever.
    if (falls || highest->by_timer) priority(*highest) = --lowest_;
    return choice;
  }
  std::int64_t& priority(const Option& option) {
    const auto [found, is_new] = priorities_.try_emplace({option.fiber, option.by_timer});
    if (is_new) found->second = std::uniform_int_distribution<std::int64_t>(1, 1 << 20)(random_);
    return found->second;
  }

  std::mt19937_64 random_;
  unsigned falls_;
  std::vector<std::uint64_t> fall_at_;
  std::map<std::pair<std::uint8_t, bool>, std::int64_t> priorities_;
  std::int64_t lowest_ = 0;
};

class Replay final : public Recorder {
 public:
  explicit Replay(const char* text) {
    while (*text != '\0') {
      char* end = nullptr;
      const std::uint64_t at = std::strtoull(text, &end, 10);
      if (*end != ':') break;
      choices_[at] = std::strtoull(end + 1, &end, 10);
      text = *end == ',' ? end + 1 : end;
    }
  }

 private:
  std::size_t pick(std::span<const Option> options, std::uint64_t) override {
    const auto found = choices_.find(moment());
    return found == choices_.end() ? 0 : std::min<std::size_t>(found->second, options.size() - 1);
  }
  std::map<std::uint64_t, std::uint64_t> choices_;
};

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SUPPORT_SCHEDULE_SEARCH_H_
