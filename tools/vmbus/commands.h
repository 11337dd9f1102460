// The subcommands of `vmbus`: each adds itself to the command line; when it was asked for, parsing
// runs it and leaves its exit status in `*exit_status`.
#ifndef VMBUS_TOOLS_VMBUS_COMMANDS_H_
#define VMBUS_TOOLS_VMBUS_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace vmbus::tools {

// `command` is what follows the options (arguments.h); it outlives parsing.
void add_run(CLI::App& app, const std::vector<std::string>& command, int* exit_status);
void add_status(CLI::App& app, int* exit_status);
void add_ps(CLI::App& app, int* exit_status);
void add_stop(CLI::App& app, int* exit_status);
void add_vm(CLI::App& app, int* exit_status);
void add_service(CLI::App& app, int* exit_status);
void add_messages(CLI::App& app, int* exit_status);
void add_profiles(CLI::App& app, int* exit_status);

// Options that several have.
void add_socket_option(CLI::App& subcommand, std::string* socket);
void add_json_flag(CLI::App& subcommand, bool* json);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_COMMANDS_H_
