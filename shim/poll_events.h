// What poll() and ppoll() show beside the carrier's own events, where AF_UNIX's differ from
// AF_VSOCK's: ERR for a connect that failed, for a connection whose device was reset and for a
// zero-copy notification (zerocopy.h), never WRBAND, and with fin-readiness=late no RDHUP beside IN for
// a FIN that no receive has come to. select() and epoll have the carrier's alone.
//
// Threads     Any. Lock-free; safe in signal handlers.
#ifndef VMBUS_SHIM_POLL_EVENTS_H_
#define VMBUS_SHIM_POLL_EVENTS_H_

#include <poll.h>

#include "emu/protocol/endpoint_table.h"
#include "shim/fd_table.h"

namespace vmbus::shim {

// This process has a connect under way that nobody waits in.
void note_attempt();

// A receive gave end of file.
void note_end_seen(FdEntry entry, const proto::Endpoint& endpoint);

// May any socket have ERR that its carrier does not show? Two loads.
bool errors_may_exist();
// Has one of these?
bool has_error(const pollfd* asked, nfds_t count);

// After the kernel's poll(): how many descriptors have events, given that it found `found`.
int amend_events(pollfd* asked, nfds_t count, int found);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_POLL_EVENTS_H_
