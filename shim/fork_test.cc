#include "shim/fork.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

namespace vmbus::shim {
namespace {

class ForkTest : public testing::Test {
 protected:
  ForkTest() { EXPECT_EQ(prepare_process(), 0); }

  // Runs `check` in a fork child; what it returned.
  template <typename Check>
  static bool in_fork_child(Check check) {
    const pid_t child = fork();
    if (child == 0) _exit(check() ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
};

// What a CLONE_VM child saw of its (parent's) memory.
bool g_child_owns_memory = true;
int look_from_borrowed_memory(void*) {
  g_child_owns_memory = owns_memory();
  return 0;
}

// clone() as posix_spawn() uses it.
void look_from_vfork_child() {
  alignas(16) static char stack[65536];
  g_child_owns_memory = true;
  const int child = clone(look_from_borrowed_memory, stack + sizeof stack,
                          CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
  ASSERT_GT(child, 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(ForkTest, TheProcessItselfOwnsItsMemory) { EXPECT_TRUE(owns_memory()); }

TEST_F(ForkTest, AForkChildOwnsItsMemory) {
  EXPECT_TRUE(in_fork_child([] { return owns_memory(); }));
}

TEST_F(ForkTest, AVforkChildDoesNot) {
  look_from_vfork_child();
  EXPECT_FALSE(g_child_owns_memory);
  EXPECT_TRUE(owns_memory());
}

TEST_F(ForkTest, NorDoesAVforkChildOfAForkChildThatNeverCalledUs) {
  EXPECT_TRUE(in_fork_child([] {
    look_from_vfork_child();
    return !g_child_owns_memory;
  }));
}

TEST_F(ForkTest, AForkChildFindsTheLockFreeThatItsParentHeld) {
  const LockedSection lock;
  EXPECT_TRUE(in_fork_child([] {
    const LockedSection again;
    return true;
  }));
}

// Who has it may have a descriptor in hand that no list has yet.
TEST_F(ForkTest, AForkWaitsForTheThreadThatHoldsTheLock) {
  std::atomic<bool> holds = false;
  std::atomic<bool> in_hand = false;
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    while (!is_over) {
      const LockedSection lock;
      in_hand = true;
      holds = true;
      for (int turn = 0; turn < 20; ++turn) sched_yield();
      in_hand = false;
    }
  });
  for (int i = 0; i < 50; ++i) {
    holds = false;
    while (!holds) sched_yield();
    EXPECT_TRUE(in_fork_child([&] { return !in_hand; })) << i;
  }
  is_over = true;
  other.join();
}

TEST_F(ForkTest, AForkDoesNotWaitForADaemonThatIsMute) {
  std::atomic<bool> holds = false;
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    const LockedSection lock;
    holds = true;
    while (!is_over) sched_yield();
  });
  while (!holds) sched_yield();
  EXPECT_TRUE(in_fork_child([] {
    const LockedSection again;
    return true;
  }));
  is_over = true;
  other.join();
  const LockedSection lock;
}

TEST_F(ForkTest, SignalsAreAsBeforeOnBothSidesOfAFork) {
  const auto mask = [] {
    sigset_t now;
    EXPECT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &now), 0);
    return std::pair(sigismember(&now, SIGALRM), sigismember(&now, SIGUSR1));
  };
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &usr1, nullptr), 0);
  EXPECT_TRUE(in_fork_child([&] { return mask() == std::pair(0, 1); }));
  EXPECT_EQ(mask(), std::pair(0, 1));
  ASSERT_EQ(pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr), 0);
}

TEST_F(ForkTest, AForkChildHasNoConnectionOfItsOwn) {
  const LockedSection lock;
  set_owns_connection(true);
  EXPECT_TRUE(in_fork_child([] { return !owns_connection(); }));
  EXPECT_TRUE(owns_connection());
  set_owns_connection(false);
}

TEST_F(ForkTest, TheLockBlocksSignalsAndRestoresThem) {
  sigset_t before;
  sigset_t during;
  sigset_t after;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);
  {
    const LockedSection lock;
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &during), 0);
  }
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  EXPECT_EQ(sigismember(&during, SIGALRM), 1);
  EXPECT_EQ(sigismember(&after, SIGALRM), sigismember(&before, SIGALRM));
}

TEST_F(ForkTest, TheLockExcludesThreads) {
  constexpr int kRounds = 20000;
  int counter = 0;
  const auto count = [&counter] {
    for (int i = 0; i < kRounds; ++i) {
      const LockedSection lock;
      ++counter;
    }
  };
  std::thread other(count);
  count();
  other.join();
  EXPECT_EQ(counter, 2 * kRounds);
}

}  // namespace
}  // namespace vmbus::shim
