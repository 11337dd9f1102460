#include "tools/vmbus/environment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "emu/client/start.h"
#include "tools/vmbus/profile_arguments.h"

namespace vmbus::tools {
namespace {

const std::vector<std::string> kLogs{"off",  "on",   "0",     "1",    "error",
                                     "warn", "info", "debug", "trace"};

constexpr unsigned kMaxSpinUs = 1000;  // as the shim has it

const std::vector<std::string> kLoops{"auto", "io_uring", "epoll"};

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

Outcome<void> check_number(const VariableLookup& lookup, const char* name, unsigned most) {
  const std::string value = value_of(lookup, name);
  unsigned number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (value.empty() || (error == std::errc() && stop == end && number <= most)) return {};
  return fail(kExitUsage,
              fmt::format("{} is '{}'; legal values: a number, 0 to {}", name, value, most));
}

Outcome<void> check_daemon(const VariableLookup& lookup) {
  if (value_of(lookup, "VMBUS_DAEMON").empty()) return {};
  const auto daemon = client::find_daemon(lookup);
  if (!daemon) return fail(kExitUsage, daemon.error().explanation);
  return {};
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
  if (auto spin = check_number(lookup, "VMBUS_SPIN_US", kMaxSpinUs); !spin) return spin;
  const std::string profile = value_of(lookup, "VMBUS_PROFILE");
  if (auto checked = check_profile("VMBUS_PROFILE", profile); !checked) return checked;
  if (auto quirks = check_settings("VMBUS_QUIRKS", profile, value_of(lookup, "VMBUS_QUIRKS"));
      !quirks)
    return quirks;
  if (auto log = check_one(lookup, "VMBUS_LOG", kLogs); !log) return log;
  if (auto loop = check_one(lookup, "VMBUS_LOOP", kLoops); !loop) return loop;
  if (auto daemon = check_daemon(lookup); !daemon) return daemon;
  return check_one(lookup, "VMBUS_PYTHON", {"0", "1"});
}

std::string joined_quirks(const VariableLookup& lookup, const std::vector<std::string>& options) {
  std::string all = options.empty() ? "" : value_of(lookup, "VMBUS_QUIRKS");
  for (const std::string& option : options) all.append(all.empty() ? "" : ",").append(option);
  return all;
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
  set_if_given("VMBUS_QUIRKS", surroundings.quirks);
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
