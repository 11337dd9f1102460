// socket(2): which families, types and protocols are ours, and making one.
#ifndef VMBUS_SHIM_CREATION_H_
#define VMBUS_SHIM_CREATION_H_

#include <cstdint>

namespace vmbus::shim {

enum class Owner : std::uint8_t {
  kKernel,
  kShim,       // never reaches the kernel, whatever happens
  kDaemonSays  // FreeBSD's AF_HYPERV shares 43 with Linux' AF_SMC: ours while a freebsd guest
               // exists
};

// Pure.
Owner owner_of(int family, int type);
// What socket() refuses about a combination that is ours: 0 or an errno value. Pure.
int refuse_socket(int family, int type, int protocol);

// A new descriptor, -errno, or kNotOurs (socket.h).
long create_socket(int family, int type, int protocol);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_CREATION_H_
