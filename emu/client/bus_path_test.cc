#include "emu/client/bus_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>

#include "emu/owned_fd.h"

namespace vmbus::client {
namespace {

using testing::HasSubstr;

class BusPathTest : public testing::Test {
 protected:
  tl::expected<BusPath, Error> resolve(std::string_view given = {}) {
    return resolve_bus_path(given, [this](const char* name) {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    });
  }
  std::string socket_or_error(std::string_view given = {}) {
    const auto bus = resolve(given);
    return bus ? bus->socket : "error: " + bus.error().explanation;
  }
  std::string temporary() const { return "/tmp/vmbus-" + std::to_string(::geteuid()) + "/bus"; }

  std::map<std::string, std::string> environment_;
};

TEST_F(BusPathTest, TheDirectoryIsWhatComesBeforeTheName) {
  EXPECT_EQ(BusPath{"/some/where/bus"}.directory(), "/some/where");
  EXPECT_EQ(BusPath{"/bus"}.directory(), "/");
}

TEST_F(BusPathTest, TheVariableComesFirstThenTheRuntimeDirectoryThenTmp) {
  EXPECT_EQ(socket_or_error(), temporary());
  environment_["XDG_RUNTIME_DIR"] = "/run/user/7";
  EXPECT_EQ(socket_or_error(), "/run/user/7/vmbus/bus");
  environment_["VMBUS_SOCKET"] = "/somewhere/else";
  EXPECT_EQ(socket_or_error(), "/somewhere/else");
  EXPECT_EQ(socket_or_error("/given/by/hand"), "/given/by/hand");
}

TEST_F(BusPathTest, EmptyVariablesAreUnset) {
  environment_ = {{"VMBUS_SOCKET", ""}, {"XDG_RUNTIME_DIR", ""}};
  EXPECT_EQ(socket_or_error(), temporary());
}

TEST_F(BusPathTest, ARelativeRuntimeDirectoryIsIgnored) {
  environment_["XDG_RUNTIME_DIR"] = "run";
  EXPECT_EQ(socket_or_error(), temporary());
}

TEST_F(BusPathTest, AGivenPathMayBeRelativeAVariableMayNot) {
  EXPECT_EQ(socket_or_error("here/bus"), std::filesystem::current_path().string() + "/here/bus");
  environment_["VMBUS_SOCKET"] = "here/bus";
  EXPECT_THAT(socket_or_error(),
              testing::AllOf(HasSubstr("VMBUS_SOCKET 'here/bus'"), HasSubstr("absolute path")));
}

TEST_F(BusPathTest, WhatCannotNameASocketIsRefused) {
  EXPECT_THAT(socket_or_error("/tmp/"), HasSubstr("'/tmp/': names a directory"));
  EXPECT_THAT(socket_or_error("/tmp/.."), HasSubstr("names a directory"));
  EXPECT_THAT(socket_or_error("/" + std::string(5000, 'x') + "/bus"),
              HasSubstr("longer than a path"));
  EXPECT_THAT(socket_or_error("/tmp/" + std::string(81, 'x')), HasSubstr("longer than 80 bytes"));
  EXPECT_EQ(resolve("/tmp/").error().code, EINVAL);
}

TEST(BusPath, NamesTheFilesBesideTheSocket) {
  const BusPath bus{"/run/vmbus/bus"};
  EXPECT_EQ(bus.directory(), "/run/vmbus");
  EXPECT_EQ(bus.lock(), "/run/vmbus/bus.lock");
  EXPECT_EQ(bus.log(), "/run/vmbus/bus.log");
}

class PrivateBusTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "vmbus-private-XXXXXX";
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string root_;
};

TEST_F(PrivateBusTest, EachIsADirectoryOfItsOwnBesideTheUsualBus) {
  const BusPath usual{root_ + "/vmbus/bus"};
  const auto first = make_private_bus(usual);
  const auto second = make_private_bus(usual);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->socket, second->socket);
  EXPECT_THAT(first->socket, testing::StartsWith(root_ + "/vmbus/private-"));
  struct stat status {};
  ASSERT_EQ(::stat(first->directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

TEST_F(PrivateBusTest, IsKnownByItsDirectory) {
  const BusPath usual{root_ + "/vmbus/bus"};
  const auto bus = make_private_bus(usual);
  ASSERT_TRUE(bus);
  EXPECT_TRUE(is_private_bus(*bus));
  EXPECT_FALSE(is_private_bus(usual));
}

TEST_F(PrivateBusTest, OneMadeFromAnotherLiesBesideIt) {
  const BusPath usual{root_ + "/vmbus/bus"};
  const auto outer = make_private_bus(usual);
  ASSERT_TRUE(outer);
  const auto inner = make_private_bus(*outer);
  ASSERT_TRUE(inner);
  EXPECT_EQ(lasting_directory(*inner), usual.directory());
  remove_private_bus(*outer);
  EXPECT_FALSE(std::filesystem::exists(outer->directory())) << "whichever goes first";
  EXPECT_TRUE(std::filesystem::exists(inner->directory()));
}

TEST_F(PrivateBusTest, WhereTheDirectoryAroundItIsNotOursAloneItIsMadeInside) {
  const auto outer = make_private_bus(BusPath{root_ + "/vmbus/bus"});
  ASSERT_TRUE(outer);
  ASSERT_EQ(::chmod((root_ + "/vmbus").c_str(), 0755), 0);
  const auto inner = make_private_bus(*outer);
  ASSERT_TRUE(inner);
  EXPECT_EQ(lasting_directory(*outer), outer->directory());
  EXPECT_THAT(inner->socket, testing::StartsWith(outer->directory() + "/private-"));
}

TEST_F(PrivateBusTest, RemovingItLeavesNothing) {
  const auto bus = make_private_bus(BusPath{root_ + "/vmbus/bus"});
  ASSERT_TRUE(bus);
  for (const std::string& path : {bus->socket, bus->lock(), bus->log()})
    ASSERT_TRUE(emu::OwnedFd(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
  remove_private_bus(*bus);
  EXPECT_FALSE(std::filesystem::exists(bus->directory()));
}

}  // namespace
}  // namespace vmbus::client
