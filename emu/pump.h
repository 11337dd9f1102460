// Pump: PUMP, the data path that is always right: copies between end B of a carrier and the rings
// of its stream.
//
// Both directions move many packets a system call: readv and sendmsg with spans laid over ring
// payloads, headers filled afterwards, one publish, one signal; at most kTurnBytes a direction
// before the next connection's turn.
//
// Threads     The loop thread. Never blocks.
// Edges       Socket::b_readable and b_writable hold an edge until a call says EAGAIN.
#ifndef VMBUS_EMU_PUMP_H_
#define VMBUS_EMU_PUMP_H_

#include <sys/uio.h>

#include <cstddef>

#include "emu/counters.h"
#include "emu/hvsocket/socket.h"

namespace vmbus::emu {

inline constexpr std::size_t kTurnBytes = 256 * 1024;

// What a turn left behind.
struct PumpResult {
  bool more = false;    // the budget ran out: another turn, please
  bool fault = false;   // the peer's ring is nonsense: end this connection
  bool signal = false;  // the ring rules ask for a signal to the peer
};

// B -> ring. Sends FIN behind the last byte once B ended. Discards what cannot be delivered (the
// peer is gone).
PumpResult pump_out(Socket& socket, Counters& counters);

// Ring (or inbox) -> B. Sets kEndedPeerWrite in Socket::ended when the stream's end was reached:
// the caller publishes it, then shuts B.
PumpResult pump_in(Socket& socket, Counters& counters);

// 0 taken: either B is exhausted, or A was shut for reading (then nobody will ever read: `refused`).
struct Delivery {
  std::size_t taken = 0;
  bool refused = false;
};
Delivery give_to_program(Socket& socket, iovec* pieces, std::size_t count);

// The rest of a turn at an empty ring: FIN, the peer's close, or just empty for now. `signal`: so far.
PumpResult at_end_of_ring(Socket& socket, bool signal);
// Of bytes that reach this end.
Counter received_counter(const Stream& stream);

// Moves what the ring still holds into the inbox, because the ring's memory is about to go.
void rescue_ring(Socket& socket);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_PUMP_H_
