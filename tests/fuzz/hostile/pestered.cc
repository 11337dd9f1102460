#include "tests/fuzz/hostile/pestered.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <thread>

#include "ringbuf/shared_word.h"
#include "tests/fuzz/hostile/control.h"
#include "tests/fuzz/hostile/memory.h"
#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::hostile {
namespace {

using ring::SharedCell;

constexpr unsigned kSignalMicroseconds = 300'000;
constexpr unsigned kHangSeconds = 20;

// SIGALRM interrupts, again and again; nothing restarts. SIGVTALRM's clock is the program's own
// processor time: who spins is ended by it (or by hostile_test.py, who waits).
void interrupt_calls() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval times{{0, kSignalMicroseconds}, {0, kSignalMicroseconds}};
  ::setitimer(ITIMER_REAL, &times, nullptr);
  const itimerval limit{{0, 0}, {kHangSeconds, 0}};
  ::setitimer(ITIMER_VIRTUAL, &limit, nullptr);
}

void leave_signals_to_others() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

// This program's own end of its connection.
Target own_target(const Control& control, int fd) {
  const auto view = GuestView::of(control, fd);
  if (!view) fail(kExitNoSocket, "the connection has no memory");
  for (const Target& target : view->targets()) {
    if (target.is_of(fd)) return target;
  }
  fail(kExitNoSocket, "the connection has no lane");
}

void run_pestered(std::uint32_t cid, std::uint32_t port,
                  const std::function<void(const Target&)>& pester,
                  const std::function<ssize_t(int)>& call) {
  const Control control;
  const int fd = dial(cid, port);
  if (fd < 0) fail(kExitNoSocket, "cannot connect");
  const Target target = own_target(control, fd);
  std::atomic<bool> over{false};
  std::thread liar([&] {
    leave_signals_to_others();
    while (!over) pester(target);
  });
  interrupt_calls();
  const ssize_t result = call(fd);
  const bool is_interrupted = result > 0 || (result < 0 && errno == EINTR);
  over = true;
  liar.join();
  if (!is_interrupted) fail(kExitWrong, "the call ended, but not by its signal");
  std::printf("interrupted\n");
}

}  // namespace

void receive_pestered(std::uint32_t cid, std::uint32_t port) {
  const auto pester = [](const Target& target) {
    SharedCell(target.lane->in_flags).fetch_or(proto::kLaneCarrierHolds);
    SharedCell(target.lane->sleepers).store_relaxed(0);
    ::syscall(SYS_futex, &target.lane->sleepers, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  };
  run_pestered(cid, port, pester, [](int fd) {
    char byte = 0;
    return ::recv(fd, &byte, 1, 0);
  });
}

void send_pestered(std::uint32_t cid, std::uint32_t port) {
  constexpr std::uint64_t kKept =
      2;  // CarrierSends: the daemon keeps something back; of no connection
  const auto pester = [](const Target& target) {
    SharedCell(target.lane->carrier_sends).store_relaxed(kKept);
  };
  run_pestered(cid, port, pester, [](int fd) {
    const char byte = 0;
    ssize_t sent = 0;
    while (sent >= 0) sent = ::send(fd, &byte, 1, MSG_NOSIGNAL);  // until one meets the pest
    return sent;
  });
}

void receive_ahead(std::uint32_t cid, std::uint32_t port) {
  const Control control;
  const int fd = dial(cid, port);
  if (fd < 0) fail(kExitNoSocket, "cannot connect");
  const Target target = own_target(control, fd);
  const std::uint32_t ahead =
      (SharedCell(target.in.control->write_index).load_relaxed() + 64) % target.in.data_bytes;
  SharedCell(target.in.control->write_index).store_relaxed(ahead);
  SharedCell(target.lane->position).store_relaxed(std::uint64_t{ahead});
  char byte = 0;
  const ssize_t result = ::recv(fd, &byte, 1, MSG_DONTWAIT);
  if (result != -1 || errno != EAGAIN) fail(kExitWrong, "there is something to receive");
  if (SharedCell(target.in.control->read_index).load_relaxed() != ahead) {
    fail(kExitWrong, "the room is not given back");
  }
  std::printf("given back\n");
}

}  // namespace vmbus::hostile
