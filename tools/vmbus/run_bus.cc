#include "tools/vmbus/run_bus.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <set>
#include <utility>

#include "emu/protocol/guid.h"
#include "tools/vmbus/bus.h"
#include "tools/vmbus/services.h"
#include "tools/vmbus/vm_spec.h"

namespace vmbus::tools {
namespace {

// Out of the way of programs that count on small numbers: shells, LISTEN_FDS, whoever passes 3.
constexpr rlim_t kInheritedDescriptor = 200;

Outcome<control::VmReport> list_guests(client::Connection& bus) {
  control::Request request;
  request.mutable_vm_list();
  control::VmReport report;
  if (const auto fetched = fetch(bus, request, &report); !fetched) {
    return tl::make_unexpected(fetched.error());
  }
  return report;
}

const control::StatusReport::Guest* find_guest(const control::VmReport& report,
                                               const std::string& name) {
  for (const auto& guest : report.guests()) {
    if (guest.name() == name) return &guest;
  }
  return nullptr;
}

Outcome<std::vector<VmSpec>> parse_all(const std::vector<std::string>& vms) {
  std::vector<VmSpec> specs;
  for (const std::string& vm : vms) {
    auto spec = parse_vm_spec(vm);
    if (!spec) return tl::make_unexpected(spec.error());
    specs.push_back(std::move(*spec));
  }
  return specs;
}

// A guest of that name may be there already, if it is the one that is meant.
Outcome<void> ensure_guest(RunBus& bus, const VmSpec& spec) {
  const auto report = list_guests(bus.connection);
  if (!report) return tl::make_unexpected(report.error());
  const auto* guest = find_guest(*report, spec.name);
  if (guest != nullptr && fits(*guest, spec)) return {};
  const auto reply = ask(bus.connection, add_request(spec));
  if (!reply) return tl::make_unexpected(reply.error());
  bus.added.push_back(spec.name);
  return {};
}

std::string names_of(const control::VmReport& report) {
  std::string names = "host";
  for (const auto& guest : report.guests()) names += ", " + guest.name();
  return names;
}

}  // namespace

Outcome<RunBus> shared_bus(const client::BusPath& path, const std::vector<std::string>& vms) {
  const auto specs = parse_all(vms);
  if (!specs) return tl::make_unexpected(specs.error());
  auto connection = started_bus(path);
  if (!connection) return tl::make_unexpected(connection.error());
  RunBus bus{path, std::move(*connection)};
  for (const VmSpec& spec : *specs) {
    if (const auto there = ensure_guest(bus, spec); !there) {
      take_back(bus);
      return tl::make_unexpected(there.error());
    }
  }
  return bus;
}

void take_back(RunBus& bus) {
  for (const std::string& name : bus.added) {
    // Refused where somebody uses it by now, who may keep it.
    [[maybe_unused]] const auto reply = ask(bus.connection, remove_request(name));
  }
  bus.added.clear();
  if (std::exchange(bus.made_list, false)) bus.services = {""};
  for (const std::string& service : bus.services) {
    [[maybe_unused]] const auto reply = ask(bus.connection, remove_service_request(service));
  }
  bus.services.clear();
}

Outcome<std::optional<ServiceList>> read_service_list(const std::string& path) {
  if (path.empty()) return std::nullopt;
  auto services = client::read_services(path);
  if (!services) return fail(kExitUsage, services.error());
  return std::optional(std::move(*services));
}

Outcome<void> register_services(RunBus& bus, const ServiceList& services) {
  control::ServiceReport report;
  if (auto fetched = fetch(bus.connection, list_services_request(), &report); !fetched) {
    return fetched;
  }
  std::set<std::string> there;
  for (const auto& service : report.services()) there.insert(service.service());
  const auto listed = ask(bus.connection, add_service_request("", ""));
  if (!listed) return tl::make_unexpected(listed.error());
  bus.made_list = !report.listed();
  for (const client::ListedService& service : services) {
    const std::string id = proto::to_text(service.id).c_str();
    if (!there.insert(id).second) continue;
    const auto added = ask(bus.connection, add_service_request(id, service.name));
    if (!added) return tl::make_unexpected(added.error());
    bus.services.push_back(id);
  }
  return {};
}

Outcome<RunBus> private_bus(const client::BusPath& usual, const std::vector<std::string>& vms) {
  std::vector<std::string> arguments;
  if (const auto specs = parse_all(vms); !specs) return tl::make_unexpected(specs.error());
  for (const std::string& vm : vms) arguments.insert(arguments.end(), {"--vm", vm});
  const auto path = client::make_private_bus(usual);
  if (!path) return fail(kExitFailed, path.error().explanation);
  auto connection = started_bus(*path, std::move(arguments));
  if (!connection) {
    client::remove_private_bus(*path);
    return tl::make_unexpected(connection.error());
  }
  return RunBus{*path, std::move(*connection)};
}

bool is_a_guest(const std::string& partition) {
  return !partition.empty() && partition != "auto" && partition != "host";
}

Outcome<control::StatusReport::Guest> guest_of(client::Connection& bus,
                                               const std::string& partition) {
  const auto report = list_guests(bus);
  if (!report) return tl::make_unexpected(report.error());
  const std::string name = is_a_guest(partition) ? partition : "guest";
  if (const auto* guest = find_guest(*report, name)) return *guest;
  return fail(kExitUsage, fmt::format("no partition '{0}' on this bus; there are: {1}. Add it with "
                                      "`vmbus vm add {0}`, or with --vm {0}",
                                      name, names_of(*report)));
}

void leave_to_command(const client::Connection& connection) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto number = static_cast<int>(std::min(kInheritedDescriptor, limit.rlim_cur / 2));
  // Without it the command works all the same; its bus may only come and go under it.
  ::fcntl(connection.descriptor(), F_DUPFD, number);
}

}  // namespace vmbus::tools
