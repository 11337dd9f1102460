// Reports: what `vmbus status`, `ps`, `messages` and `vm list` show, as control.proto's messages.
//
// Read-only views of the daemon's state, made on request on the loop thread.
#ifndef VMBUS_EMU_REPORTS_H_
#define VMBUS_EMU_REPORTS_H_

#include <cstdint>
#include <string>

#include "emu/counters.h"
#include "emu/hvsocket/sockets.h"
#include "emu/message_log.h"
#include "emu/protocol/protobuf/control.pb.h"

namespace vmbus::emu {

void report_guests(const Sockets& sockets,
                   google::protobuf::RepeatedPtrField<control::StatusReport::Guest>* guests);
void report_counters(const Counters& counters, control::StatusReport* report);
control::SocketReport report_sockets(const Sockets& sockets);
control::ServiceReport report_services(const ServiceRegistry& services);

// `guest` empty: of all; `relid` 0: any. Times count from `start_ns` (CLOCK_MONOTONIC).
control::MessageReport report_messages(const MessageLog& log, const std::string& guest,
                                       std::uint32_t relid, std::uint64_t start_ns);

// Open descriptors of this process.
std::uint32_t count_descriptors();

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_REPORTS_H_
