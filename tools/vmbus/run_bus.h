// The bus that `vmbus run` gives its command: found, started or made for it alone, with the guests
// asked for, and kept running for as long as the command and its children live.
#ifndef VMBUS_TOOLS_VMBUS_RUN_BUS_H_
#define VMBUS_TOOLS_VMBUS_RUN_BUS_H_

#include <optional>
#include <string>
#include <vector>

#include "emu/client/connection.h"
#include "emu/client/service_list.h"
#include "tools/vmbus/failure.h"

namespace vmbus::tools {

struct RunBus {
  client::BusPath path;
  client::Connection connection;
  std::vector<std::string> added = {};     // guests that were not there before
  std::vector<std::string> services = {};  // registered here, by GUID
  bool made_list = false;                  // of services: there was none
};

// `vms`: guests that must be there, as --vm names them. Those that were added stay, unless it fails.
Outcome<RunBus> shared_bus(const client::BusPath& path, const std::vector<std::string>& vms);
// In a directory of its own beside `usual`, with a daemon that leaves after its last user.
Outcome<RunBus> private_bus(const client::BusPath& usual, const std::vector<std::string>& vms);

// The services that the file names; none for an empty path. A file that is wrong is a usage error.
using ServiceList = std::vector<client::ListedService>;
Outcome<std::optional<ServiceList>> read_service_list(const std::string& path);
// Adds those that the bus does not have. From then on it has a list.
Outcome<void> register_services(RunBus& bus, const ServiceList& services);

// For a command that cannot be run after all: removes what was added for it.
void take_back(RunBus& bus);

// A partition is a guest's name, "host", or "auto" (also empty).
bool is_a_guest(const std::string& partition);
// The guest that `partition` names; the default guest for "", "auto" and "host".
Outcome<control::StatusReport::Guest> guest_of(client::Connection& bus,
                                               const std::string& partition);

// Lets the control connection live on in the command, which inherits it unknowingly, and in its
// children. A daemon leaves when its last user has left: so it stays until the last of them has
// ended, or has closed all it inherited and has no socket either.
void leave_to_command(const client::Connection& connection);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_RUN_BUS_H_
