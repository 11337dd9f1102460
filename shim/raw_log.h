// raw_log: one line on standard error, for VMBUS_LOG. One write(2) from a stack buffer: no stdio,
// no allocation, errno untouched, safe in a signal handler and in a process that is not ours. Off
// by default.
#ifndef VMBUS_SHIM_RAW_LOG_H_
#define VMBUS_SHIM_RAW_LOG_H_

#include <initializer_list>

namespace vmbus::shim {

void enable_log(bool enabled);

// "vmbus: " and the parts, one after the other; "(errno N)" behind them unless `error` is 0.
void log_line(std::initializer_list<const char*> parts, int error = 0);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_RAW_LOG_H_
