#include "tests/conformance/waiting_call.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <utility>

#include "tests/support/thread_state.h"

namespace vmbus::cases {
namespace {

std::array<std::atomic<int>, NSIG> g_counts;

void count_signal(int number) { ++g_counts[static_cast<std::size_t>(number)]; }

// The number of the call that it waits in; -1 while it runs.
long system_call_of(pid_t tid) {
  std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/syscall");
  long number = -1;
  return file >> number ? number : -1;
}

}  // namespace

WaitingCall::WaitingCall(std::function<Outcome()> call, std::span<const long> sleeps_in)
    : call_(std::move(call)), sleeps_in_(sleeps_in) {
  if (::pthread_create(&thread_, nullptr, &WaitingCall::run, this) != 0) std::abort();
}

void* WaitingCall::run(void* self) {
  auto& waiting = *static_cast<WaitingCall*>(self);
  waiting.tid_ = ::gettid();
  waiting.outcome_ = waiting.call_();
  waiting.returned_ = true;
  return nullptr;
}

bool WaitingCall::is_asleep() const {
  if (tid_ == 0) return false;
  if (sleeps_in_.empty()) return state_of_thread(tid_) == 'S';
  return std::ranges::find(sleeps_in_, system_call_of(tid_)) != sleeps_in_.end();
}

bool WaitingCall::sleeps() const {
  return eventually([&] { return returned_ || is_asleep(); }) && !returned_;
}

std::optional<Outcome> WaitingCall::join() {
  if (!joined_) {
    void* end = nullptr;
    ::pthread_join(thread_, &end);
    joined_ = true;
    was_cancelled_ = end == PTHREAD_CANCELED;
  }
  return was_cancelled_ ? std::nullopt : std::optional(outcome_);
}

SignalCount::SignalCount(int number, int flags) : number_(number) {
  struct sigaction counting {};
  counting.sa_handler = &count_signal;
  counting.sa_flags = flags;
  ::sigaction(number, &counting, &before_);
  (void)take();
}

int SignalCount::take() const { return g_counts[static_cast<std::size_t>(number_)].exchange(0); }

}  // namespace vmbus::cases
