// vmbus: the command a user types. One file a subcommand (commands.h).
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <set>
#include <string>
#include <system_error>
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

// "vm add", where the arguments begin so; empty where they begin with no subcommand.
std::string subcommand_of(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::string words;
  const CLI::App* innermost = &app;
  for (const std::string& word : arguments) {
    const auto named = innermost->get_subcommands(
        [&](const CLI::App* subcommand) { return subcommand->get_name() == word; });
    if (named.empty()) break;
    innermost = named.front();
    words += words.empty() ? word : " " + word;
  }
  return words;
}

// Help and version go to standard output; what is wrong is one line on standard error.
int answer(const CLI::App& app, const CLI::ParseError& error,
           const std::vector<std::string>& arguments) {
  if (error.get_exit_code() == 0) return app.exit(error);
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first.empty() || first.starts_with('-')) {
    return complain({kExitUsage, fmt::format("{}; see vmbus --help", error.what())});
  }
  const std::string subcommand = subcommand_of(app, arguments);
  if (subcommand.empty()) {
    return complain({kExitUsage, fmt::format("'{}' is no subcommand; see vmbus --help", first)});
  }
  return complain({kExitUsage, fmt::format("{}; see vmbus {} --help", error.what(), subcommand)});
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
  add_service(app, &exit_status);
  add_stop(app, &exit_status);
  add_profiles(app, &exit_status);
  split = split_arguments(arguments, options_with_value(*app.get_subcommand("run")));
  try {
    app.parse(std::vector<std::string>(split.own.rbegin(), split.own.rend()));  // CLI11's order
  } catch (const CLI::ParseError& error) {
    return answer(app, error, split.own);
  }
  return exit_status;
}

// What is opened next must not become a standard stream that was closed: a report would go into the
// connection to the daemon. The stand-ins cannot be written to, and a command does not inherit them.
void occupy_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  if (::fcntl(STDERR_FILENO, F_GETFD) < 0) ::open("/dev/null", O_WRONLY | O_CLOEXEC);
}

int flush_output(int exit_status) {
  std::cout.flush();
  const bool flushed = std::fflush(stdout) == 0;
  const std::string why = flushed ? "" : fmt::format(": {}", std::strerror(errno));
  // An earlier write may have failed for good: what it should have written is dropped then.
  if (flushed && std::ferror(stdout) == 0) return exit_status;
  return complain({kExitFailed, fmt::format("cannot write to standard output{}", why)});
}

// A report that did not arrive is no success.
int main_with_output(const std::vector<std::string>& arguments) {
  try {
    return flush_output(main_of(arguments));
  } catch (const std::system_error& error) {  // {fmt}'s, of a stream that takes nothing more
    std::fprintf(stderr, "vmbus: %s\n", error.what());
    return kExitFailed;
  }
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
  vmbus::tools::occupy_closed_streams();
  return vmbus::tools::main_with_output(std::vector<std::string>(argv + 1, argv + argc));
}
