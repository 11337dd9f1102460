#include "tools/vmbus/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/vmbus/elf_file.h"

namespace vmbus::tools {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string folder = fs::temp_directory_path() / "program.XXXXXX";
    root_ = ::mkdtemp(folder.data());
  }
  ~ProgramTest() override { fs::remove_all(root_); }

  std::string make(const std::string& name, const std::string& content, mode_t mode = 0755) const {
    const std::string path = root_ / name;
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }

  fs::path root_;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

TEST_F(ProgramTest, ADynamicProgramIsReached) {
  const Program program = inspect_program(VMBUS_DYNAMIC_PROGRAM);
  EXPECT_EQ(program.preload, Preload::kReaches);
  EXPECT_EQ(preload_warning(program), "");
}

TEST_F(ProgramTest, AStaticProgramIsNotReached) {
  const Program program = inspect_program(VMBUS_STATIC_PROGRAM);
  EXPECT_EQ(program.preload, Preload::kStatic);
  EXPECT_THAT(preload_warning(program), HasSubstr("is linked statically"));
}

TEST_F(ProgramTest, AnotherWordSizeIsNotReached) {
  std::string content = content_of(VMBUS_DYNAMIC_PROGRAM);
  content[4] = 1;  // EI_CLASS: 32 bits
  const Program program = inspect_program(make("p32", content));
  EXPECT_EQ(program.preload, Preload::kOtherMachine);
  EXPECT_THAT(preload_warning(program), HasSubstr("another processor or word size"));
}

TEST_F(ProgramTest, AProgramThatGainsRightsIsNotReached) {
  const std::string path = make("setgid", content_of(VMBUS_DYNAMIC_PROGRAM));
  if (::getegid() != 0 || ::chown(path.c_str(), ::geteuid() + 1, static_cast<gid_t>(-1)) != 0) {
    GTEST_SKIP() << "only root can make another user's set-user-ID program";
  }
  ASSERT_EQ(::chmod(path.c_str(), 04755), 0);
  const Program program = inspect_program(path);
  EXPECT_EQ(program.preload, Preload::kPrivileged);
  EXPECT_THAT(preload_warning(program), HasSubstr("gains rights when it starts"));
}

TEST_F(ProgramTest, SetUserIdToOurselvesGainsNothing) {
  EXPECT_EQ(inspect_program(make("own", content_of(VMBUS_DYNAMIC_PROGRAM), 04755)).preload,
            Preload::kReaches);
}

TEST_F(ProgramTest, AScriptIsJudgedByItsInterpreter) {
  const std::string inner = make("inner", std::string("#! ") + VMBUS_STATIC_PROGRAM + " -x\n");
  const Program program = inspect_program(make("outer", "#!" + inner + "\n"));
  EXPECT_EQ(program.path, VMBUS_STATIC_PROGRAM);
  EXPECT_EQ(program.preload, Preload::kStatic);
}

TEST_F(ProgramTest, ScriptsThatNameEachOtherEnd) {
  const std::string path = root_ / "self";
  EXPECT_EQ(inspect_program(make("self", "#!" + path + "\n")).preload, Preload::kReaches);
}

TEST_F(ProgramTest, WhatIsNoProgramIsLeftToExec) {
  EXPECT_EQ(inspect_program(make("text", "hello")).preload, Preload::kReaches);
  EXPECT_EQ(inspect_program(make("empty", "")).preload, Preload::kReaches);
  EXPECT_EQ(inspect_program(root_).preload, Preload::kReaches);
  EXPECT_EQ(inspect_program(root_ / "missing").preload, Preload::kReaches);
}

TEST_F(ProgramTest, FindsTheSanitizerRuntime) {
#ifdef VMBUS_ASAN_PROGRAM
  EXPECT_THAT(inspect_program(VMBUS_ASAN_PROGRAM).sanitizer, StartsWith("libasan.so"));
  EXPECT_EQ(inspect_program(VMBUS_STATIC_PROGRAM).sanitizer, "");
#else
  GTEST_SKIP() << "this compiler links the runtime into the program";
#endif
}

TEST_F(ProgramTest, ADamagedFileIsReadWithinItsBounds) {
  const std::string whole = content_of(VMBUS_DYNAMIC_PROGRAM);
  for (const std::size_t bytes : {4UL, 5UL, 63UL, 64UL, 100UL, 600UL, 4096UL}) {
    const std::string cut = whole.substr(0, bytes);
    const ElfFile file(cut);
    EXPECT_TRUE(file.is_elf());
    EXPECT_EQ(file.is_native(), bytes >= 64) << bytes;
    EXPECT_TRUE(file.needed().empty()) << bytes;
  }
  std::string wild = whole;
  for (std::size_t i = 32; i < 40; ++i) wild[i] = '\xff';  // e_phoff
  EXPECT_FALSE(ElfFile(wild).has_interpreter());
}

TEST_F(ProgramTest, FindsProgramsAsExecvpDoes) {
  const std::string tool = make("tool", "x");
  make("data", "x", 0644);
  const std::string path = "/nonexistent:" + root_.string();
  EXPECT_EQ(find_program("tool", path.c_str()), tool);
  EXPECT_EQ(find_program("data", path.c_str()), std::nullopt);
  EXPECT_EQ(find_program("tool", ""), std::nullopt);
  EXPECT_EQ(find_program("./tool", "/nonexistent"), "./tool");
  EXPECT_EQ(find_program("sh", nullptr), "/bin/sh");
}

}  // namespace
}  // namespace vmbus::tools
