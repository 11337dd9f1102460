#include "emu/client/bus_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <thread>

namespace vmbus::client {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class BusLockTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "vmbus-lock-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    bus_ = BusPath{root_ + "/vmbus/bus"};
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string root_;
  BusPath bus_;
};

TEST_F(BusLockTest, MakesTheDirectoryForUsAlone) {
  ASSERT_TRUE(open_bus_directory(bus_));
  struct stat status {};
  ASSERT_EQ(::stat(bus_.directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  EXPECT_TRUE(open_bus_directory(bus_)) << "and takes it again";
}

TEST_F(BusLockTest, ADirectoryThatOthersMayEnterIsRefusedWithTheRemedy) {
  ASSERT_EQ(::mkdir(bus_.directory().c_str(), 0700), 0);
  ASSERT_EQ(::chmod(bus_.directory().c_str(), 0755), 0);
  const auto opened = open_bus_directory(bus_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, EACCES);
  EXPECT_THAT(opened.error().explanation, HasSubstr("mode 755"));
  EXPECT_THAT(opened.error().explanation, HasSubstr("chmod 700 " + bus_.directory()));
}

TEST_F(BusLockTest, ALinkIsRefused) {
  ASSERT_EQ(::mkdir((root_ + "/real").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("real", bus_.directory().c_str()), 0);
  const auto opened = open_bus_directory(bus_);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().explanation, HasSubstr("not a link"));
}

TEST_F(BusLockTest, AFileIsRefused) {
  ASSERT_EQ(::mknod(bus_.directory().c_str(), S_IFREG | 0600, 0), 0);
  const auto opened = open_bus_directory(bus_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ENOTDIR);
}

TEST_F(BusLockTest, AnotherUsersDirectoryIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  ASSERT_EQ(::mkdir(bus_.directory().c_str(), 0700), 0);
  ASSERT_EQ(::chown(bus_.directory().c_str(), 12345, 12345), 0);
  const auto opened = open_bus_directory(bus_);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().explanation, HasSubstr("another user (uid 12345)"));
}

TEST_F(BusLockTest, AMissingParentIsNamed) {
  const auto opened = open_bus_directory(BusPath{root_ + "/no/such/bus"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ENOENT);
  EXPECT_THAT(opened.error().explanation, HasSubstr(root_ + "/no/such"));
}

TEST_F(BusLockTest, OneHolderAtATime) {
  ASSERT_TRUE(open_bus_directory(bus_));
  auto first = lock_bus(bus_, 0ms);
  ASSERT_TRUE(first);
  const auto second = lock_bus(bus_, 20ms);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EWOULDBLOCK);
  first->reset();
  EXPECT_TRUE(lock_bus(bus_, 0ms));
}

TEST_F(BusLockTest, WhoWaitsGetsItWhenTheHolderLetsGo) {
  ASSERT_TRUE(open_bus_directory(bus_));
  auto held = lock_bus(bus_, 0ms);
  ASSERT_TRUE(held);
  bool got_it = false;
  std::thread waiter([&] { got_it = lock_bus(bus_, 60s).has_value(); });
  held->reset();
  waiter.join();
  EXPECT_TRUE(got_it);
}

TEST_F(BusLockTest, WithoutADirectoryThereIsNoLock) {
  const auto lock = lock_bus(bus_, 0ms);
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code, ENOENT);
}

}  // namespace
}  // namespace vmbus::client
