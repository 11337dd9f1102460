// WaitingCall: a call made by a thread of its own, so that a case can see it wait, interrupt it, cancel
// it, or bring about what it waits for. SignalCount: a handler that counts.
#ifndef VMBUS_TESTS_CONFORMANCE_WAITING_CALL_H_
#define VMBUS_TESTS_CONFORMANCE_WAITING_CALL_H_

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <optional>
#include <span>

#include "tests/conformance/connections.h"
#include "tests/conformance/outcome.h"

namespace vmbus::cases {

class WaitingCall {
 public:
  // Starts it. `call` waits nowhere but in the system call it is about; or that is one of
  // `sleeps_in`, and elsewhere it may wait too.
  explicit WaitingCall(std::function<Outcome()> call, std::span<const long> sleeps_in = {});
  // REQUIRES: the case has brought the call to its end, or cancelled it.
  ~WaitingCall() { (void)join(); }
  WaitingCall(const WaitingCall&) = delete;
  WaitingCall& operator=(const WaitingCall&) = delete;

  // Until the call waits in the kernel. False: it returned instead.
  [[nodiscard]] bool sleeps() const;
  bool has_returned() const { return returned_; }
  void signal(int number) const { ::pthread_kill(thread_, number); }
  void cancel() const { ::pthread_cancel(thread_); }
  // Signals again and again, so that one of them meets the call in its sleep, until it returns.
  [[nodiscard]] bool interrupt(int number) const {
    return eventually([&] {
      if (!returned_) signal(number);
      return returned_.load();
    });
  }
  // Waits for the call. Nothing: it was cancelled.
  std::optional<Outcome> join();
  // What it gave. REQUIRES: not cancelled.
  Outcome result() { return join().value_or(fails(ECANCELED)); }

 private:
  static void* run(void* self);
  bool is_asleep() const;

  std::function<Outcome()> call_;
  std::span<const long> sleeps_in_;
  pthread_t thread_{};
  bool joined_ = false;
  bool was_cancelled_ = false;
  std::atomic<pid_t> tid_ = 0;
  std::atomic<bool> returned_ = false;
  Outcome outcome_;
};

// Handles a signal by counting it, while it lives. One at a time for each signal.
class SignalCount {
 public:
  // `flags` of sigaction: SA_RESTART or 0.
  explicit SignalCount(int number, int flags = 0);
  ~SignalCount() { ::sigaction(number_, &before_, nullptr); }
  SignalCount(const SignalCount&) = delete;
  SignalCount& operator=(const SignalCount&) = delete;

  // Since the last take().
  int take() const;

 private:
  int number_;
  struct sigaction before_ {};
};

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_WAITING_CALL_H_
