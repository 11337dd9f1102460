// Telling the options of `vmbus run` from the command that follows them. Pure.
#ifndef VMBUS_TOOLS_VMBUS_ARGUMENTS_H_
#define VMBUS_TOOLS_VMBUS_ARGUMENTS_H_

#include <set>
#include <string>
#include <vector>

namespace vmbus::tools {

struct SplitArguments {
  std::vector<std::string> own;  // for our own parser
  std::vector<std::string>
      command;  // untouched: it may have options like ours, and "--" of its own
};

// `arguments` without the program's name. The command begins after the first "--", or at the first
// argument that is no option and no value of one in `options_with_value`.
SplitArguments split_arguments(const std::vector<std::string>& arguments,
                               const std::set<std::string>& options_with_value);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_ARGUMENTS_H_
