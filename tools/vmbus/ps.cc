#include <memory>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
Columns: G>H and H>G are how full the two rings of a channel are, guest to host and host to guest;
SIGNALS are sent/received; a listener's state has its queue, waiting/limit; a PID of "?" is a process
that cannot be seen from here.

Never starts a daemon; without one it says so and ends with status 1.

Examples:
  vmbus ps                                           every socket of the bus
  vmbus ps --json | jq '.sockets[] | select(.state == "listening") | .local')";

struct Options {
  std::string socket;
  bool json = false;
};

Outcome<void> show(client::Connection& bus, bool json) {
  control::Request request;
  request.mutable_get_sockets();
  return show_report(bus, request, json, sockets_json, sockets_text);
}

}  // namespace

void add_ps(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("ps", "List listeners and connections");
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
