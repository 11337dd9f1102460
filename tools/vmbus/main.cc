// vmbus: the command a user types. One file a subcommand (commands.h).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tools/vmbus/arguments.h"
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
    if (option->get_type_size() == 0) continue;
    for (const std::string& name : option->get_lnames()) names.insert("--" + name);
  }
  return names;
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
    return app.exit(error) == 0 ? 0 : kExitUsage;
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
