// The stopwatch of all figures: repeats a step for a time and says what that took, in time and CPU.
//
// One process holds it and reads the other's account of CPU time from the kernel, so the other one does
// nothing beside its work.
#ifndef VMBUS_TESTS_BENCH_STOPWATCH_H_
#define VMBUS_TESTS_BENCH_STOPWATCH_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vmbus::bench {

using Clock = std::chrono::steady_clock;

struct Measurement {
  double count = 0;    // of what figures.h names
  double seconds = 0;  // the time that took
  double waited = 0;   // the part of it for which the two programs could have run, but others did
  double cpu_seconds = 0;  // used by the two programs and `also`
  double hog_seconds = 0;  // CPU time that the hogs got meanwhile
  double p50_us = 0;       // of a single round trip, measured after the rest; 0 where none is
  double p99_us = 0;
};

// Whose CPU time is read, beside the caller's own.
struct Company {
  pid_t peer = 0;           // the other program
  std::vector<pid_t> also;  // the daemon, if it takes part
  std::vector<pid_t> hogs;
};

double cpu_seconds_of(pid_t pid);

// Seconds that a process was ready to run and had to wait for a CPU; 0 if the kernel keeps no count.
double seconds_on_run_queue(pid_t pid);

// Between two moments: what the company used.
class Account {
 public:
  explicit Account(const Company& company);

  // Of what has passed since the constructor.
  Measurement close(double count) const;

 private:
  struct Reading {
    double waited = 0;
    double cpu = 0;
    double hogs = 0;
  };
  Reading read() const;

  const Company& company_;
  Reading before_;
  Clock::time_point start_;
};

// Repeats `step`, which returns what it counts, for `time`; the sum.
template <class Step>
double repeat_for(std::chrono::nanoseconds time, Step& step) {
  // Reading the clock costs 20 ns, as much as a third of the shortest step; so not after each.
  constexpr int kStepsPerLook = 16;
  std::size_t count = 0;
  const auto end = Clock::now() + time;
  do {
    for (int i = 0; i < kStepsPerLook; ++i) count += step();
  } while (Clock::now() < end);
  return static_cast<double>(count);
}

// Fills in the percentiles of `samples_ns`, which must not be empty.
void add_percentiles(std::vector<std::uint32_t>& samples_ns, Measurement& result);

// The percentiles of single steps. A run of its own, for it reads the clock at each step.
template <class Step>
void time_each(std::chrono::nanoseconds time, Step& step, Measurement& result) {
  // Filled beforehand, so that no page fault is measured.
  std::vector<std::uint32_t> samples_ns(std::size_t{1} << 20, 1);
  std::size_t count = 0;
  auto before = Clock::now();
  const auto end = before + time;
  while (count < samples_ns.size() && before < end) {
    step();
    const auto now = Clock::now();
    samples_ns[count++] = static_cast<std::uint32_t>((now - before).count());
    before = now;
  }
  samples_ns.resize(count);
  add_percentiles(samples_ns, result);
}

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_STOPWATCH_H_
