#include "tools/vmbus/environment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace vmbus::tools {
namespace {

const std::vector<std::string> kLogs{"off",  "on",   "0",     "1",    "error",
                                     "warn", "info", "debug", "trace"};

std::string value_of(const VariableLookup& lookup, const char* name) {
  const char* value = lookup(name);
  return value == nullptr ? "" : value;
}

Outcome<void> check_one(const VariableLookup& lookup, const char* name,
                        const std::vector<std::string>& legal) {
  const std::string value = value_of(lookup, name);
  if (value.empty() || std::find(legal.begin(), legal.end(), value) != legal.end()) return {};
  return fail(kExitUsage,
              fmt::format("{} is '{}'; legal values: {}", name, value, fmt::join(legal, ", ")));
}

// `first`, then what the variable has already; `vmbus run` inside `vmbus run` adds nothing. The
// rest is kept as it is: blanks, empty entries and all mean something to whoever reads it.
std::string prepend(const std::string& first, const std::string& rest) {
  if (first.empty() || rest == first || rest.starts_with(first + ":")) return rest;
  return rest.empty() ? first : first + ":" + rest;
}

}  // namespace

Outcome<void> check_environment(const VariableLookup& lookup) {
  if (auto mode = check_one(lookup, "VMBUS_MODE", kModes); !mode) return mode;
  if (auto profile = check_one(lookup, "VMBUS_PROFILE", kProfiles); !profile) return profile;
  if (auto log = check_one(lookup, "VMBUS_LOG", kLogs); !log) return log;
  return check_one(lookup, "VMBUS_PYTHON", {"0", "1"});
}

Variables command_environment(const Surroundings& surroundings, const VariableLookup& lookup) {
  Variables variables{
      {"VMBUS_SOCKET", surroundings.bus_socket},
      {"VMBUS_VM_ID", surroundings.vm_id},
      {"VMBUS_CID", surroundings.cid},
      {"LD_PRELOAD", prepend(surroundings.sanitizer,
                             prepend(surroundings.shim, value_of(lookup, "LD_PRELOAD")))}};
  const auto set_if_given = [&](const char* name, const std::string& value) {
    if (!value.empty()) variables.emplace_back(name, value);
  };
  set_if_given("VMBUS_PARTITION", surroundings.partition);
  set_if_given("VMBUS_PROFILE", surroundings.profile);
  set_if_given("VMBUS_MODE", surroundings.mode);
  if (surroundings.python_site.empty()) {
    variables.emplace_back("VMBUS_PYTHON", "0");
  } else {
    variables.emplace_back("PYTHONPATH",
                           prepend(surroundings.python_site, value_of(lookup, "PYTHONPATH")));
  }
  return variables;
}

}  // namespace vmbus::tools
