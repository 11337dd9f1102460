// Bytes that a program or a user chose, made fit for a terminal and for a protobuf string.
#ifndef VMBUS_EMU_CLIENT_PRINTABLE_H_
#define VMBUS_EMU_CLIENT_PRINTABLE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace vmbus::client {

// Valid UTF-8 without control characters, at most `max_bytes` long: a '?' stands for each byte that
// belongs to no character, and for each control character. No character is cut in two.
std::string printable(std::string_view bytes, std::size_t max_bytes = std::string_view::npos);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_PRINTABLE_H_
