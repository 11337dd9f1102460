#include "shim/signals.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/restarting_handlers.h"

namespace vmbus::shim {
namespace {

void ignore(int) {}

// Of both: how a signal is handled, and what a wait that restarts, or does not, would have made of it.
struct Row {
  const char* name;
  void (*handler)(int);
  int flags;
  bool ends_restarting;
  bool ends_other;
};

class SignalsTest : public testing::Test {
 protected:
  void SetUp() override { note_handler(); }
  void TearDown() override { ::signal(SIGURG, SIG_DFL); }

  static void handle(void (*handler)(int), int flags) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    ASSERT_EQ(::sigaction(SIGURG, &action, nullptr), 0);
  }
};

TEST_F(SignalsTest, ASignalThatCameWhileBlockedIsJudgedByItsHandler) {
  for (const Row& row :
       {Row{"handler", ignore, 0, true, true}, Row{"SA_RESTART", ignore, SA_RESTART, false, true},
        Row{"ignored", SIG_IGN, 0, false, false}, Row{"default", SIG_DFL, 0, false, false}}) {
    SCOPED_TRACE(row.name);
    handle(row.handler, row.flags);
    BlockedSignals signals;
    signals.block();
    EXPECT_FALSE(signals.would_interrupt(true));
    EXPECT_FALSE(signals.would_interrupt(false));
    ::raise(SIGURG);
    EXPECT_EQ(signals.would_interrupt(true), row.ends_restarting);
    EXPECT_EQ(signals.would_interrupt(false), row.ends_other);
    signals.restore();
    EXPECT_FALSE(signals.would_interrupt(false));
  }
}

// The program blocks it itself: it ends no wait.
TEST_F(SignalsTest, WhatTheProgramBlocksInterruptsNothing) {
  handle(ignore, 0);
  sigset_t urgent;
  sigset_t before;
  ::sigemptyset(&urgent);
  ::sigaddset(&urgent, SIGURG);
  ::pthread_sigmask(SIG_BLOCK, &urgent, &before);
  BlockedSignals signals;
  signals.block();
  ::raise(SIGURG);
  EXPECT_FALSE(signals.would_interrupt(false));
  signals.restore();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Other handlers of this process, if any, are libc's own, and have it.
TEST_F(SignalsTest, KnowsWhetherAllHandlersRestart) {
  vmbus::test::make_handlers_restart();
  handle(ignore, 0);
  EXPECT_FALSE(all_handlers_restart());
  handle(ignore, SA_RESTART);
  EXPECT_TRUE(all_handlers_restart());
  for (auto* const none : {SIG_IGN, SIG_DFL}) {
    handle(none, 0);
    EXPECT_TRUE(all_handlers_restart());
  }
}

}  // namespace
}  // namespace vmbus::shim
