// Undertaker: it shuts what it keeps when the daemon is gone, whoever else has it open; and nothing else.
#include "emu/undertaker.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

namespace vmbus::emu {
namespace {

constexpr int kLimitMs = 60'000;

struct Pair {
  OwnedFd a;
  OwnedFd b;
};

Pair make_pair_of_ends() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {OwnedFd(ends[0]), OwnedFd(ends[1])};
}

bool hangs_up(int fd, int limit_ms) {
  pollfd asked{fd, 0, 0};
  return ::poll(&asked, 1, limit_ms) == 1 && (asked.revents & POLLHUP) != 0;
}

// A process that is no longer there; or, since nobody has waited for it, a zombie.
bool waits_for_end(pid_t pid) {
  const OwnedFd end(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd asked{end.get(), POLLIN, 0};
  return end && ::poll(&asked, 1, kLimitMs) == 1;
}

std::string folder_of(pid_t pid) { return "/proc/" + std::to_string(pid); }

// Returns once what was sent before has been taken in: it answers by hanging up on a pair that it shuts or drops.
void let_it_catch_up(Undertaker& undertaker) {
  Pair probe = make_pair_of_ends();
  ASSERT_TRUE(undertaker.keep(999, probe.b.get()));
  probe.b.reset();
  undertaker.drop(999);
  ASSERT_TRUE(hangs_up(probe.a.get(), kLimitMs));
}

TEST(Undertaker, ShutsWhatItKeepsWhenTheLineEnds) {
  Pair pair = make_pair_of_ends();
  {
    Undertaker undertaker = Undertaker::start();
    ASSERT_TRUE(undertaker.keep(1, pair.b.get()));
    let_it_catch_up(undertaker);
    EXPECT_FALSE(hangs_up(pair.a.get(), 0));
  }
  EXPECT_TRUE(hangs_up(pair.a.get(), kLimitMs)) << "although this process has the end open";
}

TEST(Undertaker, KeepsAnEndOpenWithItsOwnCopyAlone) {
  Pair pair = make_pair_of_ends();
  Undertaker undertaker = Undertaker::start();
  ASSERT_TRUE(undertaker.keep(1, pair.b.get()));
  pair.b.reset();
  let_it_catch_up(undertaker);
  EXPECT_FALSE(hangs_up(pair.a.get(), 0));
}

TEST(Undertaker, LeavesAloneWhatWasDropped) {
  Pair dropped = make_pair_of_ends();
  Pair kept = make_pair_of_ends();
  {
    Undertaker undertaker = Undertaker::start();
    ASSERT_TRUE(undertaker.keep(1, dropped.b.get()));
    ASSERT_TRUE(undertaker.keep(2, kept.b.get()));
    undertaker.drop(1);
  }
  EXPECT_TRUE(hangs_up(kept.a.get(), kLimitMs));
  EXPECT_FALSE(hangs_up(dropped.a.get(), 0));
}

TEST(Undertaker, ServesTheEndsOfADaemonThatWasKilled) {
  Pair pair = make_pair_of_ends();
  Pair ready = make_pair_of_ends();
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    Undertaker undertaker = Undertaker::start();
    const bool keeps = undertaker.keep(1, pair.b.get());
    static_cast<void>(::write(ready.b.get(), keeps ? "y" : "n", 1));
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready.a.get(), &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(hangs_up(pair.a.get(), 0));
  ::kill(daemon, SIGKILL);
  ::waitpid(daemon, nullptr, 0);
  EXPECT_TRUE(hangs_up(pair.a.get(), kLimitMs));
}

TEST(Undertaker, HoldsNothingOfTheDaemons) {
  Pair pair = make_pair_of_ends();
  Pair other = make_pair_of_ends();
  Undertaker undertaker = Undertaker::start();
  ASSERT_TRUE(undertaker.keep(1, pair.b.get()));
  let_it_catch_up(undertaker);
  std::size_t sockets = 0;
  std::size_t others = 0;
  for (const auto& fd : std::filesystem::directory_iterator(folder_of(undertaker.pid()) + "/fd")) {
    const std::string file = std::filesystem::read_symlink(fd.path()).string();
    if (file.starts_with("socket:")) {
      ++sockets;
    } else if (file != "/dev/null") {
      ++others;
    }
  }
  EXPECT_EQ(sockets, 2U) << "its line, and what it keeps";
  EXPECT_EQ(others, 0U);
  EXPECT_EQ(::getsid(undertaker.pid()), undertaker.pid());
}

TEST(Undertaker, IsNotEndedByWhatEndsTheDaemon) {
  Pair pair = make_pair_of_ends();
  Undertaker undertaker = Undertaker::start();
  let_it_catch_up(undertaker);
  for (const int ending : {SIGTERM, SIGINT, SIGHUP, SIGPIPE}) ::kill(undertaker.pid(), ending);
  ASSERT_TRUE(undertaker.keep(1, pair.b.get()));
  let_it_catch_up(undertaker);
}

TEST(Undertaker, SaysNoOnceItIsGone) {
  Pair pair = make_pair_of_ends();
  Undertaker undertaker = Undertaker::start();
  const pid_t pid = undertaker.pid();
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(waits_for_end(pid));
  EXPECT_FALSE(undertaker.keep(1, pair.b.get()));
  EXPECT_FALSE(undertaker.keep(1, pair.b.get()));
  EXPECT_EQ(undertaker.pid(), 0);
  undertaker.drop(1);
}

TEST(Undertaker, EndsWithItsLine) {
  pid_t pid = 0;
  {
    Undertaker undertaker = Undertaker::start();
    pid = undertaker.pid();
  }
  EXPECT_TRUE(waits_for_end(pid));
}

TEST(Undertaker, NoneKeepsNothing) {
  Pair pair = make_pair_of_ends();
  Undertaker none;
  EXPECT_FALSE(none.keep(1, pair.b.get()));
  none.drop(1);
}

}  // namespace
}  // namespace vmbus::emu
