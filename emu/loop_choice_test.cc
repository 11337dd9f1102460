// Which back end the event loop takes, where io_uring is refused too.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string>

#include "emu/event_loop.h"
#include "emu/log.h"
#include "emu/owned_fd.h"

namespace vmbus::emu {
namespace {

TEST(LoopChoice, EveryNameParses) {
  EXPECT_EQ(parse_loop_choice("auto"), LoopChoice::kAuto);
  EXPECT_EQ(parse_loop_choice("io_uring"), LoopChoice::kIoUring);
  EXPECT_EQ(parse_loop_choice("epoll"), LoopChoice::kEpoll);
  EXPECT_EQ(parse_loop_choice("kqueue"), std::nullopt);
}

// From here on in this process, io_uring_setup() fails with `error`, as in a container.
bool refuse_io_uring(int error) {
  std::array<sock_filter, 4> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{program.size(), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

struct Choosing {
  bool made = false;
  std::string text;  // back end and reason, or the error
};

// What create() does where io_uring fails with `error`; tried in a child, for a filter is for life.
Choosing choose_without_io_uring(LoopChoice choice, int error) {
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe(pipe.data()), 0);
  const OwnedFd read_end(pipe[0]);
  OwnedFd write_end(pipe[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!refuse_io_uring(error)) ::_exit(2);
    const auto loop = EventLoop::create(choice);
    const std::string text =
        loop ? fmt::format("{}: {}", (*loop)->name(), (*loop)->reason()) : loop.error();
    const bool written = ::write(write_end.get(), text.data(), text.size()) > 0;
    ::_exit(written && loop ? 0 : 1);
  }
  write_end.reset();
  std::array<char, 512> buffer{};
  const ssize_t count = ::read(read_end.get(), buffer.data(), buffer.size());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_GE(count, 0);
  return {status == 0,
          std::string(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)))};
}

TEST(LoopChoice, AutoTakesEpollWhereIoUringIsRefusedAndSaysWhy) {
  for (const int error : {EPERM, ENOSYS, EINVAL}) {
    const Choosing chosen = choose_without_io_uring(LoopChoice::kAuto, error);
    EXPECT_TRUE(chosen.made);
    EXPECT_EQ(chosen.text, "epoll: io_uring is refused here: " + errno_text(error));
  }
}

TEST(LoopChoice, AutoDoesNotHideOtherFailures) {
  for (const int error : {ENOMEM, EMFILE}) {
    const Choosing chosen = choose_without_io_uring(LoopChoice::kAuto, error);
    EXPECT_FALSE(chosen.made);
    EXPECT_EQ(chosen.text, "cannot set up the event loop: " + errno_text(error));
  }
}

TEST(LoopChoice, AskingForARefusedBackEndIsAnError) {
  const Choosing chosen = choose_without_io_uring(LoopChoice::kIoUring, EPERM);
  EXPECT_FALSE(chosen.made);
  EXPECT_EQ(chosen.text, "cannot set up the event loop: Operation not permitted; try --loop epoll");
}

}  // namespace
}  // namespace vmbus::emu
