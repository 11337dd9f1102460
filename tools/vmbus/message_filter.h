// Which of the recorded control messages to show. Pure.
#ifndef VMBUS_TOOLS_VMBUS_MESSAGE_FILTER_H_
#define VMBUS_TOOLS_VMBUS_MESSAGE_FILTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::tools {

using RecordedMessage = control::MessageReport::Message;

enum class ConnectionChoice : std::uint8_t { kAll, kFirst, kLast };

struct MessageFilter {
  std::string guest;        // empty: all
  std::uint32_t relid = 0;  // 0: all
  ConnectionChoice connection = ConnectionChoice::kAll;
};

// Oldest first, as in the report.
//
// A connection is what one socket connection exchanged: its TL_CONNECT_REQUEST, its offer, all that
// names the offer's relid or a GPADL made for it, up to RELID_RELEASED. The first one of a guest
// comes with what it caused to happen before: the guest's contact with the bus.
std::vector<const RecordedMessage*> select_messages(const control::MessageReport& report,
                                                    const MessageFilter& filter);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_MESSAGE_FILTER_H_
