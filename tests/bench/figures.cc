#include "tests/bench/figures.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

namespace vmbus::bench {
namespace {

// The byte of a connection that tells the listener whether more will follow.
constexpr std::byte kMore{'m'};
constexpr std::byte kLast{'l'};

template <class Step>
Measurement measure(const Plan& plan, Step&& step) {
  repeat_for(plan.warm_up, step);
  const Account account(plan.company);
  return account.close(repeat_for(plan.measured, step));
}

// stream -----------------------------------------------------------------------------------------

// Ends when the reader has seen enough and closes.
void write_stream(const Plan& plan, Connection connection) {
  const std::vector<std::byte> message(plan.size_bytes, std::byte{1});
  while (connection.send_all(message)) continue;
}

// Reads pieces no larger than a write: with larger ones AF_UNIX gains a tenth at most.
Measurement read_stream(const Plan& plan, Connection connection) {
  std::vector<std::byte> room(plan.size_bytes);
  return measure(plan, [&] {
    const std::size_t length = connection.receive_some(room);
    if (length == 0) fail_early();
    return length;
  });
}

// rtt --------------------------------------------------------------------------------------------

// Counts CPU time, not the clock's: who was interrupted has its work still to do.
void work_for(std::chrono::nanoseconds time) {
  if (time.count() == 0) return;
  const pid_t self = ::getpid();
  const double end = cpu_seconds_of(self) + static_cast<double>(time.count()) / 1e9;
  while (cpu_seconds_of(self) < end) continue;
}

void echo_messages(const Plan& plan, Connection connection) {
  std::vector<std::byte> message(plan.size_bytes);
  while (connection.receive_all(message)) {
    work_for(plan.work);
    if (!connection.send_all(message)) return;
  }
}

Measurement ping(const Plan& plan, Connection connection) {
  std::vector<std::byte> message(plan.size_bytes, std::byte{1});
  const auto step = [&]() -> std::size_t {
    if (!connection.send_all(message) || !connection.receive_all(message)) fail_early();
    return 1;
  };
  Measurement result = measure(plan, step);
  time_each(plan.measured / 4, step, result);
  return result;
}

// connect ----------------------------------------------------------------------------------------

void echo_connections(const Plan& plan, int listening_fd) {
  std::byte byte = kMore;
  while (byte != kLast) {
    Connection connection(accept_from(plan.transport, listening_fd), Wait::kBlocking);
    if (!connection.receive_all({&byte, 1}) || !connection.send_all({&byte, 1})) fail_early();
  }
}

void connect_once(const Plan& plan, const Address& address, std::byte byte) {
  const int fd = dial(plan.transport, address);
  Connection connection(fd, Wait::kBlocking);
  if (!connection.send_all({&byte, 1}) || !connection.receive_all({&byte, 1})) fail_early();
  leave_no_trace(plan.transport, fd);
}

Measurement connect_often(const Plan& plan, const Address& address) {
  const Measurement result = measure(plan, [&]() -> std::size_t {
    connect_once(plan, address, kMore);
    return 1;
  });
  connect_once(plan, address, kLast);
  return result;
}

}  // namespace

std::optional<Measurement> run_listener(const Plan& plan, int listening_fd) {
  if (plan.figure == Figure::kConnect) {
    echo_connections(plan, listening_fd);
    return std::nullopt;
  }
  const int fd = accept_from(plan.transport, listening_fd);
  if (plan.figure == Figure::kStream) return read_stream(plan, {fd, plan.wait});
  echo_messages(plan, {fd, plan.wait});
  return std::nullopt;
}

std::optional<Measurement> run_dialler(const Plan& plan, const Address& address) {
  if (plan.figure == Figure::kConnect) return connect_often(plan, address);
  const int fd = dial(plan.transport, address);
  if (plan.figure == Figure::kRtt) return ping(plan, {fd, plan.wait});
  write_stream(plan, {fd, plan.wait});
  return std::nullopt;
}

// The best of many short runs: whoever else uses the CPUs interrupts some of them, and the distance
// of the two CPUs shows in the others.
Measurement measure_line(int cpu, int other_cpu) {
  constexpr int kRuns = 20;
  constexpr std::uint32_t kRoundTrips = 1000;
  struct alignas(128) Line {
    std::atomic<std::uint32_t> number = 0;
  };
  Line there;
  Line back;
  std::thread echo([&] {
    pin_to(other_cpu);
    for (std::uint32_t next = 1; next <= kRuns * kRoundTrips; ++next) {
      while (there.number.load(std::memory_order_acquire) != next) continue;
      back.number.store(next, std::memory_order_release);
    }
  });
  pin_to(cpu);
  Measurement best{.count = kRoundTrips, .seconds = 1};
  std::uint32_t next = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < kRoundTrips; ++i) {
      there.number.store(++next, std::memory_order_release);
      while (back.number.load(std::memory_order_acquire) != next) continue;
    }
    const std::chrono::duration<double> passed = Clock::now() - start;
    best.seconds = std::min(best.seconds, passed.count());
  }
  echo.join();
  return best;
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  require(::sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

}  // namespace vmbus::bench
