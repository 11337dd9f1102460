// What can be told of a program before it runs: whether a preloaded library will reach it at all.
#ifndef VMBUS_TOOLS_VMBUS_PROGRAM_H_
#define VMBUS_TOOLS_VMBUS_PROGRAM_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vmbus::tools {

enum class Preload : std::uint8_t {
  kReaches,
  kStatic,        // no dynamic loader, so nobody reads LD_PRELOAD
  kOtherMachine,  // 32 bits, or another processor's: our library does not fit
  kPrivileged,    // gains rights at exec; the loader then ignores LD_PRELOAD
};

struct Program {
  std::string path;  // of the file that decides: a script's interpreter
  Preload preload = Preload::kReaches;
  std::string sanitizer;  // the AddressSanitizer runtime it links, which must be loaded first
};

// Follows execvp(3): PATH for a name without a slash. None: no such file.
std::optional<std::string> find_program(const std::string& name, const char* path_variable);

// A file that is no program we can read counts as reached; exec will say what is wrong with it.
Program inspect_program(const std::string& path);

// For people; empty when the library reaches the program.
std::string preload_warning(const Program& program);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_PROGRAM_H_
