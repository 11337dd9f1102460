// vmbusd's command line and environment, as one value. Reads nothing else and changes nothing.
#ifndef VMBUS_EMU_OPTIONS_H_
#define VMBUS_EMU_OPTIONS_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "emu/client/bus_path.h"
#include "emu/client/service_list.h"
#include "emu/event_loop.h"
#include "emu/guest_spec.h"
#include "emu/log.h"

namespace vmbus::emu {

struct DaemonOptions {
  client::BusPath bus;
  bool foreground = false;
  LoopChoice loop = LoopChoice::kAuto;
  LogLevel log = LogLevel::kWarn;
  std::vector<GuestSpec> guests;  // beside "guest", unless that one is described here
  // Registered on the host; none: there is no list, and every service counts.
  std::optional<std::vector<client::ListedService>> services;
  int ready_fd = -1;  // where our starter waits, holding the start lock; -1: started by hand
  bool leave_when_idle = false;
  std::optional<int> ring_rest_ms;  // as Sockets::set_ring_rest()
};

// Nothing to run: what to print, and the exit status (0: help or version, to standard output; 2: a
// bad value).
struct EarlyExit {
  int status = 0;
  std::string text;
};

std::variant<DaemonOptions, EarlyExit> parse_options(
    const std::vector<std::string>& arguments,  // without the program's name
    const client::VariableLookup& lookup = ::getenv);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_OPTIONS_H_
