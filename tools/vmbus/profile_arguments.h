// Profiles and quirks as a user writes them: what is wrong, and what was probably meant. Pure.
#ifndef VMBUS_TOOLS_VMBUS_PROFILE_ARGUMENTS_H_
#define VMBUS_TOOLS_VMBUS_PROFILE_ARGUMENTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "tools/vmbus/failure.h"

namespace vmbus::tools {

// The candidate that takes the fewest changes of one letter, if that is at most half of `wrong`;
// else empty.
std::string_view nearest(std::string_view wrong, const std::vector<std::string_view>& candidates);

// A usage error that starts with `where` ("--profile", "VMBUS_PROFILE") for what is no profile.
Outcome<void> check_profile(std::string_view where, std::string_view name);
// The same for "NAME=VALUE,...". REQUIRES: `profile` is one, or empty for the default.
Outcome<void> check_settings(std::string_view where, std::string_view profile,
                             std::string_view settings);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_PROFILE_ARGUMENTS_H_
