// vmbus: the command a user types. One file a subcommand (commands.h).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tools/vmbus/arguments.h"
#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/failure.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
Examples:
  vmbus run -- python3 server.py &     a program on the bus; starts a daemon where none runs
  vmbus run -- python3 client.py
  vmbus ps                             who listens, who talks to whom
  vmbus messages --connection first    what that took on the wire
  vmbus run --help                     each subcommand has examples of its own)";

std::set<std::string> options_with_value(const CLI::App& subcommand) {
  std::set<std::string> names;
  for (const CLI::Option* option : subcommand.get_options()) {
    if (option->get_expected_max() == 0) continue;  // a flag
    for (const std::string& name : option->get_lnames()) names.insert("--" + name);
  }
  return names;
}

bool is_subcommand(const CLI::App& app, const std::string& word) {
  const auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });
  return std::any_of(subcommands.begin(), subcommands.end(),
                     [&](const CLI::App* subcommand) { return subcommand->get_name() == word; });
}

// Help and version go to standard output; what is wrong is one line on standard error.
int answer(const CLI::App& app, const CLI::ParseError& error,
           const std::vector<std::string>& arguments) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first.empty() || first.starts_with('-')) {
    return complain({kExitUsage, fmt::format("{}; see vmbus --help", error.what())});
  }
  if (!is_subcommand(app, first)) {
    return complain({kExitUsage, fmt::format("'{}' is no subcommand; see vmbus --help", first)});
  }
  return complain({kExitUsage, fmt::format("{}; see vmbus {} --help", error.what(), first)});
}

int main_of(const std::vector<std::string>& arguments) {
  int exit_status = 0;
  SplitArguments split;
  CLI::App app("Programs of a Hyper-V host and its guests, talking over a VMBus in user space.",
               "vmbus");
  app.footer(kExamples);
  app.set_version_flag("--version", VMBUS_VERSION);
  app.require_subcommand(1);
  add_run(app, split.command, &exit_status);
  add_status(app, &exit_status);
  add_ps(app, &exit_status);
  add_messages(app, &exit_status);
  add_vm(app, &exit_status);
  add_stop(app, &exit_status);
  split = split_arguments(arguments, options_with_value(*app.get_subcommand("run")));
  try {
    app.parse(std::vector<std::string>(split.own.rbegin(), split.own.rend()));  // CLI11's order
  } catch (const CLI::ParseError& error) {
    return answer(app, error, split.own);
  }
  return exit_status;
}

}  // namespace

void add_socket_option(CLI::App& subcommand, std::string* socket) {
  subcommand
      .add_option("--socket", *socket,
                  "The bus (default: $VMBUS_SOCKET, $XDG_RUNTIME_DIR/vmbus/bus, "
                  "/tmp/vmbus-$UID/bus)")
      ->type_name("PATH");
}

void add_json_flag(CLI::App& subcommand, bool* json) {
  subcommand.add_flag("--json", *json, "For scripts: keys stay as they are");
}

}  // namespace vmbus::tools

int main(int argc, char** argv) {
  return vmbus::tools::main_of(std::vector<std::string>(argv + 1, argv + argc));
}
