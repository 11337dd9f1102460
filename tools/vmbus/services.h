// Registered services, as the command line and files name them (emu/client/service_list.h).
#ifndef VMBUS_TOOLS_VMBUS_SERVICES_H_
#define VMBUS_TOOLS_VMBUS_SERVICES_H_

#include <string>

#include "emu/protocol/protobuf/control.pb.h"
#include "tools/vmbus/failure.h"

namespace vmbus::tools {

// A usage error where no bus would take it.
Outcome<void> check_service(const std::string& service, const std::string& name);

control::Request list_services_request();
// `service` empty: none, but there is a list from then on.
control::Request add_service_request(const std::string& service, const std::string& name);
// `service` empty: the whole list.
control::Request remove_service_request(const std::string& service);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_SERVICES_H_
