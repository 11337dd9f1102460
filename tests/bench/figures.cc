#include "tests/bench/figures.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <span>
#include <thread>
#include <vector>

namespace vmbus::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Reading the clock costs 20 ns, as much as a third of the shortest step; so not after each.
constexpr int kStepsPerLook = 16;

// The byte of a connection that tells the listener whether more will follow.
constexpr std::byte kMore{'m'};
constexpr std::byte kLast{'l'};

// Repeats `step`, which returns what it counts, for `time`; the sum.
template <class Step>
double repeat_for(std::chrono::nanoseconds time, Step& step) {
  std::size_t count = 0;
  const auto end = Clock::now() + time;
  do {
    for (int i = 0; i < kStepsPerLook; ++i) count += step();
  } while (Clock::now() < end);
  return static_cast<double>(count);
}

// Seconds that this process was ready to run and had to wait for a CPU; 0 if the kernel keeps no count.
double seconds_on_run_queue() {
  std::ifstream file("/proc/self/schedstat");
  std::uint64_t running_ns = 0;
  std::uint64_t waiting_ns = 0;
  file >> running_ns >> waiting_ns;
  return static_cast<double>(waiting_ns) / 1e9;
}

template <class Step>
Measurement measure(const Plan& plan, Step step) {
  repeat_for(plan.warm_up, step);
  const double waited_before = seconds_on_run_queue();
  const auto start = Clock::now();
  const double count = repeat_for(plan.measured, step);
  const double seconds = Seconds(Clock::now() - start).count();
  return {.count = count,
          .seconds = seconds,
          .waited = (seconds_on_run_queue() - waited_before) / seconds};
}

// One end of a connection, and how it waits for bytes. Owns the descriptor.
class Connection {
 public:
  Connection(int fd, Wait wait) : fd_(fd) {
    if (wait == Wait::kEpoll) watch();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    ::close(fd_);
    if (epoll_fd_ >= 0) ::close(epoll_fd_);
  }

  // False: the peer closed.
  bool send_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t length = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (length >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(length));
      } else if (errno == EAGAIN) {
        pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
        require(::poll(&room, 1, -1), "poll");
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return false;
      } else {
        fail("send");
      }
    }
    return true;
  }

  // What one call brings; 0 at the end of the stream.
  std::size_t receive_some(std::span<std::byte> room) {
    while (true) {
      if (epoll_fd_ >= 0) {
        epoll_event event{};
        require(::epoll_wait(epoll_fd_, &event, 1, -1), "epoll_wait");
      }
      const ssize_t length = ::recv(fd_, room.data(), room.size(), 0);
      if (length >= 0) return static_cast<std::size_t>(length);
      if (errno == ECONNRESET) return 0;
      if (errno != EAGAIN) fail("recv");
    }
  }

  // False: the stream ended before.
  bool receive_all(std::span<std::byte> room) {
    while (!room.empty()) {
      const std::size_t length = receive_some(room);
      if (length == 0) return false;
      room = room.subspan(length);
    }
    return true;
  }

 private:
  void watch() {
    require(::fcntl(fd_, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
    epoll_fd_ = static_cast<int>(require(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd_}};
    require(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd_, &event), "epoll_ctl");
  }

  int fd_;
  int epoll_fd_ = -1;
};

[[noreturn]] void fail_early() {
  errno = ECONNRESET;
  fail("the other side ended before the measurement did");
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

void echo_messages(const Plan& plan, Connection connection) {
  std::vector<std::byte> message(plan.size_bytes);
  while (connection.receive_all(message) && connection.send_all(message)) continue;
}

Measurement ping(const Plan& plan, Connection connection) {
  std::vector<std::byte> message(plan.size_bytes, std::byte{1});
  return measure(plan, [&]() -> std::size_t {
    if (!connection.send_all(message) || !connection.receive_all(message)) fail_early();
    return 1;
  });
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
  Measurement best{.count = kRoundTrips, .seconds = 1, .waited = 0};
  std::uint32_t next = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    for (std::uint32_t i = 0; i < kRoundTrips; ++i) {
      there.number.store(++next, std::memory_order_release);
      while (back.number.load(std::memory_order_acquire) != next) continue;
    }
    best.seconds = std::min(best.seconds, Seconds(Clock::now() - start).count());
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
