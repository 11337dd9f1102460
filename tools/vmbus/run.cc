#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/vmbus/bus.h"
#include "tools/vmbus/commands.h"
#include "tools/vmbus/environment.h"
#include "tools/vmbus/installation.h"
#include "tools/vmbus/profile_arguments.h"
#include "tools/vmbus/program.h"
#include "tools/vmbus/run_bus.h"
#include "tools/vmbus/vm_spec.h"

namespace vmbus::tools {
namespace {

constexpr const char* kExamples = R"(
A daemon is started where none runs; it leaves with its last user. COMMAND takes the place of `vmbus`:
exit status, signals, standard streams and terminal are its own. 2: bad options; 125: vmbus failed;
126, 127: COMMAND cannot be run, is not found.

COMMAND's environment: VMBUS_SOCKET (its bus), VMBUS_VM_ID and VMBUS_CID (of the guest it is, or else of
the default guest), LD_PRELOAD (the shim), PYTHONPATH (AF_HYPERV for Python), VMBUS_PARTITION,
VMBUS_PROFILE, VMBUS_QUIRKS and VMBUS_MODE (as the options say). `python3 -I`, -E and -S leave out what
PYTHONPATH brings and have no AF_HYPERV; AF_VSOCK they have. VMBUS_SERVICES counts as --services.

Examples:
  vmbus run -- python3 guest_server.py        AF_VSOCK here is the default guest's
  vmbus run -- python3 host_client.py         AF_HYPERV here is the host's; finds VMBUS_VM_ID
  vmbus run -- socat - VSOCK-CONNECT:3:1234   dialling a guest's CID is the host's, too
  vmbus run --as host -- ncat --vsock -l 80   says who, where nothing in the program does
  vmbus run --vm second --as second -- ./agent
  vmbus run --profile strict --quirk peek=on -- ./agent   see vmbus profiles
  vmbus run --profile strict --services ports.txt -- ./agent   see vmbus service --help
  vmbus run --private -- ctest -j8            a bus that nobody else sees
  vmbus run -- bash                           everything typed there is on the bus)";

