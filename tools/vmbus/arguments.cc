#include "tools/vmbus/arguments.h"

namespace vmbus::tools {

SplitArguments split_arguments(const std::vector<std::string>& arguments,
                               const std::set<std::string>& options_with_value) {
  if (arguments.empty() || arguments.front() != "run") return {arguments, {}};
  auto i = arguments.begin() + 1;
  while (i != arguments.end() && i->starts_with('-') && *i != "--") {
    const bool takes_next = options_with_value.contains(*i);
    ++i;
    if (takes_next && i != arguments.end()) ++i;
  }
  SplitArguments split;
  split.own.assign(arguments.begin(), i);
  if (i != arguments.end() && *i == "--") ++i;
  split.command.assign(i, arguments.end());
  return split;
}

}  // namespace vmbus::tools
