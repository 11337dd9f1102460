// Failure: why a subcommand ends without having done its work, and the status it ends with.
//
//   1    asked for something that is not so: no bus, an unknown name, a refusal of the daemon
//   2    usage: a bad option or environment variable
//   125  `vmbus run` itself failed; 126, 127: the command cannot be run, is not found (as env(1)
//   has it)
#ifndef VMBUS_TOOLS_VMBUS_FAILURE_H_
#define VMBUS_TOOLS_VMBUS_FAILURE_H_

#include <string>
#include <tl/expected.hpp>

namespace vmbus::tools {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitRunFailed = 125;
inline constexpr int kExitCannotExecute = 126;
inline constexpr int kExitNotFound = 127;

struct Failure {
  int exit_status = kExitFailed;
  std::string message;  // one line: the cause, and where possible the remedy
};

template <typename T>
using Outcome = tl::expected<T, Failure>;

inline tl::unexpected<Failure> fail(int exit_status, std::string message) {
  return tl::make_unexpected(Failure{exit_status, std::move(message)});
}

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_FAILURE_H_
