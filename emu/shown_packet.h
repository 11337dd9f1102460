// The pump where a ring must not hold less than it seems to (quirk `room=ring`): instead of moving bytes
// into the carrier it shows the next packet there, and gives the packet's room back only once the carrier
// has been read empty. So a program that waits for bytes sees them, reads packet by packet, and the peer
// finds exactly the room that the ring has.
//
// Programs that read with hooks step over a packet that they have read themselves (shim/direct_receive.cc).
// One that reads in another way is noticed after a while; its socket is pumped as any other from then on.
// Contract    docs/lanes.md
#ifndef VMBUS_EMU_SHOWN_PACKET_H_
#define VMBUS_EMU_SHOWN_PACKET_H_

#include <chrono>

#include "emu/counters.h"
#include "emu/hvsocket/socket.h"
#include "emu/pump.h"
#include "ringbuf/pipe_reader.h"

namespace vmbus::emu {

// How soon the daemon looks whether a packet was read by a program that rings no bell; then less and less
// often.
inline constexpr std::chrono::milliseconds kFirstReaderTurn{10};
inline constexpr std::chrono::milliseconds kLastReaderTurn{1000};

// One turn, instead of pump_in(). REQUIRES: the socket has a lane, whose in gate is held, and its program may
// yet read.
PumpResult show_packet(Socket& socket, Counters& counters);
// Whatever is taken of the packet at hand. False: there is none, or it is nonsense.
bool step_over_packet(ring::PipeReader& reader);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_SHOWN_PACKET_H_
