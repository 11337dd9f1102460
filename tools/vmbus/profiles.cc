#include <fmt/format.h>

#include <memory>
#include <string>

#include "emu/protocol/profile.h"
#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/profile_arguments.h"
#include "tools/vmbus/profiles_report.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
Real systems differ in what their sockets say. A profile is one of these systems, or what developers
expect; each difference is a row of one table. docs/profiles.md is the same table as a page.

Examples:
  vmbus profiles                                       all rows, a column each profile
  vmbus profiles strict                                what each row means
  vmbus profiles --json | jq '.quirks[] | select(.standing == "not yet").name'
  vmbus run --profile strict --quirk loopback=on -- ./agent
  vmbus run --quirk vintage=6.6 --quirk peek=off -- python3 server.py)";

struct Options {
  std::string name;
  bool json = false;
};

int show(const Options& options) {
  if (const auto checked = check_profile("profiles", options.name); !checked) {
    return complain(checked.error());
  }
  const auto profile = proto::find_profile(options.name);
  if (options.json) {
    print(profiles_json(profile));
  } else {
    fmt::print("{}", profiles_text(profile));
  }
  return 0;
}

}  // namespace

void add_profiles(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("profiles", "Show the profiles and their quirks");
  subcommand->footer(kExamples);
  const auto options = std::make_shared<Options>();
  subcommand->add_option("name", options->name, "The one to explain (default: all, side by side)");
  add_json_flag(*subcommand, &options->json);
  subcommand->callback([options, exit_status] { *exit_status = show(*options); });
}

}  // namespace vmbus::tools