struct Options {
  std::string partition;
  bool private_bus = false;
  std::string profile;
  std::vector<std::string> quirks;
  std::string mode;
  std::vector<std::string> vms;
  std::string services;
  bool no_python = false;
  std::string socket;
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string partition_for(const Options& options) {
  return options.partition.empty() ? variable("VMBUS_PARTITION") : options.partition;
}

Outcome<RunBus> open_bus(const Options& options) {
  const auto path = bus_path(options.socket);
  if (!path) return tl::make_unexpected(path.error());
  const auto services =
      read_service_list(options.services.empty() ? variable("VMBUS_SERVICES") : options.services);
  if (!services) return tl::make_unexpected(services.error());
  // The list goes on the bus from here: neither a daemon that is started now nor COMMAND reads one again.
  ::unsetenv("VMBUS_SERVICES");
  auto bus = options.private_bus ? private_bus(*path, options.vms) : shared_bus(*path, options.vms);
  if (!bus || !*services) return bus;
  if (const auto registered = register_services(*bus, **services); !registered) {
    take_back(*bus);
    return tl::make_unexpected(registered.error());
  }
  return bus;
}

// What the command must be told, and a warning if it will not hear it.
Outcome<Surroundings> survey(const Options& options, const std::string& command, RunBus* bus) {
  const auto installation = find_installation(own_executable());
  if (!installation) return tl::make_unexpected(installation.error());
  const std::string links = client::lasting_directory(bus->path);
  const auto shim = preloadable(installation->shim, links);
  if (!shim) return tl::make_unexpected(shim.error());
  const auto guest = guest_of(bus->connection, partition_for(options));
  if (!guest) return tl::make_unexpected(guest.error());

  Surroundings surroundings;
  surroundings.bus_socket = bus->path.socket;
  surroundings.vm_id = guest->vm_id();
  surroundings.cid = std::to_string(guest->cid());
  surroundings.partition = options.partition;
  surroundings.profile = options.profile;
  surroundings.quirks = joined_quirks(::getenv, options.quirks);
  surroundings.mode = options.mode;
  surroundings.shim = *shim;
  if (!options.no_python && variable("VMBUS_PYTHON") != "0") {
    const auto site = importable(installation->python_site, links);
    if (!site) return tl::make_unexpected(site.error());
    surroundings.python_site = *site;
  }
  if (const auto path = find_program(command, std::getenv("PATH"))) {
    const Program program = inspect_program(*path);
    surroundings.sanitizer = program.sanitizer;
    const std::string warning = preload_warning(program);
    if (!warning.empty()) fmt::print(stderr, "vmbus: warning: {}\n", warning);
  }
  return surroundings;
}

// Returns only when it fails.
Failure replace_by(const std::vector<std::string>& command, const Surroundings& surroundings) {
  for (const auto& [name, value] : command_environment(surroundings, ::getenv)) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int error = errno;
  return {error == ENOENT ? kExitNotFound : kExitCannotExecute,
          fmt::format("cannot run '{}': {}", command[0], std::strerror(error))};
}

Outcome<void> check_rules(const Options& options) {
  if (auto checked = check_profile("--profile", options.profile); !checked) return checked;
  const std::string profile = options.profile.empty() ? variable("VMBUS_PROFILE") : options.profile;
  return check_settings("--quirk", profile, joined_quirks(::getenv, options.quirks));
}

Failure run(const Options& options, const std::vector<std::string>& command) {
  if (command.empty()) return {kExitUsage, "run: no command; try: vmbus run -- COMMAND..."};
  if (const auto checked = check_environment(::getenv); !checked) return checked.error();
  if (const auto checked = check_rules(options); !checked) return checked.error();
  const std::string partition = partition_for(options);
  if (is_a_guest(partition)) {
    if (const auto checked = check_name(partition); !checked) return checked.error();
  }
  auto bus = open_bus(options);
  if (!bus) return bus.error();
  const auto surroundings = survey(options, command[0], &*bus);
  Failure failure;
  if (surroundings) {
    leave_to_command(bus->connection);
    failure = replace_by(command, *surroundings);
  } else {
    failure = surroundings.error();
  }
  take_back(*bus);
  return failure;
}

// The command is split off before parsing, so the parser does not know of it.
class RunFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* /*app*/, std::string /*name*/) const override {
    return "Usage: vmbus run [OPTIONS] -- COMMAND...\n";
  }
};

// A failure of ours must not look like the command's own.
int complain_as_runner(Failure failure) {
  if (failure.exit_status == kExitFailed) failure.exit_status = kExitRunFailed;
  return complain(failure);
}

}  // namespace

void add_run(CLI::App& app, const std::vector<std::string>& command, int* exit_status) {
  CLI::App* subcommand = app.add_subcommand("run", "Run a command on the bus");
  subcommand->formatter(std::make_shared<RunFormatter>());
  subcommand->footer(kExamples);
  const auto options = std::make_shared<Options>();
  subcommand->add_option("--as", options->partition, "Who the command is: host, a guest, or auto")
      ->type_name("PARTITION");
  subcommand->add_flag("--private", options->private_bus,
                       "A bus of the command's own, gone when it and its children have ended");
  subcommand
      ->add_option("--profile", options->profile, "Whose sockets: a name that vmbus profiles lists")
      ->type_name("PROFILE");
  subcommand->add_option("--quirk", options->quirks, "One row of the profile (repeatable)")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->take_all();
  subcommand
      ->add_option("--mode", options->mode,
                   "How data travels: pump (through the daemon), ring (programs also work the "
                   "rings themselves), auto: ring")
      ->type_name("MODE")
      ->check(CLI::IsMember(kModes));
  subcommand->add_option("--vm", options->vms, "A guest that must exist (repeatable)")
      ->type_name("NAME[,cid=N][,id=GUID][,flavour=F]")
      ->allow_extra_args(false)
      ->take_all();
  subcommand
      ->add_option("--services", options->services,
                   "Services to register on the host, one GUID or vsock port a line")
      ->type_name("FILE");
  subcommand->add_flag("--no-python", options->no_python, "Leave Python programs alone");
  add_socket_option(*subcommand, &options->socket);
  subcommand->callback([options, &command, exit_status] {
    *exit_status = complain_as_runner(run(*options, command));
  });
}

}  // namespace vmbus::tools
