// What `vmbus profiles` prints of the quirk table. Pure.
#ifndef VMBUS_TOOLS_VMBUS_PROFILES_REPORT_H_
#define VMBUS_TOOLS_VMBUS_PROFILES_REPORT_H_

#include <cstddef>
#include <optional>
#include <string>

#include "tools/vmbus/reports.h"

namespace vmbus::tools {

// All profiles side by side, or one (a place in proto::kProfileTable) with what each row means.
std::string profiles_text(std::optional<std::size_t> profile);
Json profiles_json(std::optional<std::size_t> profile);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_PROFILES_REPORT_H_
