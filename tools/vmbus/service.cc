#include <memory>
#include <string>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/services.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
On Hyper-V, host and virtual machines reach each other only by services that an administrator has
registered on the host. Sockets with the quirk registration=listed (profiles strict, freebsd, windows)
keep to that as soon as the bus has a list: bind on the host says EACCES, connects are not answered.
Without a list every service counts as registered. SERVICE is a GUID or a vsock port.

Examples:
  vmbus service add 5000 'our agent'      the first one makes the list
  vmbus service add c3b2a190-1234-4567-89ab-cdef01234567
  vmbus service list
  vmbus service remove 5000               new connections alone notice
  vmbus service remove --all              no list: every service counts again
  vmbus run --services ports.txt -- ...   the same from a file, one SERVICE [NAME] a line
  vmbusd --services ports.txt             a daemon that has it from the start)";

struct Options {
  std::string socket;
  bool json = false;
  std::string service;
  std::string name;
  bool all = false;
};
using SharedOptions = std::shared_ptr<Options>;

// Checks the options, then asks. A service that no bus would take is a usage error.
int change(const Options& options, const control::Request& request) {
  const auto checked = check_service(options.service, options.name);
  if (!options.all && !checked) return complain(checked.error());
  return with_bus(options.socket, [&](client::Connection& bus) -> Outcome<void> {
    const auto reply = ask(bus, request);
    if (!reply) return tl::make_unexpected(reply.error());
    return {};
  });
}

void add_add(CLI::App& service, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = service.add_subcommand("add", "Register a service");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  subcommand->add_option("service", options->service, "A GUID or a vsock port")->required();
  subcommand->add_option("name", options->name, "For people");
  subcommand->callback([options, exit_status] {
    *exit_status = change(*options, add_service_request(options->service, options->name));
  });
}

void add_remove(CLI::App& service, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = service.add_subcommand("remove", "Take a service off the list");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  auto* what = subcommand->add_option_group("what", "");
  what->add_option("service", options->service, "A GUID or a vsock port");
  what->add_flag("--all", options->all, "The list itself: every service counts again");
  what->require_option(1);
  subcommand->callback([options, exit_status] {
    *exit_status = change(*options, remove_service_request(options->service));
  });
}

void add_list(CLI::App& service, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = service.add_subcommand("list", "Show the registered services");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  add_json_flag(*subcommand, &options->json);
  subcommand->callback([options, exit_status] {
    *exit_status = report_from_bus(options->socket, options->json, [&](client::Connection& bus) {
      return show_report(bus, list_services_request(), options->json, services_json, services_text);
    });
  });
}

}  // namespace

void add_service(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("service", "Register services on the host");
  subcommand->footer(kExamples);
  subcommand->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  add_add(*subcommand, options, exit_status);
  add_list(*subcommand, options, exit_status);
  add_remove(*subcommand, options, exit_status);
}

}  // namespace vmbus::tools
