#include "emu/bus_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "emu/client/bus_lock.h"
#include "emu/client/unix_socket.h"

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using LockHolder = BusDirectory::LockHolder;

class BusDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "vmbus-directory-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    bus_.socket = root_ + "/bus";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  bool socket_exists() const { return std::filesystem::exists(bus_.socket); }
  // "" when the claim succeeds.
  std::string claim_error() {
    const auto claimed = BusDirectory::claim(bus_, LockHolder::kUs);
    return claimed ? "" : claimed.error();
  }

  std::string root_;
  client::BusPath bus_;
};

TEST_F(BusDirectoryTest, ListensWhereItWasTold) {
  const auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory) << directory.error();
  EXPECT_TRUE(client::connect_unix(bus_.socket, 0));
}

TEST_F(BusDirectoryTest, TheLockIsFreeAgainOnceItListens) {
  const auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory);
  EXPECT_TRUE(client::lock_bus(bus_, 0ms));
}

TEST_F(BusDirectoryTest, RemovesItsSocketWhenItGoes) {
  { const auto directory = BusDirectory::claim(bus_, LockHolder::kUs); }
  EXPECT_FALSE(socket_exists());
}

TEST_F(BusDirectoryTest, APrivateBusGoesWithItsDirectory) {
  const auto bus = client::make_private_bus(bus_);
  ASSERT_TRUE(bus);
  { const auto directory = BusDirectory::claim(*bus, LockHolder::kUs); }
  EXPECT_FALSE(std::filesystem::exists(bus->directory()));
}

TEST_F(BusDirectoryTest, ReplacesADeadSocket) {
  {
    const OwnedFd dead(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(client::bind_unix(dead.get(), bus_.socket), 0);
  }
  ASSERT_TRUE(socket_exists());
  EXPECT_EQ(claim_error(), "");
}

TEST_F(BusDirectoryTest, ASecondDaemonIsToldWhoListensAndWhatToDo) {
  const auto first = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(first);
  const std::string error = claim_error();
  EXPECT_THAT(error, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_THAT(error, HasSubstr("vmbus stop"));
  EXPECT_TRUE(client::connect_unix(bus_.socket, 0)) << "the first one is untouched";
}

TEST_F(BusDirectoryTest, AnythingElseAtThePathIsLeftAlone) {
  const OwnedFd file(::open(bus_.socket.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_THAT(claim_error(), HasSubstr("is no socket"));
  EXPECT_TRUE(socket_exists());
}

TEST_F(BusDirectoryTest, AListenerOfAnotherKindIsLeftAlone) {
  const OwnedFd other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(client::bind_unix(other.get(), bus_.socket), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  EXPECT_THAT(claim_error(), HasSubstr("something else uses"));
  EXPECT_TRUE(socket_exists());
}

TEST_F(BusDirectoryTest, AnOpenDirectoryIsRefused) {
  ASSERT_EQ(::chmod(root_.c_str(), 0777), 0);
  EXPECT_THAT(claim_error(), HasSubstr("chmod 700"));
}

TEST_F(BusDirectoryTest, AStarterMayHoldTheLockForUs) {
  const auto lock = client::lock_bus(bus_, 0ms);
  ASSERT_TRUE(lock);
  EXPECT_TRUE(BusDirectory::claim(bus_, LockHolder::kStarter));
}

// ---- leaving -------------------------------------------------------------------------------------

TEST_F(BusDirectoryTest, LeavesWhenNobodyComes) {
  auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory);
  EXPECT_TRUE(directory->leave_if_unused());
  EXPECT_FALSE(socket_exists());
}

TEST_F(BusDirectoryTest, StaysForAConnectionThatWaitsInTheQueue) {
  auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory);
  const auto waiting = client::connect_unix(bus_.socket, 0);
  ASSERT_TRUE(waiting);
  EXPECT_FALSE(directory->leave_if_unused());
  EXPECT_TRUE(client::connect_unix(bus_.socket, 0));
}

TEST_F(BusDirectoryTest, StaysWhileAStarterHoldsTheLock) {
  auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory);
  auto starter = client::lock_bus(bus_, 0ms);
  ASSERT_TRUE(starter);
  EXPECT_FALSE(directory->leave_if_unused());
  EXPECT_TRUE(socket_exists());
  starter->reset();
  EXPECT_TRUE(directory->leave_if_unused());
}

TEST_F(BusDirectoryTest, LeavesWhereTheLockCannotBeHad) {
  auto directory = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(directory);
  std::filesystem::remove_all(root_);
  EXPECT_TRUE(directory->leave_if_unused());
}

TEST_F(BusDirectoryTest, DoesNotRemoveTheSocketOfItsSuccessor) {
  auto first = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(first);
  std::filesystem::remove(bus_.socket);  // by hand
  const auto second = BusDirectory::claim(bus_, LockHolder::kUs);
  ASSERT_TRUE(second);
  first->leave();
  EXPECT_TRUE(client::connect_unix(bus_.socket, 0));
}

}  // namespace
}  // namespace vmbus::emu
