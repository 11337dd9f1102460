#include "tests/bench/stopwatch.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <fstream>
#include <string>

#include "tests/bench/transport.h"

namespace vmbus::bench {
namespace {

using Seconds = std::chrono::duration<double>;

// The value below which this part of all samples lies. Reorders them.
double percentile_us(std::vector<std::uint32_t>& samples_ns, double part) {
  const auto last = static_cast<double>(samples_ns.size() - 1);
  const auto at = samples_ns.begin() + static_cast<std::ptrdiff_t>(last * part);
  std::nth_element(samples_ns.begin(), at, samples_ns.end());
  return *at / 1e3;
}

}  // namespace

double cpu_seconds_of(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  errno = ::clock_getcpuclockid(pid, &clock);
  if (errno != 0 || ::clock_gettime(clock, &time) != 0) fail("CPU clock of a process");
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double seconds_on_run_queue(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  std::uint64_t running_ns = 0;
  std::uint64_t waiting_ns = 0;
  file >> running_ns >> waiting_ns;
  return static_cast<double>(waiting_ns) / 1e9;
}

Account::Account(const Company& company)
    : company_(company), before_(read()), start_(Clock::now()) {}

Measurement Account::close(double count) const {
  const double seconds = Seconds(Clock::now() - start_).count();
  const Reading now = read();
  return {.count = count,
          .seconds = seconds,
          .waited = (now.waited - before_.waited) / seconds,
          .cpu_seconds = now.cpu - before_.cpu,
          .hog_seconds = now.hogs - before_.hogs};
}

Account::Reading Account::read() const {
  Reading sum;
  for (const pid_t pid : {::getpid(), company_.peer}) {
    sum.waited += seconds_on_run_queue(pid);
    sum.cpu += cpu_seconds_of(pid);
  }
  for (const pid_t pid : company_.also) sum.cpu += cpu_seconds_of(pid);
  for (const pid_t pid : company_.hogs) sum.hogs += cpu_seconds_of(pid);
  return sum;
}

void add_percentiles(std::vector<std::uint32_t>& samples_ns, Measurement& result) {
  result.p50_us = percentile_us(samples_ns, 0.5);
  result.p99_us = percentile_us(samples_ns, 0.99);
}

}  // namespace vmbus::bench
