#include "emu/options.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "emu/version.h"

namespace vmbus::emu {
namespace {

constexpr const char* kDescription =
    "vmbusd: plays the Hyper-V host and its guests for programs that run under the vmbus shim.\n"
    "Usually `vmbus run` starts it and it leaves with its last user; start it by hand to keep a "
    "bus.";

constexpr const char* kExamples =
    "Examples:\n"
    "  vmbusd                                  a bus at the usual place, in the background\n"
    "  vmbusd --foreground --log info          the same, in this terminal; Ctrl-C stops it\n"
    "  vmbusd --vm db --vm web,cid=7           two more guests beside the one called 'guest'\n"
    "  vmbusd --vm bsd,flavour=freebsd         a FreeBSD guest (AF_HYPERV 43)\n"
    "  vmbusd --services ports.txt             services of profiles with registration=listed\n"
    "  vmbusd --socket /tmp/mine/bus           another bus; use it with "
    "VMBUS_SOCKET=/tmp/mine/bus\n"
    "\n"
    "Environment:\n"
    "  VMBUS_SOCKET    as --socket; else $XDG_RUNTIME_DIR/vmbus/bus, else /tmp/vmbus-$UID/bus\n"
    "  VMBUS_LOG       as --log; also off and on\n"
    "  VMBUS_LOOP      as --loop\n"
    "  VMBUS_SERVICES  as --services";

// The raw words; empty means "not given".
struct Words {
  std::string socket;
  std::string loop;
  std::string log;
  std::string services;
  std::vector<std::string> guests;
};

EarlyExit bad_value(std::string why) { return {2, fmt::format("vmbusd: {}\n", std::move(why))}; }

EarlyExit bad_value(std::string_view source, std::string_view value, std::string_view legal) {
  return bad_value(fmt::format("bad {} '{}': want one of {}", source, value, legal));
}

// The option's word, else the variable's.
struct Setting {
  std::string source;
  std::string value;
};
Setting setting(std::string_view option, const std::string& word, const char* variable,
                const client::VariableLookup& lookup) {
  if (!word.empty()) return {std::string(option), word};
  const char* value = lookup(variable);
  return {variable, value == nullptr ? "" : value};
}

std::optional<EarlyExit> set_loop(const Setting& loop, DaemonOptions& options) {
  if (loop.value.empty()) return std::nullopt;
  const auto choice = parse_loop_choice(loop.value);
  if (!choice) return bad_value(loop.source, loop.value, kLoopChoices);
  options.loop = *choice;
  return std::nullopt;
}

// VMBUS_LOG is the shim's variable too, where it may simply be on or off.
std::optional<EarlyExit> set_log(const Setting& log, DaemonOptions& options) {
  if (log.value.empty() || log.value == "off" || log.value == "0") return std::nullopt;
  if (log.value == "on" || log.value == "1") {
    options.log = LogLevel::kInfo;
    return std::nullopt;
  }
  const auto level = parse_log_level(log.value);
  if (!level) return bad_value(log.source, log.value, fmt::format("off, on, {}", kLogLevels));
  options.log = *level;
  return std::nullopt;
}

bool same_guest(const GuestSpec& a, const GuestSpec& b) {
  return a.name == b.name || (a.cid && a.cid == b.cid) || (a.vm_id && a.vm_id == b.vm_id);
}

std::optional<EarlyExit> set_guests(const std::vector<std::string>& words, DaemonOptions& options) {
  for (const std::string& word : words) {
    auto guest = parse_guest_spec(word);
    if (!guest) return bad_value(fmt::format("--vm: {}", guest.error()));
    const auto clash =
        std::find_if(options.guests.begin(), options.guests.end(),
                     [&](const GuestSpec& other) { return same_guest(other, *guest); });
    if (clash != options.guests.end()) {
      return bad_value(
          fmt::format("--vm '{}': guest '{}' has the same name, CID or id; each must be its own",
                      word, clash->name));
    }
    options.guests.push_back(std::move(*guest));
  }
  return std::nullopt;
}

std::optional<EarlyExit> set_services(const Setting& services, DaemonOptions& options) {
  if (services.value.empty()) return std::nullopt;
  auto read = client::read_services(services.value);
  if (!read) return bad_value(fmt::format("{}: {}", services.source, read.error()));
  options.services = std::move(*read);
  return std::nullopt;
}

std::optional<EarlyExit> set_ready_descriptor(DaemonOptions& options) {
  if (options.ready_fd < 0 || ::fcntl(options.ready_fd, F_GETFD) >= 0) return std::nullopt;
  return bad_value(fmt::format("--ready-fd {}: no such descriptor is open", options.ready_fd));
}

void describe(CLI::App& app, Words& words, DaemonOptions& options) {
  app.footer(kExamples);
  app.set_version_flag("--version", fmt::format("vmbusd {}", kVersion));
  app.add_option("--socket", words.socket, "where the bus lives")->type_name("PATH");
  app.add_flag("--foreground", options.foreground, "stay in this terminal, log to standard error");
  app.add_option("--loop", words.loop, "how to wait for events: auto, io_uring or epoll")
      ->type_name("BACKEND");
  app.add_option("--vm", words.guests,
                 "a guest: NAME[,cid=N][,id=GUID][,flavour=linux|freebsd|wsl]")
      ->type_name("GUEST")
      ->take_all();
  app.add_option("--services", words.services,
                 "the services registered on the host, one GUID or vsock port a line")
      ->type_name("FILE");
  app.add_option("--log", words.log, fmt::format("how much to log: {}", kLogLevels))
      ->type_name("LEVEL");
  app.add_flag("--leave-when-idle", options.leave_when_idle, "end when the last user has left");
  app.add_option("--ring-rest", options.ring_rest_ms,
                 "a ring that rests this long gives its memory back (default 2000)")
      ->type_name("MS")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ready-fd", options.ready_fd,
                 "write a byte here once listening; the caller holds PATH.lock")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

std::variant<DaemonOptions, EarlyExit> parse_options(const std::vector<std::string>& arguments,
                                                     const client::VariableLookup& lookup) {
  DaemonOptions options;
  Words words;
  CLI::App app(kDescription, "vmbusd");
  describe(app, words, options);
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(),
                                       arguments.rend()));  // CLI11 takes from the back
  } catch (const CLI::CallForHelp&) {
    return EarlyExit{0, app.help()};
  } catch (const CLI::CallForVersion&) {
    return EarlyExit{0, app.version() + "\n"};
  } catch (const CLI::ParseError& error) {
    return bad_value(fmt::format("{}; see vmbusd --help", error.what()));
  }
  auto bus = client::resolve_bus_path(words.socket, lookup);
  if (!bus) return bad_value(bus.error().explanation);
  options.bus = std::move(*bus);
  if (auto bad = set_loop(setting("--loop", words.loop, "VMBUS_LOOP", lookup), options))
    return *bad;
  if (auto bad = set_log(setting("--log", words.log, "VMBUS_LOG", lookup), options)) return *bad;
  if (auto bad = set_guests(words.guests, options)) return *bad;
  if (auto bad =
          set_services(setting("--services", words.services, "VMBUS_SERVICES", lookup), options))
    return *bad;
  if (auto bad = set_ready_descriptor(options)) return *bad;
  return options;
}

}  // namespace vmbus::emu
