#include "tests/conformance/setup.h"

#include <algorithm>

namespace vmbus::cases {
namespace {

Setup g_setup = kDefault;

std::vector<Case>& registry() {
  static std::vector<Case> cases;
  return cases;
}

std::vector<std::string> as_guest(const char* profile, std::vector<std::string> quirks = {}) {
  std::vector<std::string> arguments{"--as", "guest", "--profile", profile};
  for (std::string& quirk : quirks) {
    arguments.emplace_back("--quirk");
    arguments.push_back(std::move(quirk));
  }
  return arguments;
}

std::vector<std::string> as_host(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--as", "host"});
  return arguments;
}

std::vector<std::string> with_services(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--services", VMBUS_CASE_SERVICES});
  return arguments;
}

}  // namespace

const std::vector<SetupRow>& all_setups() {
  static const std::vector<SetupRow> rows{
      {kDefault, "default", as_guest("default")},
      {kStrict, "strict", as_guest("strict")},
      {kLoopback, "loopback", as_guest("strict", {"loopback=on"})},
      {kVirtio, "virtio", as_guest("virtio")},
      {kFreeBsd,
       "freebsd",
       {"--vm", "beastie,cid=7,flavour=freebsd", "--as", "beastie", "--profile", "freebsd"}},
      {kWindows, "windows",
       as_host({"--vm", "guest", "--vm", "wsl,flavour=wsl,id=5e1f0000-0000-4000-8000-000000000001",
                "--profile", "windows"})},
      {kLinux5_4, "linux-5.4", as_guest("strict", {"vintage=5.4"})},
      {kLinux5_14, "linux-5.14", as_guest("strict", {"vintage=5.14"})},
      {kLinux6_12, "linux-6.12", as_guest("strict", {"vintage=6.12"})},
      {kLinux6_16, "linux-6.16", as_guest("strict", {"vintage=6.16"})},
      {kLinux2026, "linux-2026", as_guest("strict", {"vintage=2026"})},
      {kStrictListed, "strict-listed", with_services(as_guest("strict"))},
      {kWindowsListed, "windows-listed",
       with_services(as_host({"--vm", "guest", "--vm",
                              "wsl,flavour=wsl,id=5e1f0000-0000-4000-8000-000000000001",
                              "--profile", "windows"}))},
      {kTcp, "tcp", {}},
      {kUnix, "unix", {}},
  };
  return rows;
}

const SetupRow* find_setup(std::string_view name) {
  const auto found = std::ranges::find(all_setups(), name, &SetupRow::name);
  return found == all_setups().end() ? nullptr : &*found;
}

Setup setup() { return g_setup; }
void choose_setup(Setup chosen) { g_setup = chosen; }

std::span<const Case> all_cases() { return registry(); }

bool add_case(const Case& added) {
  registry().push_back(added);
  return true;
}

}  // namespace vmbus::cases
