// explore(): every order of events, to a depth.
//
// From each state, each event that is possible there makes the next states; a World is a value, so a
// step is a copy. Paths that end in the same state (World::fingerprint()) are followed once, so the
// depth may be larger than the number of events suggests. The last event counts as part of the
// state: what a fingerprint does not show may depend on how its state was reached.
//
// A World has: static constexpr std::array of kEvents; bool enabled(Event); void apply(Event), which
// checks its invariants and notes what is wrong in `violation`; std::string fingerprint().
#ifndef VMBUS_TESTS_MODEL_EXPLORE_H_
#define VMBUS_TESTS_MODEL_EXPLORE_H_

#include <gtest/gtest.h>

#include <cstddef>
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
std::string text_of(const std::vector<typename World::Event>& path) {
  std::string text;
  for (const auto event : path) text += std::string(" ") + World::name(event);
  return text;
}

template <typename World>
Explored explore(std::size_t depth) {
  struct Node {
    World world;
    std::vector<typename World::Event> path;
  };
  Explored result;
  std::unordered_set<std::string> seen{World().fingerprint()};
  std::vector<Node> frontier(1);
  for (std::size_t level = 0; level < depth && !frontier.empty(); ++level) {
    std::vector<Node> next;
    for (const Node& node : frontier) {
      for (const auto event : World::kEvents) {
        if (!node.world.enabled(event)) continue;
        Node reached = node;
        reached.world.apply(event);
        reached.path.push_back(event);
        ++result.steps;
        if (!reached.world.violation.empty()) {
          ADD_FAILURE() << reached.world.violation << ", after" << text_of<World>(reached.path);
          return result;
        }
        const bool is_new = seen.insert(reached.world.fingerprint() + World::name(event)).second;
        if (is_new) next.push_back(std::move(reached));
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
