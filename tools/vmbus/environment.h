// The VMBUS_* variables: what `vmbus run` finds in the environment, and what it adds for the
// command. Changes nothing.
//
// The shim reads them in every process (shim/environment.h) and can only fail; whoever starts a
// command here is told at once.
#ifndef VMBUS_TOOLS_VMBUS_ENVIRONMENT_H_
#define VMBUS_TOOLS_VMBUS_ENVIRONMENT_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tools/vmbus/failure.h"

namespace vmbus::tools {

using VariableLookup = std::function<const char*(const char* name)>;

inline const std::vector<std::string> kModes{"auto", "pump", "ring"};

// A usage error for the first variable that has a bad value; VMBUS_SOCKET is bus_path()'s to judge.
Outcome<void> check_environment(const VariableLookup& lookup);

// VMBUS_QUIRKS for the command: what the variable has already, then the options, which count more.
std::string joined_quirks(const VariableLookup& lookup, const std::vector<std::string>& options);

// All that the command's environment depends on.
struct Surroundings {
  std::string bus_socket;
  std::string vm_id;  // of the guest that the command is, or of the default guest
  std::string cid;
  std::string partition;  // empty: left as it is, as are these:
  std::string profile;
  std::string quirks;
  std::string mode;
  std::string shim;         // fit for LD_PRELOAD
  std::string sanitizer;    // a runtime that must come before the shim, or empty
  std::string python_site;  // folder for PYTHONPATH; empty: Python programs are left alone
};

using Variables = std::vector<std::pair<std::string, std::string>>;
Variables command_environment(const Surroundings& surroundings, const VariableLookup& lookup);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_ENVIRONMENT_H_
