#include "tools/vmbus/bus.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "emu/client/start.h"

namespace vmbus::tools {
namespace {

constexpr const char* kProgram = "vmbus";

// A value that the daemon finds bad is the user's; anything else is how things are.
tl::unexpected<Failure> refused(const client::Error& error) {
  return fail(error.code == EINVAL ? kExitUsage : kExitFailed, error.explanation);
}

int finish(const Outcome<void>& outcome) { return outcome ? 0 : complain(outcome.error()); }

}  // namespace

Outcome<client::BusPath> bus_path(const std::string& given) {
  auto path = client::resolve_bus_path(given);
  if (!path) return fail(kExitUsage, path.error().explanation);
  return *path;
}

Outcome<client::Connection> started_bus(const client::BusPath& path,
                                        std::vector<std::string> daemon_arguments) {
  client::StartOptions options;
  options.program = kProgram;
  options.arguments = std::move(daemon_arguments);
  auto bus = client::connect_or_start(path, options);
  if (!bus) return refused(bus.error());
  return std::move(*bus);
}

Outcome<control::Reply> ask(client::Connection& bus, const control::Request& request) {
  auto reply = bus.request(request);
  if (!reply) return refused(reply.error());
  return *reply;
}

Outcome<void> fetch(client::Connection& bus, const control::Request& request,
                    google::protobuf::MessageLite* report) {
  const auto fetched = bus.request_report(request, report);
  if (!fetched) return refused(fetched.error());
  return {};
}

int complain(const Failure& failure) {
  fmt::print(stderr, "vmbus: {}\n", failure.message);
  return failure.exit_status;
}

int with_bus(const std::string& socket, const UseBus& use) {
  return report_from_bus(socket, false, use);
}

int with_started_bus(const std::string& socket, const UseBus& use) {
  const auto path = bus_path(socket);
  if (!path) return complain(path.error());
  auto bus = started_bus(*path);
  return finish(bus ? use(*bus) : tl::make_unexpected(bus.error()));
}

int report_from_bus(const std::string& socket, bool json, const UseBus& use) {
  const auto path = bus_path(socket);
  if (!path) return complain(path.error());
  auto bus = client::connect(*path, kProgram);
  if (!bus && json && client::nobody_listens(bus.error())) {
    print(not_running_json(path->socket));
    return kExitFailed;
  }
  if (!bus && json && client::is_no_socket(bus.error())) print(not_running_json(path->socket));
  return finish(bus ? use(*bus) : refused(bus.error()));
}

void print(const Json& json) {
  // A path need not be UTF-8; JSON must.
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace vmbus::tools
