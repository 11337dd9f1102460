#include <memory>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
Never starts a daemon; without one it says so and ends with status 1.

Examples:
  vmbus status                            which bus, which guests, what happened so far
  vmbus status --json | jq .guests[].cid
  vmbus status --socket /tmp/other/bus    another bus)";

struct Options {
  std::string socket;
  bool json = false;
};

Outcome<void> show(client::Connection& bus, bool json) {
  control::Request request;
  request.mutable_get_status();
  return show_report(bus, request, json, status_json, status_text);
}

}  // namespace

void add_status(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("status", "Show the bus, its guests and its counters");
  subcommand->footer(kExamples);
  const auto options = std::make_shared<Options>();
  add_socket_option(*subcommand, &options->socket);
  add_json_flag(*subcommand, &options->json);
  subcommand->callback([options, exit_status] {
    *exit_status = report_from_bus(options->socket, options->json, [&](client::Connection& bus) {
      return show(bus, options->json);
    });
  });
}

}  // namespace vmbus::tools
