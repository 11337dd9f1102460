// A program with a signal handler, in a call that waits, while its lane is changed as fast as it goes:
// the signal must still end the call.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_

#include <cstdint>

namespace vmbus::hostile {

// The peer at `port` of `cid` neither sends nor receives. Ends the program if a call does not return.
void receive_pestered(std::uint32_t cid, std::uint32_t port);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_PESTERED_H_
