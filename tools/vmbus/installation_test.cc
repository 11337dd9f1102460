#include "tools/vmbus/installation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace vmbus::tools {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class InstallationTest : public testing::Test {
 protected:
  InstallationTest() {
    std::string folder = fs::temp_directory_path() / "installation.XXXXXX";
    root_ = ::mkdtemp(folder.data());
  }
  ~InstallationTest() override { fs::remove_all(root_); }

  void make(const std::string& file) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << "x";
  }

  fs::path root_;
};

TEST_F(InstallationTest, PartsLieBesideTheProgram) {
  make("lib/vmbus/libvmbus_shim.so");
  make("lib/vmbus/python/site/sitecustomize.py");
  const auto found = find_installation(root_ / "bin/vmbus");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->shim, root_ / "lib/vmbus/libvmbus_shim.so");
  EXPECT_EQ(found->python_site, root_ / "lib/vmbus/python/site");
}

TEST_F(InstallationTest, AMissingPartIsNamed) {
  make("lib/vmbus/libvmbus_shim.so");
  const auto found = find_installation(root_ / "bin/vmbus");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().exit_status, kExitRunFailed);
  EXPECT_THAT(found.error().message, HasSubstr("lib/vmbus/python/site is missing"));
}

TEST_F(InstallationTest, AnOrdinaryPathIsPreloadedAsItIs) {
  const auto library = preloadable("/lib/shim.so", root_);
  ASSERT_TRUE(library);
  EXPECT_EQ(*library, "/lib/shim.so");
}

TEST_F(InstallationTest, APathWithSeparatorsGetsALink) {
  make("my tree: x/shim.so");
  const std::string library = root_ / "my tree: x/shim.so";
  const auto link = preloadable(library, root_);
  ASSERT_TRUE(link);
  EXPECT_EQ(link->find_first_of(" :"), std::string::npos);
  EXPECT_EQ(fs::read_symlink(*link), library);
}

TEST_F(InstallationTest, ALinkThatIsThereIsReplaced) {
  make("my tree/shim.so");
  const std::string library = root_ / "my tree/shim.so";
  const auto first = preloadable(library, root_);
  ASSERT_TRUE(first);
  const auto second = preloadable(library, root_);
  ASSERT_TRUE(second);
  EXPECT_EQ(*second, *first);
  EXPECT_EQ(fs::read_symlink(*second), library);
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), {}), 2);  // the tree and one link
}

TEST_F(InstallationTest, AFolderWithSeparatorsCannotHoldTheLink) {
  const auto link = preloadable("/my tree/shim.so", "/tmp/my bus");
  ASSERT_FALSE(link);
  EXPECT_THAT(link.error().message, HasSubstr("set VMBUS_SOCKET"));
}

TEST_F(InstallationTest, APythonFolderIsListedAsItIsUnlessItHasAColon) {
  EXPECT_EQ(*importable("/my tree/python/site", root_), "/my tree/python/site");
  make("co:lon/python/site/sitecustomize.py");
  make("co:lon/python/package/module.py");
  const auto site = importable(root_ / "co:lon/python/site", root_);
  ASSERT_TRUE(site);
  EXPECT_EQ(site->find(':'), std::string::npos);
  EXPECT_TRUE(fs::exists(*site + "/sitecustomize.py"));
  EXPECT_TRUE(fs::exists(fs::path(*site).parent_path() / "package/module.py"));
  EXPECT_FALSE(importable("/co:lon/site", "/tmp/co:lon"));
}

TEST_F(InstallationTest, ALinkThatCannotBeMadeIsAnError) {
  const auto link = preloadable("/my tree/shim.so", root_ / "missing");
  ASSERT_FALSE(link);
  EXPECT_THAT(link.error().message, HasSubstr("cannot make"));
}

}  // namespace
}  // namespace vmbus::tools
