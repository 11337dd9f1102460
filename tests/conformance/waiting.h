// Calls that wait: BlockedCall watches and interrupts one, SignalHandler is what it is interrupted
// with, Stopwatch says how long one took.
#ifndef VMBUS_TESTS_CONFORMANCE_WAITING_H_
#define VMBUS_TESTS_CONFORMANCE_WAITING_H_

#include <pthread.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "tests/conformance/connections.h"

namespace vmbus::cases {

// Where a thread sleeps that waits in accept() or connect(): there, or under the shim in what it
// waits in for them. Not in what it says to its daemon before.
inline constexpr std::array<long, 2> kInAccept{SYS_accept4, SYS_recvmsg};
inline constexpr std::array<long, 2> kInConnect{SYS_connect, SYS_ppoll};

// A call in a thread of its own.
class BlockedCall {
 public:
  template <typename Call>
  BlockedCall(const std::array<long, 2>& sleeps_in, Call call)
      : sleeps_in_(sleeps_in), thread_([this, call] {
          tid_ = ::gettid();
          result_ = call();
          done_ = true;
        }) {}
  ~BlockedCall() {
    if (thread_.joinable()) thread_.join();
  }
  BlockedCall(const BlockedCall&) = delete;
  BlockedCall& operator=(const BlockedCall&) = delete;

  // Returns when the call waits. False: it came back instead.
  [[nodiscard]] bool waits() const {
    return eventually([&] { return done_ || is_asleep(); }) && !done_;
  }
  // Only a call that waits can be interrupted: see waits().
  void interrupt() { ::pthread_kill(thread_.native_handle(), SIGUSR1); }
  // What it gave in the end.
  Outcome collect() {
    thread_.join();
    return result_;
  }

 private:
  bool is_asleep() const {
    std::ifstream file("/proc/self/task/" + std::to_string(tid_) + "/syscall");
    long number = -1;  // of a thread that runs there is none to read
    return file >> number && std::ranges::find(sleeps_in_, number) != sleeps_in_.end();
  }

  std::array<long, 2> sleeps_in_;
  std::atomic<pid_t> tid_ = 0;
  std::atomic<bool> done_ = false;
  Outcome result_;
  std::thread thread_;  // last: it uses the others
};

// While it lives, SIGUSR1 is handled, with SA_RESTART or without.
class SignalHandler {
 public:
  explicit SignalHandler(int flags) {
    handled_ = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled_; };
    action.sa_flags = flags;
    ::sigaction(SIGUSR1, &action, &before_);
  }
  ~SignalHandler() { ::sigaction(SIGUSR1, &before_, nullptr); }
  SignalHandler(const SignalHandler&) = delete;
  SignalHandler& operator=(const SignalHandler&) = delete;

  static int handled() { return handled_; }

 private:
  inline static std::atomic<int> handled_ = 0;
  struct sigaction before_ {};
};

class Stopwatch {
 public:
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start_);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline timeval as_timeval(std::chrono::milliseconds time) {
  return {time.count() / 1000, time.count() % 1000 * 1000};
}

// The time limit of an AF_VSOCK socket's connect().
template <typename AnySocket>
Outcome limit_connect(const AnySocket& socket, std::chrono::milliseconds limit) {
  return socket.set_option(AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, as_timeval(limit));
}

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_WAITING_H_
