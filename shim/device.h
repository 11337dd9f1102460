// /dev/vsock for programs that ask it for their CID, also where the node does not exist. The real
// one is never opened. What open() returns is a pidfd: like the device it cannot be read (EINVAL)
// or sought (ESPIPE). It is known by its table entry alone, so it does not outlive exec; nothing
// was seen to need that.
#ifndef VMBUS_SHIM_DEVICE_H_
#define VMBUS_SHIM_DEVICE_H_

#include <sys/stat.h>

namespace vmbus::shim {

inline constexpr unsigned long kGetLocalCid = 0x7b9;  // IOCTL_VM_SOCKETS_GET_LOCAL_CID

// Whether `path`, below `directory` if it is relative, names the node: as "/dev/vsock", as "vsock" in
// whatever spelling of /dev, or as a "vsock" elsewhere that leads to it. No system call unless that
// is the path's last component, and none that opens anything.
bool is_device_path(int directory, const char* path);

// A descriptor, or -errno: ENOENT without a daemon.
long open_device(int flags);
// 0, -errno, or kNotOurs for the requests that work on any descriptor (FIOCLEX and its kin).
long device_ioctl(unsigned long request, void* argument);
// For a descriptor that is no device of ours: GET_LOCAL_CID must reach no real one. EBADF or
// ENOTTY.
long refuse_local_cid(int fd);

// Into the program's memory: 0 or -EFAULT.
long describe_device(struct stat* status);
long describe_device(struct statx* status);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DEVICE_H_
