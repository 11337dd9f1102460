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

constexpr const char* kDevicePath = "/dev/vsock";
constexpr const char* kDeviceName = "vsock";
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

bool look(int directory, const char* path, struct stat* status) {
  return real::call(SYS_newfstatat, directory, path, status, 0) == 0;
}

// Whether what comes before `name` in `path` is the folder /dev. One that is spelled longer than this
// does not count; the node itself is known all the same (below).
bool is_in_dev(int directory, const char* path, const char* name) {
  char folder[256] = ".";
  const auto bytes = static_cast<std::size_t>(name - path);
  if (bytes >= sizeof folder) return false;
  if (bytes > 0) std::memcpy(folder, path, bytes);
  struct stat here;
  struct stat dev;
  return look(directory, folder, &here) && look(AT_FDCWD, "/dev", &dev) &&
         here.st_dev == dev.st_dev && here.st_ino == dev.st_ino;
}

bool leads_to_node(int directory, const char* path) {
  struct stat there;
  struct stat node;
  return look(directory, path, &there) && S_ISCHR(there.st_mode) &&
         look(AT_FDCWD, kDevicePath, &node) && S_ISCHR(node.st_mode) &&
         there.st_rdev == node.st_rdev;
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

bool is_device_path(int directory, const char* path) {
  if (!may_be_text(path)) return false;
  const char* slash = std::strrchr(path, '/');
  const char* name = slash == nullptr ? path : slash + 1;
  if (std::strcmp(name, kDeviceName) != 0) return false;
  if (std::strcmp(path, kDevicePath) == 0) return true;
  return is_in_dev(directory, path, name) || leads_to_node(directory, path);
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

long describe_device(struct stat* status) {
  struct stat device {};
  device.st_mode = kDeviceMode;
  device.st_nlink = 1;
  device.st_ino = kDeviceMinor;
  device.st_rdev = makedev(kMiscMajor, kDeviceMinor);
  device.st_blksize = kBlockBytes;
  return -copy_to_program(status, &device, sizeof device);
}

long describe_device(struct statx* status) {
  struct statx device {};
  device.stx_mask = STATX_BASIC_STATS;
  device.stx_mode = kDeviceMode;
  device.stx_nlink = 1;
  device.stx_ino = kDeviceMinor;
  device.stx_rdev_major = kMiscMajor;
  device.stx_rdev_minor = kDeviceMinor;
  device.stx_blksize = kBlockBytes;
  return -copy_to_program(status, &device, sizeof device);
}

}  // namespace vmbus::shim
