// Asking the daemon: connection, requests and reports, with errors as Failure.
#ifndef VMBUS_TOOLS_VMBUS_BUS_H_
#define VMBUS_TOOLS_VMBUS_BUS_H_

#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "emu/client/connection.h"
#include "tools/vmbus/failure.h"
#include "tools/vmbus/reports.h"

namespace vmbus::tools {

// `given`: --socket, or empty for the environment's. A bad path is a usage error.
Outcome<client::BusPath> bus_path(const std::string& given);

Outcome<client::Connection> started_bus(const client::BusPath& path,
                                        std::vector<std::string> daemon_arguments = {});

Outcome<control::Reply> ask(client::Connection& bus, const control::Request& request);

// For requests that are answered by a report.
Outcome<void> fetch(client::Connection& bus, const control::Request& request,
                    google::protobuf::MessageLite* report);

// Prints the message and returns the exit status.
int complain(const Failure& failure);

// The frames of all subcommands but `run`: connect to the bus at `socket` (as bus_path() takes it),
// use it, complain about what failed; give the exit status.
using UseBus = std::function<Outcome<void>(client::Connection&)>;
int with_bus(const std::string& socket, const UseBus& use);
int with_started_bus(const std::string& socket, const UseBus& use);  // starts a daemon if none runs
// For reports: with `json`, that nobody listens is an answer too (and exit status 1).
int report_from_bus(const std::string& socket, bool json, const UseBus& use);

void print(const Json& json);

// Fetches a report and prints it: for scripts with `json`, otherwise for people.
template <typename Report>
Outcome<void> show_report(client::Connection& bus, const control::Request& request, bool json,
                          Json (*as_json)(const Report&), std::string (*as_text)(const Report&)) {
  Report report;
  if (const auto fetched = fetch(bus, request, &report); !fetched) return fetched;
  if (json) {
    print(as_json(report));
  } else {
    fmt::print("{}", as_text(report));
  }
  return {};
}

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_BUS_H_
