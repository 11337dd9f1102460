// The long answers to tools: one serialized message in a sealed memfd, which a reply carries.
#ifndef VMBUS_EMU_REPORT_FILE_H_
#define VMBUS_EMU_REPORT_FILE_H_

#include <google/protobuf/message_lite.h>

#include <tl/expected.hpp>

#include "emu/owned_fd.h"

namespace vmbus::emu {

// Error: errno.
tl::expected<OwnedFd, int> make_report_file(const google::protobuf::MessageLite& report);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_REPORT_FILE_H_
