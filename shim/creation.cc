#include "shim/creation.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "shim/daemon_client.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/socket.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

constexpr int kTypeMask = 0xf;
constexpr int kFlagMask = SOCK_NONBLOCK | SOCK_CLOEXEC;
constexpr int kTypeEnd = 11;  // Linux' SOCK_MAX
constexpr int kHvProtocolRaw = 1;

int refuse_vsock(int type, int protocol) {
  if (type >= kTypeEnd) return EINVAL;
  if (protocol != 0 && protocol != kAfVsock) return EPROTONOSUPPORT;
  switch (type) {
    case SOCK_STREAM:
    case SOCK_SEQPACKET:
      return 0;
    case SOCK_DGRAM:
      return ENODEV;  // hv_sock has no datagrams
    default:
      return ESOCKTNOSUPPORT;
  }
}

// The daemon's end A is blocking and close-on-exec.
void apply_type_flags(int fd, int type) {
  if ((type & SOCK_NONBLOCK) != 0) real::call(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
  if ((type & SOCK_CLOEXEC) == 0) real::call(SYS_fcntl, fd, F_SETFD, 0);
}

long adopt_carrier(const NewCarrier& made, int type) {
  if (!fd_table().set(made.fd, made.entry)) {
    real::call(SYS_close, made.fd);
    return -EMFILE;
  }
  apply_type_flags(made.fd, type);
  return made.fd;
}

}  // namespace

Owner owner_of(int family, int type) {
  const bool stream = (type & kTypeMask) == SOCK_STREAM;
  if (family == kAfVsock) return Owner::kShim;
  if (family == kAfHyperv && stream) return Owner::kShim;
  return family == kAfHypervFreeBsd && stream ? Owner::kDaemonSays : Owner::kKernel;
}

int refuse_socket(int family, int type, int protocol) {
  if ((type & ~(kTypeMask | kFlagMask)) != 0) return EINVAL;
  switch (family) {
    case kAfHyperv:
      if (protocol == 0) return EPROTOTYPE;
      return protocol == kHvProtocolRaw ? 0 : EPROTONOSUPPORT;
    case kAfHypervFreeBsd:
      return protocol == 0 || protocol == 1 ? 0 : EPROTONOSUPPORT;
    default:
      return refuse_vsock(type & kTypeMask, protocol);
  }
}

long create_socket(int family, int type, int protocol) {
  const Owner owner = owner_of(family, type);
  if (owner == Owner::kKernel) return kNotOurs;
  const bool certain = owner == Owner::kShim;
  // A vfork child may not touch its parent's connection.
  if (!owns_memory()) return certain ? -EAFNOSUPPORT : kNotOurs;
  const int unconnected = connect_to_daemon(certain ? Start::kIfNeeded : Start::kNever);
  if (unconnected != 0) return certain ? -unconnected : kNotOurs;
  // Whether 43 is ours, and so its protocols, the daemon says.
  const int refused = refuse_socket(family, type, protocol);
  const bool daemon_refuses = !certain && refused == EPROTONOSUPPORT;
  if (refused != 0 && !daemon_refuses) return certain ? -refused : kNotOurs;
  NewCarrier made;
  const int error = request_socket(family, type & kTypeMask, protocol, &made);
  if (error == EAFNOSUPPORT && !certain) return kNotOurs;
  return error != 0 ? -error : adopt_carrier(made, type);
}

}  // namespace vmbus::shim
