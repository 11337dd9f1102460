// The recorded control messages, as text for people and as JSON for scripts. Pure.
#ifndef VMBUS_TOOLS_VMBUS_MESSAGES_REPORT_H_
#define VMBUS_TOOLS_VMBUS_MESSAGES_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/vmbus/message_filter.h"
#include "tools/vmbus/reports.h"

namespace vmbus::tools {

// `dropped`: messages that the bounded record no longer holds. Times count from the first one
// shown.
std::string messages_text(const std::vector<const RecordedMessage*>& messages,
                          std::uint64_t dropped);
Json messages_json(const std::vector<const RecordedMessage*>& messages, std::uint64_t dropped);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_MESSAGES_REPORT_H_
