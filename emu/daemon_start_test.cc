// The real vmbusd, started by hand and by tools: who waits for what, and what is said when it fails.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "emu/client/bus_lock.h"
#include "emu/client/start.h"
#include "emu/owned_fd.h"

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;
using client::Connection;
using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

struct Outcome {
  int status = -1;
  std::string output;  // both streams, to their end
};

// Runs `command` with a shell; returns when nobody holds its output open any more.
Outcome run(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return {};
  Outcome outcome;
  std::array<char, 512> buffer{};
  while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr)
    outcome.output += buffer.data();
  const int status = ::pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

// Whether the process ends within ten seconds.
bool ends(std::uint32_t pid) {
  const OwnedFd process(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
  if (!process) return errno == ESRCH;
  pollfd wanted{process.get(), POLLIN, 0};
  return ::poll(&wanted, 1, 10'000) == 1;
}

class DaemonStartTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "vmbus-start-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    bus_.socket = root_ + "/bus";
    ASSERT_EQ(::setenv("VMBUS_DAEMON", VMBUSD_PATH, 1), 0);
  }
  void TearDown() override {
    stop();
    std::filesystem::remove_all(root_);
  }

  // Ends the daemon, if one listens.
  void stop() {
    auto connection = client::connect(bus_, "test");
    if (!connection) return;
    control::Request request;
    request.mutable_stop();
    EXPECT_TRUE(connection->request(request));
    EXPECT_TRUE(ends(connection->welcome().daemon_pid()));
  }
  tl::expected<Connection, client::Error> start(const client::StartOptions& options = {}) {
    return client::connect_or_start(bus_, options);
  }
  // The error of a start that must fail.
  client::Error failure(const client::StartOptions& options = {}) {
    const auto connection = start(options);
    if (connection) ADD_FAILURE() << "it started";
    return connection ? client::Error{} : connection.error();
  }
  std::string vmbusd(const std::string& arguments) const {
    return std::string(VMBUSD_PATH) + " --socket " + bus_.socket + " " + arguments;
  }
  // A program that stands in for vmbusd.
  void use_daemon_script(const std::string& script) {
    const std::string path = root_ + "/script";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ASSERT_EQ(::chmod(path.c_str(), 0700), 0);
    ::setenv("VMBUS_DAEMON", path.c_str(), 1);
  }

  std::string root_;
  client::BusPath bus_;
};

// ---- by a tool -----------------------------------------------------------------------------------

TEST_F(DaemonStartTest, AToolStartsADaemonAndTheNextOneFindsIt) {
  const auto first = start();
  ASSERT_TRUE(first) << first.error().explanation;
  const auto second = start();
  ASSERT_TRUE(second);
  EXPECT_EQ(first->welcome().bus_id(), second->welcome().bus_id());
}

