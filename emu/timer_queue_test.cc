#include "emu/timer_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;

class TimerQueueTest : public testing::Test {
 protected:
  TimerId add(std::chrono::milliseconds due, char mark) {
    return queue_.add(start_ + due, [this, mark] { ran_ += mark; });
  }

  TimerQueue queue_;
  TimerQueue::Time start_{1h};
  std::string ran_;
};

TEST_F(TimerQueueTest, RunsWhatIsDueInOrderOfTime) {
  add(2ms, 'b');
  add(1ms, 'a');
  add(3ms, 'c');
  queue_.run_due(start_ + 2ms);
  EXPECT_EQ(ran_, "ab");
  EXPECT_EQ(queue_.next_due(), start_ + 3ms);
}

TEST_F(TimerQueueTest, EqualTimesRunInOrderOfAdding) {
  add(1ms, 'a');
  add(1ms, 'b');
  queue_.run_due(start_ + 1ms);
  EXPECT_EQ(ran_, "ab");
}

TEST_F(TimerQueueTest, RunsATimerOnce) {
  add(1ms, 'a');
  queue_.run_due(start_ + 1ms);
  queue_.run_due(start_ + 2ms);
  EXPECT_EQ(ran_, "a");
  EXPECT_EQ(queue_.next_due(), std::nullopt);
}

TEST_F(TimerQueueTest, ACancelledTimerDoesNotRun) {
  const TimerId id = add(1ms, 'a');
  EXPECT_TRUE(queue_.cancel(id));
  queue_.run_due(start_ + 1ms);
  EXPECT_EQ(ran_, "");
  EXPECT_FALSE(queue_.cancel(id));
}

TEST_F(TimerQueueTest, CancellingNoTimerDoesNothing) { EXPECT_FALSE(queue_.cancel(TimerId{})); }

TEST_F(TimerQueueTest, ATaskMayCancelATimerThatIsDueToo) {
  TimerId second;
  queue_.add(start_, [&] { queue_.cancel(second); });
  second = add(1ms, 'b');
  add(2ms, 'c');
  queue_.run_due(start_ + 2ms);
  EXPECT_EQ(ran_, "c");
}

TEST_F(TimerQueueTest, ATimerAddedByATaskWaitsForTheNextRun) {
  queue_.add(start_, [this] { add(0ms, 'b'); });
  add(1ms, 'c');
  queue_.run_due(start_ + 1ms);
  EXPECT_EQ(ran_, "c");
  queue_.run_due(start_ + 1ms);
  EXPECT_EQ(ran_, "cb");
}

}  // namespace
}  // namespace vmbus::emu
