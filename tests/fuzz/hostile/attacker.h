// The attacker: a program of a guest that maps the guest's memory and stores what it likes there.
//
// It works in campaigns: some milliseconds of one kind of lie about one connection, then a rest in which
// others may go on. A kind that ends a connection at once is rare, or no other would be seen.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_ATTACKER_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_ATTACKER_H_

#include <cstdint>

namespace vmbus::hostile {

// By way of a connection to `port` of `cid`, until it is told to end. Prints what it did.
void attack(std::uint32_t cid, std::uint32_t port, std::uint64_t seed);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_ATTACKER_H_
