// shim_startup LIBRARY [ROUNDS [PROGRAM]]: what preloading the shim adds to the start of a program.
//
// Runs PROGRAM (/bin/true) in pairs, without and with LD_PRELOAD, in alternating order, so that a busy machine hits
// both alike; prints the medians and their difference. Goal: at most 0.1 ms.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kDefaultRounds = 300;

// Milliseconds from spawn to exit; a negative number if the program failed.
double run_once(const char* program, char* const* variables) {
  char* const arguments[] = {const_cast<char*>(program), nullptr};
  const auto start = Clock::now();
  pid_t child = 0;
  int status = 0;
  if (posix_spawn(&child, program, nullptr, nullptr, arguments, variables) != 0) return -1;
  if (waitpid(child, &status, 0) != child || status != 0) return -1;
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<char*> environment_without_preload() {
  std::vector<char*> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "LD_PRELOAD=", 11) != 0) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  return variables;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: shim_startup LIBRARY [ROUNDS [PROGRAM]]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : kDefaultRounds;
  const char* program = argc > 3 ? argv[3] : "/bin/true";

  std::vector<char*> plain = environment_without_preload();
  std::vector<char*> preloaded = plain;
  std::string preload = std::string("LD_PRELOAD=") + argv[1];
  preloaded.insert(preloaded.begin(), preload.data());

  std::vector<double> without;
  std::vector<double> with;
  for (int round = 0; round < rounds; ++round) {
    const bool plain_first = round % 2 == 0;
    for (const bool now_plain : {plain_first, !plain_first}) {
      const double milliseconds = run_once(program, (now_plain ? plain : preloaded).data());
      if (milliseconds < 0) {
        std::fprintf(stderr, "shim_startup: %s failed\n", program);
        return 1;
      }
      (now_plain ? without : with).push_back(milliseconds);
    }
  }
  const double base = median(without);
  const double shim = median(with);
  std::printf("%s, median of %d: %.3f ms alone, %.3f ms with the shim, difference %.3f ms\n",
              program, rounds, base, shim, shim - base);
  return 0;
}
