// Numbers as people read them.
#ifndef VMBUS_TOOLS_VMBUS_UNITS_H_
#define VMBUS_TOOLS_VMBUS_UNITS_H_

#include <cstdint>
#include <string>

namespace vmbus::tools {

std::string bytes_text(std::uint64_t bytes);            // "512", "1.5K", "64.0M"
std::string duration_text(std::uint64_t milliseconds);  // "0.4 s", "3 min 2 s", "2 h 5 min"
std::string percent_text(std::uint64_t part, std::uint64_t whole);  // "37%"; "<1%" for a trace
std::string milliseconds_text(std::uint64_t nanoseconds);           // "0.123"

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_UNITS_H_
