#include <memory>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
Every guest unloads, every connection ends: programs that still have sockets get ECONNRESET.

Examples:
  vmbus stop
  vmbus stop --socket /tmp/other/bus)";

Outcome<void> stop(client::Connection& bus) {
  control::Request request;
  request.mutable_stop();
  const auto reply = ask(bus, request);
  if (!reply) return tl::make_unexpected(reply.error());
  return {};
}

}  // namespace

void add_stop(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("stop", "End the daemon of a bus");
  subcommand->footer(kExamples);
  const auto socket = std::make_shared<std::string>();
  add_socket_option(*subcommand, socket.get());
  subcommand->callback([socket, exit_status] { *exit_status = with_bus(*socket, stop); });
}

}  // namespace vmbus::tools
