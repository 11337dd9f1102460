// The daemon's reports as text for people and as JSON for scripts. Pure.
//
// JSON        Keys are the field names of control.proto; they are never renamed. Every key is
//             always there. Numbers are numbers, 64-bit ones too.
#ifndef VMBUS_TOOLS_VMBUS_REPORTS_H_
#define VMBUS_TOOLS_VMBUS_REPORTS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::tools {

using Json = nlohmann::ordered_json;

std::string status_text(const control::StatusReport& report);
Json status_json(const control::StatusReport& report);

std::string sockets_text(const control::SocketReport& report);
Json sockets_json(const control::SocketReport& report);

std::string guests_text(const control::VmReport& report);
Json guests_json(const control::VmReport& report);

std::string services_text(const control::ServiceReport& report);
Json services_json(const control::ServiceReport& report);

// What --json prints when nobody listens at `path`.
Json not_running_json(const std::string& path);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_REPORTS_H_
