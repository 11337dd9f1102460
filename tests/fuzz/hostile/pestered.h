// A program with a signal handler, in a call that waits, while its lane is changed as fast as it goes:
// the signal must still end the call.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_

#include <cstdint>

namespace vmbus::hostile {

// The peer at `port` of `cid` neither sends nor receives. Ends the program if a call does not return.
void receive_pestered(std::uint32_t cid, std::uint32_t port);
// The same for a send, where the ring's room is all there is: it looks as if its carrier were plugged for ever.
void send_pestered(std::uint32_t cid, std::uint32_t port);
// A position ahead of read_index, as if somebody had died between the two stores: a receive that finds
// nothing behind it gives the room back, and says so.
void receive_ahead(std::uint32_t cid, std::uint32_t port);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_
