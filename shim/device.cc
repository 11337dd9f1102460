#include "shim/device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include <cstdint>
#include <cstring>

#include "shim/daemon_client.h"
#include "shim/fd_table.h"
#include "shim/real.h"
#include "shim/socket.h"
#include "shim/user_memory.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

constexpr unsigned kMiscMajor = 10;
constexpr unsigned kDeviceMinor = 121;  // dynamic on real systems
constexpr mode_t kDeviceMode = S_IFCHR | 0666;
constexpr unsigned kBlockBytes = 4096;

// A program that hands a wild pointer to open() gets EFAULT from the kernel, not a fault from us:
// only addresses in the lower half and above the first page are looked at.
bool may_be_text(const char* path) {
  const auto address = reinterpret_cast<std::intptr_t>(path);
  return address >= 4096;
}

// The CID depends on partition and profile, which are the daemon's to know: a socket of ours would
// have it.
long local_cid(std::uint32_t* cid) {
  NewCarrier made;
  if (const int error = request_socket(kAfVsock, SOCK_STREAM, 0, &made)) return -error;
  proto::Endpoint endpoint;
  proto::read_endpoint(shared_endpoint(made.entry), &endpoint);
  real::call(SYS_close, made.fd);
  *cid = endpoint.local_cid;
  return 0;
}

}  // namespace

bool is_device_path(const char* path) {
  return may_be_text(path) && std::strcmp(path, "/dev/vsock") == 0;
}

long open_device(int flags) {
  if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) return -EEXIST;
  if ((flags & O_DIRECTORY) != 0) return -ENOTDIR;
  if (connect_to_daemon(Start::kIfNeeded) != 0) return -ENOENT;
  const long fd = real::call(SYS_pidfd_open, real::call(SYS_getpid), 0);
  if (fd < 0) return fd;
  if ((flags & O_CLOEXEC) == 0) real::call(SYS_fcntl, fd, F_SETFD, 0);
  if ((flags & O_NONBLOCK) != 0) real::call(SYS_fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK);
  if (fd_table().set(static_cast<int>(fd), FdEntry{0, 0, 0, kFdDevice})) return fd;
  real::call(SYS_close, fd);
  return -EMFILE;
}

long device_ioctl(unsigned long request, void* argument) {
  switch (request) {
    case FIOCLEX:
    case FIONCLEX:
    case FIONBIO:
    case FIOASYNC:
      return kNotOurs;
    case kGetLocalCid: {
      std::uint32_t cid = 0;
      if (const long error = local_cid(&cid)) return error;
      return -copy_to_program(argument, &cid, sizeof cid);
    }
    default:
      return -ENOTTY;
  }
}

long refuse_local_cid(int fd) {
  const long flags = real::call(SYS_fcntl, fd, F_GETFD);
  return flags < 0 ? flags : -ENOTTY;
}

void describe_device(struct stat* status) {
  *status = {};
  status->st_mode = kDeviceMode;
  status->st_nlink = 1;
  status->st_ino = kDeviceMinor;
  status->st_rdev = makedev(kMiscMajor, kDeviceMinor);
  status->st_blksize = kBlockBytes;
}

void describe_device(struct statx* status) {
  *status = {};
  status->stx_mask = STATX_BASIC_STATS;
  status->stx_mode = kDeviceMode;
  status->stx_nlink = 1;
  status->stx_ino = kDeviceMinor;
  status->stx_rdev_major = kMiscMajor;
  status->stx_rdev_minor = kDeviceMinor;
  status->stx_blksize = kBlockBytes;
}

}  // namespace vmbus::shim
