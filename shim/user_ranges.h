// Whether the program's buffers may be touched: a copy of ours that met a bad pointer would end a program
// that the kernel tells EFAULT. Asking the kernel costs more than a small copy, so what it said is
// remembered, a few ranges a thread, until the program changes its memory (interpose_memory.cc).
//
// Limit       A buffer that libc itself gave back to the kernel (free() of a large block) is not
//             noticed. Whoever passes one on has a dangling pointer.
#ifndef VMBUS_SHIM_USER_RANGES_H_
#define VMBUS_SHIM_USER_RANGES_H_

#include <cstddef>

namespace vmbus::shim {

enum class Access : unsigned char { kRead, kWrite };

// False: perhaps not all of it; let the kernel do the copy. Never for other processes' sake.
bool may_touch(const void* memory, std::size_t bytes, Access access);

// Whether that is known already; asks nobody.
bool knows_range(const void* memory, std::size_t bytes, Access access);

// The program has changed its mappings.
void forget_ranges();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_USER_RANGES_H_
