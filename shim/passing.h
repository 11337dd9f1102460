// Carriers that this process did not make: inherited through exec, or received by SCM_RIGHTS.
#ifndef VMBUS_SHIM_PASSING_H_
#define VMBUS_SHIM_PASSING_H_

#include <sys/socket.h>

namespace vmbus::shim {

// Whether one of the first descriptors (kLowDescriptors) is a carrier: one system call, and one for each
// open descriptor. Cheap enough for the start of every program; find_inherited_descriptors() is not.
inline constexpr int kLowDescriptors = 256;
bool inherited_low_carrier();
// Whether descriptors beyond those can be open: RLIMIT_NOFILE lets them.
bool may_hold_high_descriptors();

// Looks every open descriptor over for the carriers' tag, one system call each, and enters those that
// are ours; FdTable runs it when the program first asks for a descriptor. Only when one is found does
// the process connect to the daemon. Returns the first number above them all.
unsigned find_inherited_descriptors();

// After a recvmsg() on any descriptor: registers the carriers among the descriptors that came with
// it, and forgets what the table still knew about the numbers of the others.
void note_received_descriptors(const msghdr& message);

// Before a sendmsg() on any other descriptor: who receives a carrier of ours may write into it uncounted.
void note_passed_descriptors(const msghdr* message);
// False: no need to look, as for every program that works no rings.
bool passes_may_matter();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_PASSING_H_
