// Whether this process has put itself under a seccomp filter. Such a program allows the calls that it
// makes itself, by number; any other that we would make in its place may end it.
#ifndef VMBUS_SHIM_SANDBOX_H_
#define VMBUS_SHIM_SANDBOX_H_

namespace vmbus::shim {

bool is_sandboxed();
void note_sandbox();  // a filter was installed; for good

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SANDBOX_H_
