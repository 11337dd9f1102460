// What a data call on one of our sockets gives before, and after, the kernel has been asked. Pure:
// an endpoint's entry in, a verdict out. The rules are Linux' for AF_VSOCK, with FreeBSD's and
// Windows' where the family is theirs (docs/shim.md, "Data"), and as the entry's quirks change them
// (docs/profiles.md).
#ifndef VMBUS_SHIM_VERDICT_H_
#define VMBUS_SHIM_VERDICT_H_

#include <cstddef>

#include "emu/protocol/endpoint_table.h"

namespace vmbus::shim {

inline constexpr int kAfVsock = 40;
inline constexpr int kAfHyperv = 34;
inline constexpr int kAfHypervFreeBsd = 43;

// Not an error and not a result: the kernel shall answer, on the carrier.
inline constexpr long kAskKernel = 1;

// kAskKernel, 0, or -errno.
long receive_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length);
long send_verdict(const proto::Endpoint& endpoint, int flags, std::size_t length, bool has_address);

// The carrier gave end of file, or an error of its own making: 0 or -errno. ECONNRESET when nothing
// in the entry explains it, for then the daemon is gone.
long end_of_stream(const proto::Endpoint& endpoint);
// The same for a send that the carrier refused.
long broken_send(const proto::Endpoint& endpoint);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_VERDICT_H_
