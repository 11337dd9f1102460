// explore(): runs one scenario under all schedules up to a bound, then under some drawn at random.
//
//   VMBUS_SCHEDULE=TEXT         that schedule alone, each step printed: the text that a failure gives
//   VMBUS_SCHEDULE_SECONDS=N    one stop more, but searches for no longer than that; then as long at random
//   VMBUS_SCHEDULE_STOPS=N      another bound
//   VMBUS_SEED=N                where they begin
#ifndef VMBUS_TESTS_SCHEDULE_EXPLORE_H_
#define VMBUS_TESTS_SCHEDULE_EXPLORE_H_

#include <functional>

#include "tests/schedule/lane_world.h"

namespace vmbus::test {

struct Exploration {
  unsigned stops;  // how often somebody is stopped who could go on (schedule_search.h)
  LaneOptions lane{};
};

// `programs` spawns them, for each run.
void explore(const Exploration& how, const std::function<void(LaneWorld&)>& programs);

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SCHEDULE_EXPLORE_H_
