#include "shim/epoll_sets.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <thread>

#include "shim/fd_table.h"
#include "shim/fork.h"

namespace vmbus::shim {
namespace {

constexpr FdEntry kSocket{.generation = 7, .endpoint = 3, .bus = 1, .flags = kFdCarrier};

// An instance, and a socket that the table calls ours and this thread has read.
class EpollSets : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(prepare_process(), 0);
    ASSERT_EQ(fd_table().reserve(), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0);
    ASSERT_TRUE(fd_table().set(ours(), kSocket));
    know(ours(), kSocket);
    instance_ = epoll_create1(0);
    note_epoll(instance_);
  }
  void TearDown() override {
    fd_table().clear(ours());
    t_known_ends[known_place(ours())] = {};
    t_known_places = 0;
    forget_epoll(instance_);
    ::close(instance_);
    for (const int end : ends_) ::close(end);
  }

  static void know(int fd, FdEntry entry) {
    KnownEnd& known = t_known_ends[known_place(fd)];
    known.fd = fd;
    known.entry = std::bit_cast<std::uint64_t>(entry);
    t_known_places |= place_bit(fd);
  }
  int ours() const { return ends_[0]; }
  int foreign() const { return ends_[1]; }
  long control(int operation, int fd, std::uint32_t events) const {
    epoll_event event{.events = events, .data = {.u64 = 42}};
    return control_epoll(instance_, operation, fd, &event);
  }
  bool watches() const { return watched_ends(instance_).places == place_bit(ours()); }
  std::uint32_t others() const { return watched_ends(instance_).others; }

  int ends_[2] = {-1, -1};
  int instance_ = -1;
};

TEST_F(EpollSets, KnowWhatIsAskedForInputAndItsData) {
  EXPECT_FALSE(watches());
  EXPECT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN | EPOLLRDHUP), 0);
  EXPECT_TRUE(watches());
  EXPECT_EQ(others(), 0U);
  const epoll_event event = input_event(instance_, ours()).event;
  EXPECT_EQ(event.events, static_cast<std::uint32_t>(EPOLLIN));
  EXPECT_EQ(event.data.u64, 42U);
}

TEST_F(EpollSets, LeaveToTheKernelWhatRingsDoNotKnow) {
  for (const std::uint32_t events :
       {std::uint32_t{EPOLLIN} | EPOLLET, std::uint32_t{EPOLLIN} | EPOLLONESHOT,
        std::uint32_t{EPOLLOUT}, std::uint32_t{0}}) {
    ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), events), 0);
    EXPECT_FALSE(watches()) << events;
    EXPECT_EQ(input_event(instance_, ours()).event.events, 0U);
    ASSERT_EQ(control(EPOLL_CTL_DEL, ours(), 0), 0);
  }
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN | EPOLLOUT), 0);
  EXPECT_TRUE(watches());
  EXPECT_EQ(others(), 1U) << "whether there is room, only the kernel knows";
}

TEST_F(EpollSets, CountTheOthers) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  ASSERT_EQ(control(EPOLL_CTL_ADD, foreign(), EPOLLIN), 0);
  EXPECT_EQ(others(), 1U);
  EXPECT_EQ(control(EPOLL_CTL_ADD, foreign(), EPOLLIN), -EEXIST);
  EXPECT_EQ(others(), 1U);
  ASSERT_EQ(control(EPOLL_CTL_DEL, foreign(), 0), 0);
  EXPECT_EQ(others(), 0U);
}

TEST_F(EpollSets, FollowChangesAndRemovals) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  ASSERT_EQ(control(EPOLL_CTL_MOD, ours(), 0), 0);
  EXPECT_FALSE(watches());
  ASSERT_EQ(control(EPOLL_CTL_MOD, ours(), EPOLLIN), 0);
  EXPECT_TRUE(watches());
  ASSERT_EQ(control_epoll(instance_, EPOLL_CTL_DEL, ours(), nullptr), 0);
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, RefuseABadPointerAsTheKernelDoes) {
  auto* bad = reinterpret_cast<epoll_event*>(8);
  EXPECT_EQ(control_epoll(instance_, EPOLL_CTL_ADD, ours(), bad), -EFAULT);
  EXPECT_EQ(control_epoll(instance_, EPOLL_CTL_ADD, foreign(), bad), -EFAULT);
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, KnowASocketByMoreThanItsNumber) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  FdEntry noted = kSocket;
  noted.flags |= kFdEndSeen;
  know(ours(), noted);
  EXPECT_TRUE(watches()) << "the same, of which the table notes more";
  FdEntry other = kSocket;
  ++other.generation;
  know(ours(), other);
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, KnowAnInstanceByMoreThanItsNumber) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  forget_epoll(instance_);
  EXPECT_FALSE(watches());
  note_epoll(instance_);
  EXPECT_FALSE(watches());
  EXPECT_EQ(input_event(instance_, ours()).event.events, 0U);
  EXPECT_EQ(others(), 0U);
}

TEST_F(EpollSets, AreForgottenByRanges) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  forget_epolls(static_cast<unsigned>(instance_) + 1, ~0U);
  EXPECT_TRUE(watches());
  forget_epolls(0, ~0U);
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, AreTheKernelsOnceOthersMayHaveThem) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  share_epoll(foreign());  // no instance
  EXPECT_TRUE(watches());
  share_epoll(instance_);
  EXPECT_FALSE(watches());
  note_epoll(instance_);
  ASSERT_EQ(control(EPOLL_CTL_MOD, ours(), EPOLLIN), 0);
  EXPECT_TRUE(watches());
  share_all_epolls();
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, AreTheKernelsOnceTwoThreadsWait) {
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  EXPECT_TRUE(watches());
  std::thread([this] { EXPECT_FALSE(watches()); }).join();
  EXPECT_FALSE(watches());
}

TEST_F(EpollSets, EndASleepThatTheyHaveChangedUnder) {
  std::uint32_t sleepers = 5;
  ASSERT_EQ(control(EPOLL_CTL_ADD, ours(), EPOLLIN), 0);
  const std::uint32_t before = watched_ends(instance_).version;
  EXPECT_TRUE(begin_epoll_sleep(instance_, before, sleepers));
  ASSERT_EQ(control(EPOLL_CTL_ADD, foreign(), EPOLLIN), 0);
  EXPECT_EQ(sleepers, 0U) << "whoever sleeps on it is woken";
  end_epoll_sleep(instance_);
  EXPECT_FALSE(begin_epoll_sleep(instance_, before, sleepers)) << "changed before the sleep";

  sleepers = 5;
  ASSERT_EQ(control(EPOLL_CTL_DEL, foreign(), 0), 0);
  EXPECT_EQ(sleepers, 5U) << "nobody sleeps any more";
}

}  // namespace
}  // namespace vmbus::shim
