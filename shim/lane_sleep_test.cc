#include "shim/lane_sleep.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "ringbuf/shared_word.h"
#include "shim/real.h"
#include "shim/signals.h"
#include "tests/support/restarting_handlers.h"
#include "tests/support/thread_state.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

namespace vmbus::shim {
namespace {

constexpr std::int64_t kLongNs = 60'000'000'000;
constexpr std::uint32_t kValue = 7;

void ignore_signal(int) {}

// A thread in sleep_on_lane().
class Sleeper {
 public:
  Sleeper(std::uint32_t& word, LaneSleep how)
      : thread_([this, &word, how] {
          id_ = static_cast<pid_t>(::syscall(SYS_gettid));
          slept_ = sleep_on_lane(word, kValue, how);
          is_done_ = true;
        }) {
    wait_until_asleep();
  }
  ~Sleeper() {
    if (thread_.joinable()) thread_.join();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  void wait_until_asleep() {
    while (!is_asleep() && !is_done_) std::this_thread::yield();
  }
  // Returns once the kernel has interrupted the sleep.
  void signal(int number) {
    ASSERT_EQ(pthread_kill(thread_.native_handle(), number), 0);
    while (has_pending_signal(id_)) std::this_thread::yield();
  }
  bool is_done() const { return is_done_; }
  Slept join() {
    thread_.join();
    return slept_;
  }

 private:
  bool is_asleep() const { return id_ != 0 && state_of_thread(id_) == 'S'; }

  std::atomic<pid_t> id_{0};
  std::atomic<bool> is_done_{false};
  Slept slept_ = Slept::kNever;
  std::thread thread_;
};

class LaneSleepTest : public testing::Test {
 protected:
  LaneSleepTest() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair_), 0); }
  ~LaneSleepTest() override {
    ::close(pair_[0]);
    ::close(pair_[1]);
  }
  void SetUp() override {
    note_handler();
    word_ = kValue;
    const bool works = sleep_on_lane(word_, kValue, {1, true}) != Slept::kNever;
    if (!works) GTEST_SKIP() << "this kernel has no futex_waitv";
  }

  static void handle_sigusr1(int flags) {
    struct sigaction action {};
    action.sa_handler = ignore_signal;
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  }

  // Not where a sanitizer has a thread of its own, and says so to libc.
  static bool children_have_one_thread() {
    const pid_t child = fork();
    if (child == 0) _exit(real::has_one_thread() ? 0 : 1);
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status == 0;
  }

