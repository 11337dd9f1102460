// MSG_ZEROCOPY: the notifications that a send was done with the program's pages.
//
// Sends always copy here, so a notification is due at once. AF_UNIX has no error queue to put it in,
// so it is kept in the process: recvmsg(MSG_ERRQUEUE) takes it, and poll() and ppoll() show ERR
// (poll_events.h). It stays behind at exec and in other processes that have the socket.
//
// Threads     Any. Lock-free; safe in signal handlers.
#ifndef VMBUS_SHIM_ZEROCOPY_H_
#define VMBUS_SHIM_ZEROCOPY_H_

#include <cstdint>

#include "shim/fd_table.h"

namespace vmbus::shim {

// The sends first..last, as the kernel counts them on each socket, from 0.
struct ZerocopyRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  bool copied = false;  // one of them was too long for the peer's buffer
};

// Before a send. False: too many sockets have notifications (the kernel: ENOBUFS).
bool reserve_zerocopy_sends(FdEntry socket);
// One more send is done.  REQUIRES: reserve_zerocopy_sends().
void note_zerocopy_send(FdEntry socket, bool copied);
// What is due, which then is not any more. False: nothing is.
bool take_zerocopy_sends(FdEntry socket, ZerocopyRange* range);

// Is there a notification in this process at all? One load.
bool zerocopy_events_exist();
// Is there one for this socket?
bool is_zerocopy_due(FdEntry socket);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_ZEROCOPY_H_
