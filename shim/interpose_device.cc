// Paths: the wrappers that know "/dev/vsock" and pass everything else on.
#include <pthread.h>
#include <stdarg.h>
#include <unistd.h>

#include "shim/device.h"
#include "shim/interpose.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

namespace {

bool takes_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

int open_at(int directory, const char* path, int flags, mode_t mode) {
  if (is_device_path(directory, path)) {
    pthread_testcancel();
    return real::answer_int(open_device(flags));
  }
  return foreign_descriptor(real::blocking(SYS_openat, directory, path, flags, mode));
}

int stat_at(int directory, const char* path, struct stat* status, int flags) {
  return real::answer_int(is_device_path(directory, path)
                              ? describe_device(status)
                              : real::call(SYS_newfstatat, directory, path, status, flags));
}

// On 64-bit machines stat64 is stat under another name.
struct stat* as_stat(struct stat64* status) {
  static_assert(sizeof(struct stat64) == sizeof(struct stat));
  return reinterpret_cast<struct stat*>(status);
}

}  // namespace

// The mode is an argument only where a file may be made; elsewhere there is none to read.
#define VMBUS_MODE_ARGUMENT(mode, flags)                \
  mode_t mode = 0;                                      \
  if (takes_mode(flags)) {                              \
    va_list arguments;                                  \
    va_start(arguments, flags);                         \
    mode = static_cast<mode_t>(va_arg(arguments, int)); \
    va_end(arguments);                                  \
  }

int open(const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int __open(const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int __open64(const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char* path, int flags, ...) {
  VMBUS_MODE_ARGUMENT(mode, flags)
  return open_at(directory, path, flags, mode);
}

int __open_2(const char* path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __open64_2(const char* path, int flags) { return open_at(AT_FDCWD, path, flags, 0); }
int __openat_2(int directory, const char* path, int flags) {
  return open_at(directory, path, flags, 0);
}
int __openat64_2(int directory, const char* path, int flags) {
  return open_at(directory, path, flags, 0);
}

int creat(const char* path, mode_t mode) {
  return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char* path, mode_t mode) { return creat(path, mode); }

int stat(const char* path, struct stat* status) noexcept {
  return stat_at(AT_FDCWD, path, status, 0);
}
int stat64(const char* path, struct stat64* status) noexcept {
  return stat_at(AT_FDCWD, path, as_stat(status), 0);
}
int lstat(const char* path, struct stat* status) noexcept {
  return stat_at(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
int lstat64(const char* path, struct stat64* status) noexcept {
  return stat_at(AT_FDCWD, path, as_stat(status), AT_SYMLINK_NOFOLLOW);
}
int fstatat(int directory, const char* path, struct stat* status, int flags) noexcept {
  return stat_at(directory, path, status, flags);
}
int fstatat64(int directory, const char* path, struct stat64* status, int flags) noexcept {
  return stat_at(directory, path, as_stat(status), flags);
}

// What programs built before glibc 2.33 call. The version is 0 or 1, which mean the same here.
int __xstat(int, const char* path, struct stat* status) noexcept {
  return stat_at(AT_FDCWD, path, status, 0);
}
int __xstat64(int, const char* path, struct stat64* status) noexcept {
  return stat_at(AT_FDCWD, path, as_stat(status), 0);
}
int __lxstat(int, const char* path, struct stat* status) noexcept {
  return stat_at(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}
int __lxstat64(int, const char* path, struct stat64* status) noexcept {
  return stat_at(AT_FDCWD, path, as_stat(status), AT_SYMLINK_NOFOLLOW);
}
int __fxstatat(int, int directory, const char* path, struct stat* status, int flags) noexcept {
  return stat_at(directory, path, status, flags);
}
int __fxstatat64(int, int directory, const char* path, struct stat64* status, int flags) noexcept {
  return stat_at(directory, path, as_stat(status), flags);
}

int statx(int directory, const char* path, int flags, unsigned mask,
          struct statx* status) noexcept {
  return real::answer_int(is_device_path(directory, path)
                              ? describe_device(status)
                              : real::call(SYS_statx, directory, path, flags, mask, status));
}

int access(const char* path, int mode) noexcept { return faccessat(AT_FDCWD, path, mode, 0); }

int faccessat(int directory, const char* path, int mode, int flags) noexcept {
  if (is_device_path(directory, path)) return real::answer_int((mode & X_OK) != 0 ? -EACCES : 0);
  return real::answer_int(flags == 0 ? real::call(SYS_faccessat, directory, path, mode)
                                     : real::call(SYS_faccessat2, directory, path, mode, flags));
}
