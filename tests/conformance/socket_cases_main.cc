// socket_cases: the numbered cases of the socket conformance list, in one setup a run.
//
//   socket_cases --setup strict [--gtest_filter='Bind.*']
//   socket_cases --setups          the names
//
// It starts itself again under the guard and `vmbus run --private` as the setup wants, and before
// any case it makes sure of both: no AF_VSOCK socket is ever the kernel's.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/conformance/peer.h"
#include "tests/conformance/setup.h"

namespace vmbus::cases {
namespace {

constexpr int kWrongUse = 2;
constexpr char kInside[] = "--inside";

int print_setups() {
  for (const SetupRow& row : all_setups()) std::printf("%s\n", std::string(row.name).c_str());
  return 0;
}

// Our other programs are beside this one.
std::string sibling(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// Returns only if it cannot.
int start_inside(const SetupRow& row, int argc, char** argv) {
  std::vector<std::string> words{sibling("novsock")};
  if (!row.arguments.empty()) {
    words.insert(words.end(), {sibling("vmbus"), "run", "--private"});
    words.insert(words.end(), row.arguments.begin(), row.arguments.end());
    words.emplace_back("--");
  }
  words.insert(words.end(), {std::filesystem::read_symlink("/proc/self/exe"), kInside});
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  std::perror(arguments[0]);
  return kWrongUse;
}

bool is_guarded() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Seccomp:") && line.ends_with('2')) return true;
  }
  return false;
}

// Under the guard the kernel refuses the family, so a socket can only be the shim's.
bool is_under_shim() { return Socket(::socket(AF_VSOCK, SOCK_STREAM, 0)).fd() >= 0; }

class CaseTest : public testing::Test {
 public:
  explicit CaseTest(const Case& tested) : case_(tested) {}
  void TestBody() override {
    SCOPED_TRACE(case_.title);
    case_.body();
  }

 private:
  const Case& case_;
};

std::string test_name(const Case& tested) {
  char name[16];
  std::snprintf(name, sizeof name, "Case%03d", tested.number);
  return name;
}

int run_cases(const SetupRow& row, int argc, char** argv) {
  const bool is_plain = row.arguments.empty();
  if (!is_guarded() || is_under_shim() == is_plain) {
    std::fprintf(stderr, "socket_cases: this is not the guarded setup '%s'\n", argv[0]);
    return kWrongUse;
  }
  choose_setup(row.setup);
  testing::InitGoogleTest(&argc, argv);
  for (const Case& tested : all_cases()) {
    const bool can_run = (tested.setups & kNeedsRing) == 0 || works_rings();
    if ((tested.setups & row.setup) == 0 || !can_run) continue;
    testing::RegisterTest(tested.section, test_name(tested).c_str(), nullptr, nullptr, tested.file,
                          tested.line, [&tested] { return new CaseTest(tested); });
  }
  return RUN_ALL_TESTS();
}

int main_of(int argc, char** argv) {
  int next = 1;
  const bool is_inside = argc > next && std::strcmp(argv[next], kInside) == 0;
  next += is_inside ? 1 : 0;
  if (argc == next + 2 && std::strcmp(argv[next], "--peer") == 0)
    return serve_as_peer(std::atoi(argv[next + 1]));
  if (argc == next + 1 && std::strcmp(argv[next], "--setups") == 0) return print_setups();
  const SetupRow* row = nullptr;
  if (argc > next + 1 && std::strcmp(argv[next], "--setup") == 0) row = find_setup(argv[next + 1]);
  if (row == nullptr) {
    std::fprintf(stderr, "usage: socket_cases --setup NAME [GTEST OPTIONS], or --setups\n");
    return kWrongUse;
  }
  if (!is_inside) return start_inside(*row, argc, argv);
  return run_cases(*row, argc - next - 1, argv + next + 1);
}

}  // namespace
}  // namespace vmbus::cases

int main(int argc, char** argv) { return vmbus::cases::main_of(argc, argv); }
