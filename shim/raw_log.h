// raw_log: one line on standard error, for VMBUS_LOG. One write(2) from a stack buffer: no stdio,
// no allocation, errno untouched, safe in a signal handler and in a process that is not ours. Off
// by default.
#ifndef VMBUS_SHIM_RAW_LOG_H_
#define VMBUS_SHIM_RAW_LOG_H_

namespace vmbus::shim {

void enable_log(bool enabled);

// "vmbus: WHAT", "vmbus: WHAT: DETAIL" or "vmbus: WHAT: DETAIL (errno NUMBER)". `detail` may be
// null.
void log_line(const char* what, const char* detail = nullptr, int error = 0);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_RAW_LOG_H_
