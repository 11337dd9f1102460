// Error: why something about the bus failed, for programs (errno) and for people (cause and
// remedy).
#ifndef VMBUS_EMU_CLIENT_ERROR_H_
#define VMBUS_EMU_CLIENT_ERROR_H_

#include <string>
#include <system_error>

namespace vmbus::client {

struct Error {
  int code = 0;             // errno value
  std::string explanation;  // one line
};

// "Permission denied", from the errno value.
inline std::string errno_text(int error) { return std::generic_category().message(error); }

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_ERROR_H_