TEST_F(DaemonStartTest, OfManyAtOnceOneStartsIt) {
  std::array<std::uint64_t, 8> ids{};
  {
    std::vector<std::thread> threads;
    threads.reserve(ids.size());
    for (std::uint64_t& id : ids) {
      threads.emplace_back([this, &id] {
        if (const auto connection = start({.leave_when_idle = false}))
          id = connection->welcome().bus_id();
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(std::set<std::uint64_t>(ids.begin(), ids.end()).size(), 1U);
  EXPECT_NE(ids[0], 0U);
}

TEST_F(DaemonStartTest, ItLeavesWithItsLastUserAndTakesItsSocketAlong) {
  auto connection = start();
  ASSERT_TRUE(connection);
  const std::uint32_t pid = connection->welcome().daemon_pid();
  { const Connection closed = std::move(*connection); }
  EXPECT_TRUE(ends(pid));
  EXPECT_FALSE(std::filesystem::exists(bus_.socket));
}

TEST_F(DaemonStartTest, AfterItHasLeftTheNextToolStartsAnother) {
  std::uint64_t first_id = 0;
  {
    const auto connection = start();
    ASSERT_TRUE(connection);
    first_id = connection->welcome().bus_id();
  }
  const auto connection = start();  // maybe while the first one is leaving
  ASSERT_TRUE(connection) << connection.error().explanation;
  EXPECT_TRUE(connection->welcome().bus_id() != 0 && first_id != 0);
}

TEST_F(DaemonStartTest, ADeadSocketIsReplaced) {
  {
    const auto connection = start();
    ASSERT_TRUE(connection);
    const auto pid = connection->welcome().daemon_pid();
    ASSERT_EQ(::kill(static_cast<pid_t>(pid), SIGKILL), 0);
    ASSERT_TRUE(ends(pid));
  }
  ASSERT_TRUE(std::filesystem::exists(bus_.socket));
  EXPECT_TRUE(start());
}

TEST_F(DaemonStartTest, TheDaemonsOwnWordsSayWhyItFailed) {
  const client::Error error = failure({.arguments = {"--vm", "host"}});
  EXPECT_THAT(error.explanation,
              AllOf(HasSubstr("did not start"), HasSubstr("bad guest name 'host'")));
}

TEST_F(DaemonStartTest, AProgramThatIsNoDaemonIsNamed) {
  use_daemon_script("exit 0");
  EXPECT_THAT(failure().explanation,
              AllOf(HasSubstr("/script"), HasSubstr("ended without a word")));
  ::setenv("VMBUS_DAEMON", "/no/such/program", 1);
  EXPECT_THAT(failure().explanation, HasSubstr("VMBUS_DAEMON '/no/such/program'"));
}

TEST_F(DaemonStartTest, ADaemonThatHangsIsGivenUp) {
  use_daemon_script("kill -STOP $$");
  EXPECT_THAT(failure({.patience = 100ms}).explanation, HasSubstr("not ready after 100 ms"));
}

TEST_F(DaemonStartTest, ADirectoryThatIsNotOursAloneIsRefusedBeforeAnythingStarts) {
  ASSERT_EQ(::chmod(root_.c_str(), 0755), 0);
  EXPECT_THAT(failure().explanation, HasSubstr("chmod 700"));
}

TEST_F(DaemonStartTest, WhileAnotherStarterHoldsTheLockOneWaitsOnlySoLong) {
  const auto lock = client::lock_bus(bus_, 0ms);
  ASSERT_TRUE(lock);
  const client::Error error = failure({.patience = 50ms});
  EXPECT_EQ(error.code, EWOULDBLOCK);
}

TEST_F(DaemonStartTest, TheDaemonInheritsNothingOfItsStarter) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);  // not close-on-exec
  const OwnedFd read_end(pipe[0]);
  OwnedFd write_end(pipe[1]);
  ::setenv("LD_PRELOAD", "", 1);
  const auto connection = start();
  ::unsetenv("LD_PRELOAD");
  ASSERT_TRUE(connection);
  write_end.reset();
  pollfd wanted{read_end.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wanted, 1, 0), 1) << "the daemon holds the pipe";
  std::ifstream environment("/proc/" + std::to_string(connection->welcome().daemon_pid()) +
                            "/environ");
  const std::string variables{std::istreambuf_iterator<char>(environment), {}};
  EXPECT_THAT(variables, testing::Not(HasSubstr("LD_PRELOAD")));
}

// ---- by hand -------------------------------------------------------------------------------------

TEST_F(DaemonStartTest, ByHandItSaysWhereItListensAndGoesToTheBackground) {
  const Outcome outcome = run(vmbusd(""));
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.output,
              MatchesRegex("vmbusd: listening on " + bus_.socket + " \\(pid [0-9]+\\)\n"));
  const auto connection = client::connect(bus_, "test");
  ASSERT_TRUE(connection) << "it listens before the command returns";
  EXPECT_THAT(outcome.output, HasSubstr(std::to_string(connection->welcome().daemon_pid())));
  EXPECT_TRUE(std::filesystem::exists(bus_.log()));
}

TEST_F(DaemonStartTest, ASecondDaemonSaysWhoIsThereAndFails) {
  ASSERT_EQ(run(vmbusd("")).status, 0);
  for (const char* way : {"", "--foreground"}) {
    const Outcome second = run(vmbusd(way));
    EXPECT_EQ(second.status, 1);
    EXPECT_THAT(second.output, AllOf(HasSubstr("another vmbusd (pid "), HasSubstr(bus_.socket)));
  }
  EXPECT_TRUE(client::connect(bus_, "test")) << "the first one goes on";
}

TEST_F(DaemonStartTest, InTheForegroundATerminationSignalStopsItInOrder) {
  for (const int signal : {SIGINT, SIGTERM}) {
    std::array<int, 2> ends_of_pipe{};
    ASSERT_EQ(::pipe2(ends_of_pipe.data(), O_CLOEXEC), 0);
    const OwnedFd read_end(ends_of_pipe[0]);
    OwnedFd write_end(ends_of_pipe[1]);
    const pid_t daemon = ::fork();
    if (daemon == 0) {
      ::dup2(write_end.get(), STDOUT_FILENO);
      ::execl(VMBUSD_PATH, "vmbusd", "--foreground", "--socket", bus_.socket.c_str(), nullptr);
      ::_exit(127);
    }
    write_end.reset();
    std::array<char, 512> line{};
    ASSERT_GT(::read(read_end.get(), line.data(), line.size()), 0);
    EXPECT_EQ(std::string(line.data()), "vmbusd: listening on " + bus_.socket + "\n");
    ASSERT_EQ(::kill(daemon, signal), 0);
    int status = -1;
    ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
    EXPECT_EQ(status, 0);
    EXPECT_FALSE(std::filesystem::exists(bus_.socket));
  }
}

TEST_F(DaemonStartTest, ABadValueIsStatusTwo) {
  const Outcome outcome = run(vmbusd("--loop kqueue"));
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.output, HasSubstr("--loop 'kqueue'"));
}

}  // namespace
}  // namespace vmbus::emu
