#include <fmt/format.h>

#include <memory>
#include <string>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/message_filter.h"
#include "tools/vmbus/messages_report.h"
#include "tools/vmbus/vm_spec.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
The daemon keeps the last few thousand messages of all guests. Times are milliseconds since the first
message shown; NO is the message's number on the wire.

Examples:
  vmbus messages                              all, oldest first
  vmbus messages --connection first           what a guest's first connection took, from its
                                              contact with the bus to the release of the channel
  vmbus messages --guest guest --relid 5      those that name channel 5 of one guest
  vmbus messages --json | jq -r '.messages[].name' | sort | uniq -c)";

struct Options {
  std::string socket;
  bool json = false;
  std::string connection;
  MessageFilter filter;
};

ConnectionChoice choice_of(const std::string& connection) {
  if (connection == "first") return ConnectionChoice::kFirst;
  return connection == "last" ? ConnectionChoice::kLast : ConnectionChoice::kAll;
}

Outcome<void> show(client::Connection& bus, const Options& options) {
  control::Request request;
  request.mutable_get_messages()->set_guest(options.filter.guest);
  control::MessageReport report;
  if (const auto fetched = fetch(bus, request, &report); !fetched) return fetched;
  const auto messages = select_messages(report, options.filter);
  if (options.json) {
    print(messages_json(messages, report.dropped()));
  } else {
    fmt::print("{}", messages_text(messages, report.dropped()));
  }
  return {};
}

}  // namespace

void add_messages(CLI::App& app, int* exit_status) {
  CLI::App* subcommand =
      app.add_subcommand("messages", "Show the control messages that crossed the bus");
  subcommand->footer(kExamples);
  const auto options = std::make_shared<Options>();
  add_socket_option(*subcommand, &options->socket);
  add_json_flag(*subcommand, &options->json);
  subcommand->add_option("--guest", options->filter.guest, "Only this guest's")->type_name("NAME");
  subcommand->add_option("--relid", options->filter.relid, "Only those that name this channel")
      ->type_name("N");
  subcommand
      ->add_option("--connection", options->connection,
                   "Only what the first or the last connection exchanged")
      ->type_name("first|last")
      ->check(CLI::IsMember({"first", "last"}));
  subcommand->callback([options, exit_status] {
    if (!options->filter.guest.empty()) {
      if (const auto checked = check_name(options->filter.guest); !checked) {
        *exit_status = complain(checked.error());
        return;
      }
    }
    options->filter.connection = choice_of(options->connection);
    *exit_status = report_from_bus(options->socket, options->json,
                                   [&](client::Connection& bus) { return show(bus, *options); });
  });
}

}  // namespace vmbus::tools
