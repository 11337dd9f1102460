// explore(): every order of events, to a depth.
//
// A World is made afresh and led along a path of events; from where the path ends, each event that is
// possible there makes the next paths. Paths that end in the same state (World::fingerprint()) are
// followed once, so the depth may be larger than the number of events suggests. The last event counts
// as part of the state: what a fingerprint does not show may depend on how its state was reached.
//
// A World has: static constexpr std::array of kEvents; bool enabled(Event); void apply(Event), which
// checks its invariants and notes what is wrong in `violation`; std::string fingerprint().
#ifndef VMBUS_TESTS_MODEL_EXPLORE_H_
#define VMBUS_TESTS_MODEL_EXPLORE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vmbus::model {

struct Explored {
  std::size_t states = 0;
  std::size_t steps = 0;
  bool complete = false;  // there was no new state at the last depth
};

template <typename World>
std::unique_ptr<World> follow(const std::vector<typename World::Event>& path) {
  auto world = std::make_unique<World>();
  for (const auto event : path) world->apply(event);
  return world;
}

template <typename World>
std::string text_of(const std::vector<typename World::Event>& path) {
  std::string text;
  for (const auto event : path) text += std::string(" ") + World::name(event);
  return text;
}

template <typename World>
Explored explore(std::size_t depth) {
  using Path = std::vector<typename World::Event>;
  Explored result;
  std::unordered_set<std::string> seen{World().fingerprint()};
  std::vector<Path> frontier{Path{}};
  for (std::size_t level = 0; level < depth && !frontier.empty(); ++level) {
    std::vector<Path> next;
    for (const Path& path : frontier) {
      const auto base = follow<World>(path);
      for (const auto event : World::kEvents) {
        if (!base->enabled(event)) continue;
        auto world = follow<World>(path);
        world->apply(event);
        ++result.steps;
        Path longer = path;
        longer.push_back(event);
        if (!world->violation.empty()) {
          ADD_FAILURE() << world->violation << ", after" << text_of<World>(longer);
          return result;
        }
        if (seen.insert(world->fingerprint() + World::name(event)).second)
          next.push_back(std::move(longer));
      }
    }
    frontier = std::move(next);
  }
  result.states = seen.size();
  result.complete = frontier.empty();
  return result;
}

}  // namespace vmbus::model

#endif  // VMBUS_TESTS_MODEL_EXPLORE_H_
