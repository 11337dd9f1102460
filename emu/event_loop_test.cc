// Both back ends meet the same contract: every case runs on each.
#include "emu/event_loop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "emu/owned_fd.h"

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;

constexpr auto kShort = 20ms;   // long enough to see that nothing comes
constexpr auto kLong = 5000ms;  // a limit that is never reached

struct Pair {
  OwnedFd near;
  OwnedFd far;
};

Pair make_pair() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

void send_byte(const OwnedFd& end) { ASSERT_EQ(::send(end.get(), "x", 1, MSG_NOSIGNAL), 1); }

short poll_now(const OwnedFd& fd) {
  pollfd wanted{fd.get(), POLLIN | POLLRDHUP, 0};
  ::poll(&wanted, 1, 0);
  return wanted.revents;
}

class EventLoopTest : public testing::TestWithParam<LoopChoice> {
 protected:
  void SetUp() override {
    auto loop = EventLoop::create(GetParam());
    if (!loop) GTEST_SKIP() << loop.error();
    loop_ = std::move(*loop);
  }

  // Watches and notes the events of each call.
  WatchId note(const OwnedFd& fd, std::uint32_t events) {
    return loop_->watch(fd.get(), events, [this](std::uint32_t seen) { seen_.push_back(seen); });
  }
  // A turn may end early without news (io_uring: the answer to a removal), so time is what counts.
  void turn_until_quiet() {
    auto quiet_since = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - quiet_since < kShort) {
      const std::size_t before = seen_.size();
      loop_->run_once(kShort);
      if (seen_.size() != before) quiet_since = std::chrono::steady_clock::now();
    }
  }
  // The calls since the last time.
  std::vector<std::uint32_t> new_events() {
    turn_until_quiet();
    return std::exchange(seen_, {});
  }

  std::unique_ptr<EventLoop> loop_;
  std::vector<std::uint32_t> seen_;
};

INSTANTIATE_TEST_SUITE_P(Backends, EventLoopTest,
                         testing::Values(LoopChoice::kIoUring, LoopChoice::kEpoll),
                         [](const auto& test) {
                           return test.param == LoopChoice::kEpoll ? "epoll" : "io_uring";
                         });

// ---- readiness ----

TEST_P(EventLoopTest, SaysWhichBackEndRunsAndWhy) {
  EXPECT_EQ(parse_loop_choice(loop_->name()), GetParam());
  EXPECT_EQ(loop_->reason(), "asked for");
}

TEST_P(EventLoopTest, ReportsWhatIsReadyAlready) {
  const Pair pair = make_pair();
  send_byte(pair.far);
  note(pair.near, EPOLLIN);
  EXPECT_EQ(new_events(), std::vector<std::uint32_t>{EPOLLIN});
}

TEST_P(EventLoopTest, ReportsEachEdgeOnce) {
  const Pair pair = make_pair();
  note(pair.near, EPOLLIN);
  EXPECT_TRUE(new_events().empty());
  send_byte(pair.far);
  EXPECT_EQ(new_events().size(), 1U);
  send_byte(pair.far);  // nothing was read in between
  EXPECT_EQ(new_events().size(), 1U);
  EXPECT_TRUE(new_events().empty());
}

TEST_P(EventLoopTest, ReportsRoomAgainAfterAFullQueue) {
  const Pair pair = make_pair();
  note(pair.near, EPOLLOUT);
  EXPECT_EQ(new_events(), std::vector<std::uint32_t>{EPOLLOUT});
  std::array<char, 65536> block{};
  while (::send(pair.near.get(), block.data(), block.size(), 0) > 0) {
  }
  EXPECT_TRUE(new_events().empty());
  while (::recv(pair.far.get(), block.data(), block.size(), 0) > 0) {
  }
  const auto events = new_events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back(), std::uint32_t{EPOLLOUT});
}

TEST_P(EventLoopTest, HangUpIsReportedWhenBothDirectionsEndAndAgainWhenThePeerCloses) {
  Pair pair = make_pair();
  note(pair.near, EPOLLIN | EPOLLRDHUP);
  ASSERT_EQ(::shutdown(pair.far.get(), SHUT_WR), 0);
  auto events = new_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0] & (EPOLLRDHUP | EPOLLHUP), std::uint32_t{EPOLLRDHUP});

  ASSERT_EQ(::shutdown(pair.near.get(), SHUT_WR), 0);
  events = new_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0] & EPOLLHUP, 0U);

  EXPECT_TRUE(new_events().empty());  // HUP holds on, and the loop sleeps
  pair.far.reset();
  events = new_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0] & EPOLLHUP, 0U);
}

