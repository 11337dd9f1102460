// stress_peer: one of the two programs of a stress run (stress_test.py). Connections one after another,
// bytes both ways at once, each of them checked; how, its plan says (plan.h).
//
// Exit status  0: all arrived, or the peer was killed where it may be; 2: no socket; 4: a wrong byte or end.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <thread>
#include <type_traits>
#include <vector>

#include "tests/fuzz/hostile/sockets.h"
#include "tests/stress/plan.h"
#include "tests/stress/progress.h"
#include "tests/stress/transfer.h"
#include "tests/stress/waiting.h"

namespace vmbus::stress {
namespace {

using hostile::fail;
using hostile::kExitNoSocket;

void take_cpus(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) fail(kExitNoSocket, "not on this CPU");
}

void take_signals(const Plan& plan) {
  ::signal(SIGPIPE, SIG_IGN);
  if (plan.signal_ms == 0) return;
  struct sigaction action {};
  action.sa_handler = [](int) {};
  action.sa_flags = plan.restarts ? SA_RESTART : 0;
  ::sigaction(SIGALRM, &action, nullptr);
}

// Only while bytes are exchanged: connect and accept have tests of their own.
void send_signals(std::uint32_t milliseconds) {
  const timeval time{0, static_cast<suseconds_t>(milliseconds) * 1000};
  const itimerval times{time, time};
  ::setitimer(ITIMER_REAL, &times, nullptr);
}

class Talk {
 public:
  Talk(const Plan& plan, int fd, std::uint32_t number, Progress& progress)
      : plan_(plan),
        fd_(fd),
        progress_(progress),
        own_(progress.connection[number]),
        turns_(plan.ahead == 0 ? -1 : std::int64_t{plan.ahead} - (plan.dials ? 0 : 1)) {
    const std::uint64_t dialled = hostile::Random(plan.seed + number).word();
    out_ = direction(plan.out, plan.dials ? dialled : ~dialled);
    in_ = direction(plan.loops ? plan.out : plan.in, plan.dials ? ~dialled : dialled);
    if (plan.nonblocking) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  }

  // False: the peer is gone.
  bool run() {
    send_signals(plan_.signal_ms);
    if (plan_.loops) {
      loop();
    } else {
      std::thread sender([this] {
        Sender work(out_);
        alone(work, out_, POLLOUT, progress_.out_waits);
      });
      std::thread receiver([this] {
        Receiver work(in_);
        alone(work, in_, POLLIN, progress_.in_waits);
      });
      sender.join();
      receiver.join();
    }
    send_signals(0);
    ::close(fd_);
    return is_whole(own_.out_end) && is_whole(own_.in_end) &&
           own_.received == Receiver(in_).total();
  }

 private:
  static bool is_whole(const SharedCount& end) {
    return end == static_cast<std::uint64_t>(End::kWhole);
  }

  Direction direction(Way way, std::uint64_t seed) {
    return {fd_, &plan_, way, seed, &turns_, &progress_, &own_};
  }

  // One direction, in a thread of its own.
  template <typename Work>
  void alone(Work& work, const Direction& direction, short events, SharedCount& waits) {
    const auto waiter = Waiter::make(direction.way, fd_, events, progress_);
    hostile::Random random(direction.seed + 2);
    const bool looks_first = direction.way != Way::kEdge && waiter != nullptr;
    Step step = Step::kMore;
    while (step != Step::kDone) {
      const bool looks = step == Step::kMore && looks_first && random.one_in(2);
      if (step == Step::kWouldWait || looks) {
        waiter->wait(events);
        add_one(waits);
      }
      if constexpr (std::is_same_v<Work, Sender>) {
        if (step == Step::kHeld) work.wait_for_turn();
      }
      step = work.step();
    }
  }

  // Both, in one: it waits only when neither can go on.
  void loop() {
    Sender sender(out_);
    Receiver receiver(in_);
    const auto waiter = Waiter::make(plan_.out, fd_, POLLIN | POLLOUT, progress_);
    Step sent = Step::kMore;
    Step received = Step::kMore;
    while (true) {
      if (sent != Step::kDone) sent = sender.step();
      if (received != Step::kDone) received = receiver.step();
      if (sent == Step::kMore || received == Step::kMore) continue;
      if (sent == Step::kDone && received == Step::kDone) return;
      if (sent == Step::kHeld && received == Step::kDone) continue;
      const int events =
          (sent == Step::kWouldWait ? POLLOUT : 0) | (received == Step::kWouldWait ? POLLIN : 0);
      waiter->wait(static_cast<short>(events));
      add_one(sent == Step::kWouldWait ? progress_.out_waits : progress_.in_waits);
    }
  }

  const Plan& plan_;
  int fd_;
  Progress& progress_;
  ConnectionProgress& own_;
  Turns turns_;
  Direction out_;
  Direction in_;
};

// The next connection; less than 0: there will be none.
int accept_next(int listener) {
  std::array<pollfd, 2> wanted{{{listener, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  while (wanted[0].revents == 0 && wanted[1].revents == 0) ::poll(wanted.data(), wanted.size(), -1);
  return wanted[0].revents == 0 ? -1 : ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
}

int run(const Plan& plan) {
  take_cpus(plan.cpus);
  take_signals(plan);
  Progress& progress = Progress::in(plan.progress);
  if (plan.connections > Progress::kConnections) fail(1, "too many connections");
  const int listener = plan.dials ? -1 : hostile::listen_on(plan.port);
  for (std::uint32_t number = 0; number < plan.connections; ++number) {
    const int fd = plan.dials ? hostile::dial(plan.cid, plan.port) : accept_next(listener);
    if (fd < 0 && !plan.may_break) fail(kExitNoSocket, "no connection");
    if (fd < 0 || !Talk(plan, fd, number, progress).run()) break;
    add_one(progress.connections);
  }
  std::printf("%llu connections\n", static_cast<unsigned long long>(progress.connections.load()));
  return 0;
}

}  // namespace
}  // namespace vmbus::stress

int main(int argc, char** argv) {
  const std::vector<std::string_view> words(argv + 1, argv + argc);
  return vmbus::stress::run(vmbus::stress::Plan::of(words));
}
