#include <memory>
#include <string>

#include "emu/protocol/address.h"
#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/vm_spec.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
There is always a guest called "guest", with CID 3. A guest added here stays, and keeps the daemon
running (it is started where none runs), until the guest is removed or the daemon stopped. On the bus
of `vmbus run --private` it goes with the bus. A CID is a number from 3 to 4294967294.

Examples:
  vmbus vm add second                               the lowest free CID, a VM id made from the name
  vmbus vm add bsd --flavour freebsd --cid 42
  vmbus run --as second -- socat - VSOCK-LISTEN:1234
  vmbus vm list
  vmbus vm remove second                            refuses while the guest has sockets
  vmbus vm remove second --force                    ends its connections first
  vmbus vm pause guest                              nothing of it moves until vm resume guest
  vmbus vm migrate guest                            old connections end, new ones succeed
  vmbus vm reset-device guest                       every connection of it says ECONNRESET)";

constexpr const char* kActExamples = R"(
What it does to a connection is said by the row `pause` of its ends' profiles (vmbus profiles strict);
the harsher of the two counts:
  stays   it goes on; profile default
  ends    the host withdraws its channel: end of file and EPIPE in the guest, ECONNRESET on the host.
          A pause leaves alone what the host's socket asked to keep (HVSOCKET_CONNECTED_SUSPEND)
  reset   the guest's device is reset: ECONNRESET at both ends; profile virtio
Listeners go on in any case. reset-device resets every connection, whatever the row says.

While a guest is paused its programs run on, but what they send stays with them, what is sent to them
waits in its rings, and connects from and to it wait, each for its own time limit.)";

struct Act {
  const char* name;
  const char* description;
  control::VmAct::Action action;
};
constexpr Act kActs[] = {
    {"pause", "Let a guest stand still", control::VmAct::PAUSE},
    {"resume", "Let a paused guest go on", control::VmAct::RESUME},
    {"migrate", "Give a guest another host", control::VmAct::MIGRATE},
    {"reset-device", "Reset a guest's socket device", control::VmAct::RESET_DEVICE},
};

struct Options {
  std::string socket;
  bool json = false;
  bool force = false;
  VmSpec spec;
};
using SharedOptions = std::shared_ptr<Options>;

Outcome<void> add(client::Connection& bus, const VmSpec& spec) {
  const auto reply = ask(bus, add_request(spec));
  if (!reply) return tl::make_unexpected(reply.error());
  return {};
}

Outcome<void> list(client::Connection& bus, bool json) {
  control::Request request;
  request.mutable_vm_list();
  return show_report(bus, request, json, guests_json, guests_text);
}

Outcome<void> remove(client::Connection& bus, const std::string& name, bool force) {
  const auto reply = ask(bus, remove_request(name, force));
  if (!reply) return tl::make_unexpected(reply.error());
  return {};
}

Outcome<void> act(client::Connection& bus, const std::string& name, control::VmAct::Action action) {
  const auto reply = ask(bus, act_request(name, action));
  if (!reply) return tl::make_unexpected(reply.error());
  return {};
}

void add_add(CLI::App& vm, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = vm.add_subcommand("add", "Add a guest");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  subcommand->add_option("name", options->spec.name, "The guest's name")->required();
  subcommand->add_option("--cid", options->spec.cid, "Its CID (default: the lowest free one)")
      ->type_name("N")
      ->check(CLI::Range(proto::kCidHost.value + 1, proto::kCidAny.value - 1));
  subcommand->add_option("--id", options->spec.vm_id, "Its VM id (default: made from the name)")
      ->type_name("GUID");
  subcommand->add_option("--flavour", options->spec.flavour, "Its kind: linux, freebsd or wsl")
      ->type_name("FLAVOUR");
  subcommand->callback([options, exit_status] {
    if (const auto checked = check_spec(options->spec); !checked) {
      *exit_status = complain(checked.error());
      return;
    }
    *exit_status = with_started_bus(
        options->socket, [&](client::Connection& bus) { return add(bus, options->spec); });
  });
}

void add_list(CLI::App& vm, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = vm.add_subcommand("list", "List the guests");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  add_json_flag(*subcommand, &options->json);
  subcommand->callback([options, exit_status] {
    *exit_status = report_from_bus(options->socket, options->json, [&](client::Connection& bus) {
      return list(bus, options->json);
    });
  });
}

void add_remove(CLI::App& vm, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = vm.add_subcommand("remove", "Remove a guest");
  subcommand->footer(kExamples);
  add_socket_option(*subcommand, &options->socket);
  subcommand->add_option("name", options->spec.name, "The guest's name")->required();
  subcommand->add_flag("--force", options->force, "End its connections first");
  subcommand->callback([options, exit_status] {
    if (const auto checked = check_name(options->spec.name); !checked) {
      *exit_status = complain(checked.error());
      return;
    }
    *exit_status = with_bus(options->socket, [&](client::Connection& bus) {
      return remove(bus, options->spec.name, options->force);
    });
  });
}

void add_act(CLI::App& vm, const Act& what, const SharedOptions& options, int* exit_status) {
  CLI::App* subcommand = vm.add_subcommand(what.name, what.description);
  subcommand->footer(kActExamples);
  add_socket_option(*subcommand, &options->socket);
  subcommand->add_option("name", options->spec.name, "The guest's name")->required();
  subcommand->callback([options, action = what.action, exit_status] {
    if (const auto checked = check_name(options->spec.name); !checked) {
      *exit_status = complain(checked.error());
      return;
    }
    *exit_status = with_bus(options->socket, [&](client::Connection& bus) {
      return act(bus, options->spec.name, action);
    });
  });
}

}  // namespace

void add_vm(CLI::App& app, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("vm", "Add, list, remove, pause and migrate guests");
  subcommand->footer(kExamples);
  subcommand->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  add_add(*subcommand, options, exit_status);
  add_list(*subcommand, options, exit_status);
  add_remove(*subcommand, options, exit_status);
  for (const Act& what : kActs) add_act(*subcommand, what, options, exit_status);
}

}  // namespace vmbus::tools