TEST_P(EventLoopTest, HangUpThatCameBeforeTheWatchIsReportedAndSoIsTheCloseAfterIt) {
  Pair pair = make_pair();
  ASSERT_EQ(::shutdown(pair.far.get(), SHUT_RDWR), 0);
  note(pair.near, EPOLLIN | EPOLLRDHUP);
  EXPECT_EQ(new_events().size(), 1U);
  pair.far.reset();
  EXPECT_EQ(new_events().size(), 1U);
}

TEST_P(EventLoopTest, CloseWithUnreadBytesReportsAnError) {
  Pair pair = make_pair();
  note(pair.near, EPOLLIN | EPOLLRDHUP);
  send_byte(pair.near);
  pair.far.reset();
  const auto events = new_events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back() & (EPOLLERR | EPOLLHUP), std::uint32_t{EPOLLERR | EPOLLHUP});
}

TEST_P(EventLoopTest, AnEventfdNeedsNoReadingBetweenEdges) {
  const OwnedFd bell(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  note(bell, EPOLLIN);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(::eventfd_write(bell.get(), 1), 0);
    EXPECT_EQ(new_events().size(), 1U);
  }
}

TEST_P(EventLoopTest, ADescriptorThatCannotBeWatchedIsReportedAsAnError) {
  OwnedFd closed(::dup(0));
  const int number = closed.get();
  closed.reset();
  loop_->watch(number, EPOLLIN, [this](std::uint32_t seen) { seen_.push_back(seen); });
  EXPECT_EQ(new_events(), std::vector<std::uint32_t>{EPOLLERR});
}

TEST_P(EventLoopTest, ThousandsOfReadyDescriptorsAreAllReported) {
  constexpr std::size_t kCount =
      2000;  // more than a batch, fewer than the usual descriptor limit needs
  std::vector<OwnedFd> bells;
  for (std::size_t i = 0; i < kCount; ++i) {
    bells.emplace_back(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!bells.back()) {
      bells.pop_back();
      break;
    }
    note(bells.back(), EPOLLIN);
  }
  EXPECT_EQ(new_events().size(), bells.size());
}

// ---- ending and changing a watch ----

TEST_P(EventLoopTest, AnEndedWatchIsSilent) {
  const Pair pair = make_pair();
  const WatchId id = note(pair.near, EPOLLIN);
  EXPECT_TRUE(new_events().empty());
  send_byte(pair.far);  // the edge is on its way
  loop_->unwatch(id);
  EXPECT_TRUE(new_events().empty());
}

TEST_P(EventLoopTest, EndingAWatchLetsGoOfTheFile) {
  Pair pair = make_pair();
  const WatchId id = note(pair.near, EPOLLIN);
  EXPECT_TRUE(new_events().empty());
  loop_->unwatch(id);
  pair.near.reset();
  EXPECT_NE(poll_now(pair.far) & POLLHUP, 0) << "the peer must see the close at once";
}

TEST_P(EventLoopTest, EndingAWatchThatIsAboutToReportLetsGoOfTheFileToo) {
  for (int i = 0; i < 100; ++i) {
    Pair pair = make_pair();
    const WatchId watch = note(pair.near, EPOLLIN);
    loop_->run_once(0ms);
    send_byte(pair.far);  // the report is under way
    loop_->unwatch(watch);
    pair.near.reset();
    ASSERT_EQ(::send(pair.far.get(), "x", 1, MSG_NOSIGNAL), -1) << "somebody holds the other end";
    ASSERT_EQ(errno, EPIPE);
  }
}

TEST_P(EventLoopTest, SeveralWatchesLetGoOfTheirFilesTogether) {
  std::vector<std::pair<Pair, WatchId>> watched;
  for (int i = 0; i < 600; ++i) {  // more than the io_uring takes at a time
    watched.emplace_back(make_pair(), WatchId{});
    watched.back().second = note(watched.back().first.near, EPOLLIN);
  }
  EXPECT_TRUE(new_events().empty());
  for (const auto& [pair, id] : watched) {
    send_byte(pair.far);  // a report is under way
    loop_->end_watch(id);
  }
  loop_->let_go();
  for (auto& [pair, id] : watched) {
    pair.near.reset();
    EXPECT_NE(poll_now(pair.far) & POLLHUP, 0) << "somebody holds the other end";
  }
}

TEST_P(EventLoopTest, AStaleIdDoesNotReachTheNextWatch) {
  const Pair first = make_pair();
  const Pair second = make_pair();
  const WatchId old = note(first.near, EPOLLIN);
  loop_->unwatch(old);
  note(second.near, EPOLLIN);
  loop_->unwatch(old);
  send_byte(second.far);
  EXPECT_EQ(new_events().size(), 1U);
}

