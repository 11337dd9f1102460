// Socket options whose value the endpoint table holds: validated and clamped as Linux 6.18 does for
// AF_VSOCK, and as hvsocket.h says for AF_HYPERV. Options that act on the carrier itself
// (SO_RCVTIMEO ...) never come here.
#ifndef VMBUS_EMU_HVSOCKET_SOCKET_OPTIONS_H_
#define VMBUS_EMU_HVSOCKET_SOCKET_OPTIONS_H_

#include <span>

#include "emu/hvsocket/socket.h"

namespace vmbus::emu {

// 0, or errno: EINVAL (short or out of range), ERANGE (connect time limit), EOPNOTSUPP,
// ENOPROTOOPT.
int set_option(Socket& socket, int level, int option, std::span<const std::byte> value);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SOCKET_OPTIONS_H_