  // Runs `check` in a child whose futex_waitv gives `error`; whether it said yes.
  template <typename Check>
  static bool without_futex_waitv(int error, Check check) {
    const pid_t child = fork();
    if (child == 0) {
      const auto result = static_cast<unsigned>(SECCOMP_RET_ERRNO) | static_cast<unsigned>(error);
      sock_filter filter[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, result),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      };
      const sock_fprog program{sizeof filter / sizeof filter[0], filter};
      if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(2);
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(2);
      _exit(check() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  std::uint32_t word_ = kValue;
  int pair_[2] = {-1, -1};
};

TEST_F(LaneSleepTest, AValueThatHasChangedIsNoReasonToSleep) {
  word_ = kValue + 1;
  EXPECT_EQ(sleep_on_lane(word_, kValue, {kLongNs, true}), Slept::kWoken);
  EXPECT_EQ(sleep_on_lane(word_, kValue, {kLongNs, false}), Slept::kWoken);
}

TEST_F(LaneSleepTest, ASleepEndsAtItsLimit) {
  for (const bool restarts : {true, false}) {
    for (const std::int64_t limit_ns : {0, 1, 1'000'000}) {
      EXPECT_EQ(sleep_on_lane(word_, kValue, {limit_ns, restarts}), Slept::kLongEnough);
    }
  }
}

TEST_F(LaneSleepTest, WakingWakesAllAndSaysHowManySlept) {
  EXPECT_EQ(wake_from_lane(word_), 0);
  Sleeper one(word_, {kLongNs, true});
  Sleeper two(word_, {kLongNs, false});
  EXPECT_EQ(wake_from_lane(word_), 2);
  EXPECT_EQ(one.join(), Slept::kWoken);
  EXPECT_EQ(two.join(), Slept::kWoken);
}

TEST_F(LaneSleepTest, ASignalEndsASleepUnlessBothSidesWantItToGoOn) {
  struct Row {
    int flags;
    bool restarts, goes_on;
  };
  for (const Row row : {Row{0, true, false}, Row{0, false, false}, Row{SA_RESTART, true, true},
                        Row{SA_RESTART, false, false}}) {
    // Another thread may have installed the handler during the sleep: that nobody knew of one changes nothing.
    for (const bool is_known : {true, false}) {
      handle_sigusr1(row.flags);
      g_handles_signals = is_known;
      Sleeper sleeper(word_, {kLongNs, row.restarts});
      sleeper.signal(SIGUSR1);
      if (row.goes_on) {
        sleeper.wait_until_asleep();
        EXPECT_FALSE(sleeper.is_done());
        while (!sleeper.is_done()) wake_from_lane(word_);
      }
      EXPECT_EQ(sleeper.join(), row.goes_on ? Slept::kWoken : Slept::kInterrupted)
          << row.flags << ' ' << row.restarts << ' ' << is_known;
    }
  }
}

// A sleep that goes on keeps its limit: it is not begun anew.
TEST_F(LaneSleepTest, ARestartedSleepLooksAtItsWordAgain) {
  handle_sigusr1(SA_RESTART);
  Sleeper sleeper(word_, {kLongNs, true});
  ring::SharedCell(word_).store_seq_cst(0);  // and nobody wakes
  sleeper.signal(SIGUSR1);
  EXPECT_EQ(sleeper.join(), Slept::kWoken);
}

// A handler that no hook saw, in a process of one thread: the sleep ends, and its caller looks again if the handler is
// one that calls go on after.
TEST_F(LaneSleepTest, ASignalThatNobodyKnewOfIsJudgedWhenItComes) {
  if (!children_have_one_thread()) GTEST_SKIP() << "a sanitizer's thread is in each process";
  vmbus::test::make_handlers_restart();
  struct Row {
    int flags;
    bool restarts;
    Slept slept;
  };
  for (const Row row :
       {Row{0, true, Slept::kInterrupted}, Row{0, false, Slept::kInterrupted},
        Row{SA_RESTART, true, Slept::kWoken}, Row{SA_RESTART, false, Slept::kInterrupted}}) {
    handle_sigusr1(row.flags);
    const pid_t child = fork();
    if (child == 0) {
      g_handles_signals = false;
      const bool is_as_expected =
          sleep_on_lane(word_, kValue, {kLongNs, row.restarts}) == row.slept;
      _exit(is_as_expected && handles_signals() == row.restarts ? 0 : 1);
    }
    while (state_of_thread(child) != 'S') std::this_thread::yield();
    ASSERT_EQ(kill(child, SIGUSR1), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << row.flags << ' ' << row.restarts;
  }
}

// Programs without handlers sleep where the call that goes on after them is missing.
TEST_F(LaneSleepTest, WithoutHandlersAnyKernelWillDo) {
  if (!children_have_one_thread()) GTEST_SKIP() << "a sanitizer's thread is in each process";
  EXPECT_TRUE(without_futex_waitv(ENOSYS, [this] {
    g_handles_signals = false;
    return sleep_on_lane(word_, kValue, {1, true}) == Slept::kLongEnough &&
           may_sleep_on_lane(pair_[0], SO_RCVTIMEO);
  }));
}

TEST_F(LaneSleepTest, SocketsWithATimeLimitSleepInTheKernel) {
  const timeval limit{1, 0};
  const timeval little{0, 1};
  const timeval none{0, 0};
  EXPECT_TRUE(may_sleep_on_lane(pair_[0], SO_RCVTIMEO));
  EXPECT_TRUE(may_sleep_on_lane(pair_[0], SO_SNDTIMEO));
  for (const timeval& some : {limit, little}) {
    ASSERT_EQ(setsockopt(pair_[0], SOL_SOCKET, SO_RCVTIMEO, &some, sizeof some), 0);
    EXPECT_FALSE(may_sleep_on_lane(pair_[0], SO_RCVTIMEO));
    EXPECT_TRUE(may_sleep_on_lane(pair_[0], SO_SNDTIMEO));
  }
  ASSERT_EQ(setsockopt(pair_[0], SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none), 0);
  EXPECT_TRUE(may_sleep_on_lane(pair_[0], SO_RCVTIMEO));
  EXPECT_FALSE(may_sleep_on_lane(-1, SO_RCVTIMEO));
}

// The kernel is too old, or a filter forbids the call: readers wait on the carrier from then on.
TEST_F(LaneSleepTest, AProcessThatCannotSleepOnALaneNeverTriesAgain) {
  for (const int error : {ENOSYS, EPERM, EACCES}) {
    EXPECT_TRUE(without_futex_waitv(error, [this] {
      return may_sleep_on_lane(pair_[0], SO_RCVTIMEO) &&
             sleep_on_lane(word_, kValue, {kLongNs, true}) == Slept::kNever &&
             !may_sleep_on_lane(pair_[0], SO_RCVTIMEO);
    })) << error;
  }
  EXPECT_TRUE(may_sleep_on_lane(pair_[0], SO_RCVTIMEO)) << "other processes can";
}

}  // namespace
}  // namespace vmbus::shim