TEST_P(EventLoopTest, ACallbackMayEndItsOwnWatch) {
  const Pair pair = make_pair();
  WatchId id;
  int calls = 0;
  id = loop_->watch(pair.near.get(), EPOLLIN, [&, kept = std::vector<int>(100, 7)](std::uint32_t) {
    loop_->unwatch(id);
    calls += kept.back();  // the closure is still alive
  });
  send_byte(pair.far);
  send_byte(pair.far);
  turn_until_quiet();
  EXPECT_EQ(calls, 7);
}

TEST_P(EventLoopTest, ACallbackMayEndAnotherWatchWhoseEventIsInTheSameBatch) {
  std::array<Pair, 2> pairs = {make_pair(), make_pair()};
  std::array<WatchId, 2> ids;
  int calls = 0;
  for (std::size_t i = 0; i < 2; ++i) {
    send_byte(pairs[i].far);
    ids[i] = loop_->watch(pairs[i].near.get(), EPOLLIN, [&, i](std::uint32_t) {
      ++calls;
      loop_->unwatch(ids[1 - i]);
      pairs[1 - i].near.reset();
    });
  }
  loop_->run_once(kLong);
  turn_until_quiet();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, ACallbackMayReuseTheNumberOfADescriptorThatItClosed) {
  Pair old = make_pair();
  const Pair trigger = make_pair();
  Pair fresh;
  WatchId old_id = note(old.near, EPOLLIN);
  loop_->watch(trigger.near.get(), EPOLLIN, [&](std::uint32_t) {
    loop_->unwatch(old_id);
    const int number = old.near.get();
    old.near.reset();
    fresh = make_pair();
    ASSERT_EQ(fresh.near.get(), number);
    note(fresh.near, EPOLLIN);
  });
  send_byte(trigger.far);
  send_byte(old.far);
  turn_until_quiet();
  seen_.clear();
  send_byte(fresh.far);
  EXPECT_EQ(new_events().size(), 1U);
}

