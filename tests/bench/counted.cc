#include "tests/bench/counted.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <span>
#include <vector>

namespace vmbus::bench {
namespace {

void allow_many_descriptors() {
  rlimit limit{};
  require(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  require(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

void watch_for_input(int epoll_fd, int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  require(::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

// False: standard input has ended.
bool wait_for_line(int epoll_fd) {
  char line[16];
  epoll_event event{};
  require(::epoll_wait(epoll_fd, &event, 1, -1), "epoll_wait");
  if (event.data.fd != STDIN_FILENO) fail_early();
  return require(::read(STDIN_FILENO, line, sizeof line), "read") > 0;
}

void report_open(const Plan& plan, std::size_t open) {
  std::printf("{\"open\": %zu, \"pids\": [%d, %d]}\n", open, ::getpid(), plan.company.peer);
  std::fflush(stdout);
}

}  // namespace

void keep_accepted(const Plan& plan, int listening_fd, int connections) {
  allow_many_descriptors();
  std::vector<std::byte> message(plan.size_bytes);
  std::deque<Connection> kept;
  for (int i = 0; i < connections; ++i) {
    Connection& one = kept.emplace_back(accept_from(plan.transport, listening_fd), Wait::kBlocking);
    if (!one.receive_all(message) || !one.send_all(message)) fail_early();
  }
  if (kept.back().receive_some(message) != 0) fail("a byte that nobody sent");
}

void keep_dialled(const Plan& plan, const Address& address, int connections) {
  allow_many_descriptors();
  const int epoll_fd = static_cast<int>(require(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  watch_for_input(epoll_fd, STDIN_FILENO);
  std::vector<std::byte> message(plan.size_bytes, std::byte{1});
  std::deque<Connection> kept;
  const auto open = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const int fd = dial(plan.transport, address);
      Connection& one = kept.emplace_back(fd, Wait::kBlocking);
      if (!one.send_all(message) || !one.receive_all(message)) fail_early();
      watch_for_input(epoll_fd, fd);
    }
    report_open(plan, kept.size());
  };
  open(1);
  if (!wait_for_line(epoll_fd)) fail_early();
  open(connections - 1);
  while (wait_for_line(epoll_fd)) continue;
  ::close(epoll_fd);
}

void run_pairs(const Plan& plan, int iterations) {
  const int listening_fd = listen_at_any_address(plan.transport);
  const int dialled = dial(plan.transport, address_of(plan.transport, listening_fd));
  const int accepted = accept_from(plan.transport, listening_fd);
  std::vector<std::byte> message(plan.size_bytes, std::byte{1});
  const auto bytes = static_cast<ssize_t>(message.size());
  for (int i = 0; i < iterations; ++i) {  // nothing but the calls: they are what is counted
    if (::send(dialled, message.data(), message.size(), 0) != bytes) fail_early();
    if (::recv(accepted, message.data(), message.size(), 0) != bytes) fail_early();
  }
  for (const int fd : {dialled, accepted, listening_fd}) ::close(fd);
}

}  // namespace vmbus::bench
