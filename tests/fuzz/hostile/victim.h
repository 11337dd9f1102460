// The victims: honest programs whose connections are attacked. They may get errors and wrong bytes, but
// must neither crash, nor hang beyond the end of their connection.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_VICTIM_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_VICTIM_H_

#include <cstdint>

namespace vmbus::hostile {

void serve_as_victim(std::uint32_t port, std::uint64_t seed);
void dial_as_victim(std::uint32_t cid, std::uint32_t port, std::uint64_t seed);

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_VICTIM_H_
