// What a recorded control message says beyond its name and its relid, in a few words.
#ifndef VMBUS_TOOLS_VMBUS_MESSAGE_DETAIL_H_
#define VMBUS_TOOLS_VMBUS_MESSAGE_DETAIL_H_

#include <cstddef>
#include <span>
#include <string>

#include "emu/protocol/message_info.h"

namespace vmbus::tools {

// Empty for a message that says no more, and for one that cannot be decoded.
std::string detail_of(std::span<const std::byte> payload, proto::Direction direction);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_MESSAGE_DETAIL_H_
