// socket_bench FIGURE --transport T ...: measures one figure of one kind of socket, once, and prints
// one line of JSON, the fields of Measurement (tests/bench/stopwatch.h), or what counted.h says.
//
// Two processes of its own, one that listens and one that dials, forked before either has a socket.
// `tests/bench/compare` runs it, for AF_UNIX, TCP and vsock in turns: a number from here means little
// without its neighbours.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "tests/bench/children.h"
#include "tests/bench/counted.h"
#include "tests/bench/figures.h"
#include "tests/bench/options.h"
#include "tests/bench/transport.h"

namespace {

using namespace vmbus::bench;

// CPUs that this process may use, the first two of them.
struct Cpus {
  int first = 0;
  int second = 0;
};

Cpus two_cpus() {
  cpu_set_t set;
  require(::sched_getaffinity(0, sizeof set, &set), "sched_getaffinity");
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  if (cpus.size() >= 2) return {cpus[0], cpus[1]};
  errno = ENODEV;
  fail("two CPUs are needed");
}

void pin_listener(Pin pin) {
  if (pin == Pin::kTwo) pin_to(two_cpus().second);
  if (pin == Pin::kOne) pin_to(two_cpus().first);
}

void pin_dialler(Pin pin) {
  if (pin != Pin::kNone) pin_to(two_cpus().first);
}

// Tells the dialler where to dial, then what was measured, if it held the stopwatch.
void listener_process(Options options, const Pipe& to_dialler) {
  pin_listener(options.pin);
  options.plan.company.peer = ::getppid();
  const Transport transport = options.plan.transport;
  const int listening_fd = listen_at_any_address(transport);
  to_dialler.write(address_of(transport, listening_fd));
  if (options.plan.figure == Figure::kHeld) {
    keep_accepted(options.plan, listening_fd, options.connections);
  } else if (const auto measurement = run_listener(options.plan, listening_fd)) {
    to_dialler.write(*measurement);
  }
  ::close(listening_fd);
}

std::optional<Measurement> dialler_process(const Options& options, const Pipe& from_listener) {
  pin_dialler(options.pin);
  const auto address = from_listener.read<Address>();
  if (!address) fail("the listener did not start");
  if (options.plan.figure != Figure::kHeld) return run_dialler(options.plan, *address);
  keep_dialled(options.plan, *address, options.connections);
  return Measurement{};
}

Measurement measure_pair(Options options) {
  Pipe pipe;
  const pid_t listener = fork_child();
  if (listener == 0) {
    listener_process(options, pipe);
    std::exit(0);
  }
  pipe.close_writing_end();
  options.plan.company.peer = listener;
  std::optional<Measurement> measurement = dialler_process(options, pipe);
  if (!measurement) measurement = pipe.read<Measurement>();
  require_success(listener, "the listener failed");
  if (!measurement) fail("the listener measured nothing");
  return *measurement;
}

// What several pairs did at once: together, but the percentiles of the pair that had the worst.
Measurement sum_of(const std::vector<Measurement>& pairs) {
  Measurement sum = pairs.front();
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    const Measurement& one = pairs[i];
    sum.count += one.count * sum.seconds / one.seconds;
    sum.waited += one.waited;
    sum.cpu_seconds += one.cpu_seconds * sum.seconds / one.seconds;
    sum.p50_us = std::max(sum.p50_us, one.p50_us);
    sum.p99_us = std::max(sum.p99_us, one.p99_us);
  }
  return sum;
}

Measurement measure_sockets(Options options) {
  const Hogs hogs(options.hogs);
  options.plan.company.hogs = hogs.pids();
  if (options.pairs == 1) return measure_pair(options);
  Pipe pipe;
  std::vector<pid_t> children;
  for (int i = 0; i < options.pairs; ++i) {
    children.push_back(fork_child());
    if (children.back() == 0) {
      pipe.write(measure_pair(options));
      std::exit(0);
    }
    options.plan.company.also.clear();  // the first pair counts the daemon for all
  }
  std::vector<Measurement> results;
  for (const pid_t child : children) {
    require_success(child, "a pair failed");
    results.push_back(pipe.read<Measurement>().value());
  }
  return sum_of(results);
}

void print(const Measurement& one) {
  std::printf("{\"count\": %.0f, \"seconds\": %.9f, \"waited\": %.4f, \"cpu_seconds\": %.6f, ",
              one.count, one.seconds, one.waited, one.cpu_seconds);
  std::printf("\"hog_seconds\": %.6f, \"p50_us\": %.3f, \"p99_us\": %.3f}\n", one.hog_seconds,
              one.p50_us, one.p99_us);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto status = parse(argc, argv, options)) return *status;
  if (options.plan.figure == Figure::kLine) {
    const Cpus cpus = two_cpus();
    print(measure_line(cpus.first, cpus.second));
    return 0;
  }
  require_guard(options.plan.transport);
  if (options.plan.figure == Figure::kPair) {
    run_pairs(options.plan, options.iterations);
  } else if (options.plan.figure == Figure::kHeld) {
    measure_pair(options);
  } else {
    print(measure_sockets(options));
  }
  return 0;
}
