// Copies between the program's memory and ours where a bad pointer must give EFAULT, as the kernel
// would, and not a fault in our code. For control calls: one system call each (about 0.3 us). Data
// calls hand pointers to the kernel; what they must look at themselves (a message's header, a vector
// of parts) they ask about first, which costs a third of that a page.
#ifndef VMBUS_SHIM_USER_MEMORY_H_
#define VMBUS_SHIM_USER_MEMORY_H_

#include <sys/socket.h>

#include <cstddef>

namespace vmbus::shim {

// 0 or EFAULT. Where the kernel refuses process_vm_readv (a sandbox) only a null pointer is caught.
int copy_from_program(void* to, const void* from, std::size_t bytes);
int copy_to_program(void* to, const void* from, std::size_t bytes);

// Whether all of it can be read.
bool is_readable(const void* memory, std::size_t bytes);

// What the kernel says of the name given to sendto(), whatever the socket: 0, EINVAL or EFAULT.
int check_name(const sockaddr* name, socklen_t length);

// The in-out length of getsockname() and its kin: 0 and *length, EFAULT, or EINVAL when it is
// negative.
int read_length(const socklen_t* program_length, socklen_t* length);

// What getsockname() does with its buffer: copies at most `room` bytes and reports the full length.
int store_truncated(void* buffer, socklen_t room, socklen_t* program_length, const void* value,
                    std::size_t bytes);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_USER_MEMORY_H_
