#include "tests/conformance/vmbus_command.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "tests/conformance/case.h"

namespace vmbus::cases {

int vmbus(std::vector<std::string> arguments) {
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "vmbus";
  arguments.insert(arguments.begin(), program);
  std::vector<char*> words;
  for (std::string& word : arguments) words.push_back(word.data());
  words.push_back(nullptr);
  pid_t child = -1;
  if (::posix_spawn(&child, program.c_str(), nullptr, nullptr, words.data(), environ) != 0)
    return -1;
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

const char* guest_name() { return in(kFreeBsd) ? "beastie" : "guest"; }

Pause::Pause() : paused_(vmbus({"vm", "pause", guest_name()}) == 0) { EXPECT_TRUE(paused_); }

void Pause::resume() {
  if (!std::exchange(paused_, false)) return;
  EXPECT_EQ(vmbus({"vm", "resume", guest_name()}), 0);
}

}  // namespace vmbus::cases