TEST_P(EventLoopTest, ManyWatchesMayBeMadeInsideACallback) {
  const Pair trigger = make_pair();
  std::vector<OwnedFd> bells;
  loop_->watch(trigger.near.get(), EPOLLIN, [&](std::uint32_t) {
    for (int i = 0; i < 700; ++i) {  // more than the submission queue holds
      bells.emplace_back(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
      note(bells.back(), EPOLLIN);
    }
  });
  send_byte(trigger.far);
  loop_->run_once(kLong);
  EXPECT_EQ(new_events().size(), 700U);
}

TEST_P(EventLoopTest, ChangedEventsReplaceTheOldOnes) {
  const Pair pair = make_pair();
  const WatchId id = note(pair.near, EPOLLIN);
  EXPECT_TRUE(new_events().empty());
  loop_->rewatch(id, EPOLLOUT);
  EXPECT_EQ(new_events(), std::vector<std::uint32_t>{EPOLLOUT});
  send_byte(pair.far);
  EXPECT_TRUE(new_events().empty());
  loop_->rewatch(id, EPOLLIN);
  EXPECT_EQ(new_events(), std::vector<std::uint32_t>{EPOLLIN});
  loop_->unwatch(id);
  send_byte(pair.far);
  EXPECT_TRUE(new_events().empty());
}

// ---- timers, posted work, settling ----

TEST_P(EventLoopTest, ATimerRunsNotBeforeItsTime) {
  const auto start = std::chrono::steady_clock::now();
  std::chrono::nanoseconds waited{};
  loop_->after(5ms, [&] {
    waited = std::chrono::steady_clock::now() - start;
    loop_->stop();
  });
  loop_->run();
  EXPECT_GE(waited, 5ms);
}

TEST_P(EventLoopTest, ACancelledTimerDoesNotWakeTheLoop) {
  bool ran = false;
  const TimerId id = loop_->after(0ms, [&] { ran = true; });
  loop_->cancel(id);
  loop_->run_once(kShort);
  EXPECT_FALSE(ran);
}

TEST_P(EventLoopTest, PostedWorkRunsBeforeTheLoopSleeps) {
  bool ran = false;
  loop_->post([&] { ran = true; });
  loop_->run_once(0ms);
  EXPECT_TRUE(ran);
}

TEST_P(EventLoopTest, WorkPostedByWorkRunsInTheNextTurnSoThatDescriptorsHaveTheirs) {
  const Pair pair = make_pair();
  note(pair.near, EPOLLIN);
  send_byte(pair.far);
  std::size_t events_between = 0;
  std::function<void()> again = [&] {
    events_between = seen_.size();
    if (events_between == 0) loop_->post(again);
  };
  loop_->post(again);
  for (int i = 0; i < 10 && events_between == 0; ++i) loop_->run_once(kLong);
  EXPECT_EQ(events_between, 1U);
}

TEST_P(EventLoopTest, SettlesAfterEachBatchAndBeforeSleeping) {
  const Pair pair = make_pair();
  std::string order;
  loop_->set_settle([&] { order += 's'; });
  loop_->watch(pair.near.get(), EPOLLIN, [&](std::uint32_t) {
    order += 'r';
    loop_->post([&] { order += 'p'; });
  });
  send_byte(pair.far);
  loop_->run_once(kLong);
  EXPECT_EQ(order, "srps");
}

TEST_P(EventLoopTest, WorkThatSettlingPostsRunsWithoutSleeping) {
  bool posted = false;
  bool ran = false;
  loop_->set_settle([&] {
    if (!std::exchange(posted, true)) loop_->post([&] { ran = true; });
  });
  const auto start = std::chrono::steady_clock::now();
  loop_->run_once(kLong);
  EXPECT_TRUE(ran);
  EXPECT_LT(std::chrono::steady_clock::now() - start, kLong);
}

TEST_P(EventLoopTest, StopEndsRunAfterTheBatchHasSettled) {
  bool settled = false;
  loop_->post([&] {
    loop_->stop();
    loop_->set_settle([&] { settled = true; });
  });
  loop_->run();
  EXPECT_TRUE(settled);
  loop_->run();  // and it stays stopped
}

// ---- what the loop owes its back end ---------------------------------------------------------------

// Reports what the test put in, and notes which keys are armed.
class ScriptedBackend final : public LoopBackend {
 public:
  std::string_view name() const override { return "scripted"; }
  int arm(int, std::uint32_t, std::uint64_t key) override {
    armed.push_back(key);
    return 0;
  }
  void disarm(int, std::uint64_t key) override { std::erase(armed, key); }
  void let_go() override {}
  int change(int, std::uint32_t, std::uint64_t old_key, std::uint64_t new_key) override {
    std::erase(armed, old_key);
    armed.push_back(new_key);
    return 0;
  }
  void wait(std::optional<std::chrono::nanoseconds>, std::vector<ReadyEvent>& ready) override {
    ready = std::exchange(reports, {});
  }

  std::vector<std::uint64_t> armed;
  std::vector<ReadyEvent> reports;
};

class LoopAndBackendTest : public testing::Test {
 protected:
  WatchId note() {
    return loop_.watch(0, EPOLLIN, [this](std::uint32_t) { ++calls_; });
  }
  void report(std::uint64_t key, bool ended = false) {
    backend_->reports = {{key, EPOLLIN, ended}};
    loop_.run_once(0ms);
  }

  ScriptedBackend* backend_ = new ScriptedBackend;  // the loop's
  EventLoop loop_{std::unique_ptr<LoopBackend>(backend_), "for a test"};
  int calls_ = 0;
};

TEST_F(LoopAndBackendTest, ARequestThatTheKernelEndedIsArmedAgain) {
  note();
  ASSERT_EQ(backend_->armed.size(), 1U);
  const std::uint64_t key = backend_->armed[0];
  report(key, true);
  EXPECT_EQ(backend_->armed, (std::vector<std::uint64_t>{key, key}));
  EXPECT_EQ(calls_, 1);
}

TEST_F(LoopAndBackendTest, ARequestThatEndedAfterItsWatchIsNot) {
  const WatchId id = note();
  const std::uint64_t key = backend_->armed.at(0);
  loop_.unwatch(id);
  report(key, true);
  EXPECT_TRUE(backend_->armed.empty());
  EXPECT_EQ(calls_, 0);
}

TEST_F(LoopAndBackendTest, AReportUnderWayForAnEarlierWatchIsDropped) {
  const WatchId first = note();
  const std::uint64_t first_key = backend_->armed.at(0);
  loop_.unwatch(first);
  const WatchId second = note();  // in the place of the first
  const std::uint64_t second_key = backend_->armed.at(0);
  report(first_key);
  loop_.rewatch(second, EPOLLOUT);
  report(second_key);
  EXPECT_EQ(calls_, 0);
  report(backend_->armed.at(0));
  EXPECT_EQ(calls_, 1);
}

TEST_F(LoopAndBackendTest, NoKeyIsUsedTwice) {
  std::vector<std::uint64_t> keys;
  for (int i = 0; i < 100; ++i) {
    const WatchId id = note();
    keys.push_back(backend_->armed.at(0));
    loop_.rewatch(id, EPOLLOUT);
    keys.push_back(backend_->armed.at(0));
    loop_.unwatch(id);
  }
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
}

}  // namespace
}  // namespace vmbus::emu
