#include "tests/bench/children.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace vmbus::bench {
namespace {

// Far beyond any time one would measure.
constexpr unsigned kHangSeconds = 120;

[[noreturn]] void compute_for_ever() {
  // asm: a loop without effects may be taken to end, or be left out.
  for (std::uint64_t value = 1;; value = value * 6364136223846793005 + 1)
    asm volatile("" ::"r"(value));
}

}  // namespace

pid_t fork_child() {
  const pid_t parent = ::getpid();
  const auto child = static_cast<pid_t>(require(::fork(), "fork"));
  ::alarm(kHangSeconds);
  if (child != 0) return child;
  require(::prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
  if (::getppid() != parent) std::exit(1);  // it ended before the line above
  return 0;
}

void require_success(pid_t child, const char* who) {
  int status = 0;
  require(::waitpid(child, &status, 0), "waitpid");
  if (status == 0) return;
  errno = ECHILD;
  fail(who);
}

Hogs::Hogs(int count) {
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork_child();
    if (child == 0) compute_for_ever();
    pids_.push_back(child);
  }
}

Hogs::~Hogs() {
  for (const pid_t pid : pids_) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
}

}  // namespace vmbus::bench
