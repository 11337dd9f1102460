// The honest pair: one connection after another, bytes both ways, each of them checked. Nothing that
// happens in another guest may show here: not as a wrong byte, an error, or a stall.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_HONEST_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_HONEST_H_

#include <cstdint>

namespace vmbus::hostile {

// Both return when they are told to end and the connection at hand is done; they print how many
// connections and bytes that was. Anything wrong ends the program.
void serve_honestly(std::uint32_t port);
void dial_honestly(std::uint32_t cid, std::uint32_t port, std::uint64_t seed);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_HONEST_H_
