// What is measured in time: for each figure the side that listens, the side that dials, and which of
// the two holds the stopwatch.
//
//   stream    the dialler writes without pause, the listener reads        bytes, at the listener
//   rtt       the dialler sends a message, the listener sends it back     round trips, at the dialler
//   connect   connect, accept, one byte there and back, close             connections, at the dialler
//   line      one cache line goes to another CPU and back                 round trips; no sockets
//
// Each figure runs for a warm-up time that does not count, then for the time measured. What is counted
// rather than timed is in counted.h.
#ifndef VMBUS_TESTS_BENCH_FIGURES_H_
#define VMBUS_TESTS_BENCH_FIGURES_H_

#include <chrono>
#include <cstddef>
#include <optional>

#include "tests/bench/connection.h"
#include "tests/bench/stopwatch.h"
#include "tests/bench/transport.h"

namespace vmbus::bench {

enum class Figure { kStream, kRtt, kConnect, kLine, kHeld, kPair };

struct Plan {
  Figure figure = Figure::kStream;
  Transport transport = Transport::kUnix;
  std::size_t size_bytes = 0;       // of a write or a message; stream, rtt, pair; held: each way
  Wait wait = Wait::kBlocking;      // how both sides wait for bytes; rtt
  std::chrono::nanoseconds work{};  // CPU time the listener spends on each message; rtt
  std::chrono::nanoseconds warm_up{};
  std::chrono::nanoseconds measured{};
  Company company;
};

// Both return once the dialler is done; nullopt on the side without the stopwatch.
std::optional<Measurement> run_listener(const Plan& plan, int listening_fd);
std::optional<Measurement> run_dialler(const Plan& plan, const Address& address);

// Between two CPUs: how near they are to each other at the moment.
Measurement measure_line(int cpu, int other_cpu);

// The calling thread runs on this CPU alone from now on.
void pin_to(int cpu);

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_FIGURES_H_
