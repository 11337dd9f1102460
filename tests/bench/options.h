// The command line of socket_bench.
#ifndef VMBUS_TESTS_BENCH_OPTIONS_H_
#define VMBUS_TESTS_BENCH_OPTIONS_H_

#include <optional>

#include "tests/bench/figures.h"

namespace vmbus::bench {

enum class Pin { kNone, kOne, kTwo };

struct Options {
  Plan plan;
  Pin pin = Pin::kNone;
  int pairs = 1;           // of programs that measure at the same time
  int hogs = 0;            // processes that compute meanwhile
  int connections = 1;     // held
  int iterations = 10000;  // pair
};

// The exit status, when the command line alone decides it.
std::optional<int> parse(int argc, char** argv, Options& options);

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_OPTIONS_H_
