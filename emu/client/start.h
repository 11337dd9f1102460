// Starting vmbusd for a tool, when none listens (docs/architecture.md, "Starting and leaving").
#ifndef VMBUS_EMU_CLIENT_START_H_
#define VMBUS_EMU_CLIENT_START_H_

#include <chrono>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "emu/client/connection.h"

namespace vmbus::client {

struct StartOptions {
  std::string program = "vmbus";            // who connects, for people
  std::vector<std::string> arguments = {};  // more for vmbusd, e.g. {"--vm", "second"}
  bool leave_when_idle = true;              // the daemon ends when its last user has left
  std::chrono::milliseconds patience{10'000};
};

// Connects to the bus, starting a daemon first if nobody listens. Of several callers at once, one
// starts it.
tl::expected<Connection, Error> connect_or_start(const BusPath& bus, const StartOptions& options);

// $VMBUS_DAEMON, else vmbusd beside the running executable, else in $PATH. Error ENOENT.
tl::expected<std::string, Error> find_daemon(const VariableLookup& lookup = ::getenv);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_START_H_
