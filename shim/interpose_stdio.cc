// Streams: the stdio calls that end descriptors or open paths. What flows through a stream is the
// carrier's own matter.
//
// libc's own fclose() and fopen() are called by their other exported names. Its freopen() has none, so
// that one is looked up, by the program's first call of it; stdio allocates anyway.
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "shim/device.h"
#include "shim/interpose.h"
#include "shim/raw_writers.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): the wrappers live in libc's
                              // namespace

extern "C" int _IO_fclose(FILE* file);
extern "C" FILE* _IO_fopen(const char* path, const char* mode);
extern "C" FILE* _IO_fdopen(int fd, const char* mode);
extern "C" int __vdprintf_chk(int fd, int level, const char* format, va_list arguments);

namespace {

int descriptor_of(FILE* file) {
  const int saved = errno;
  const int fd = fileno(file);
  errno = saved;
  return fd;
}

FILE* foreign_stream(FILE* file) {
  if (file != nullptr) forget(descriptor_of(file));
  return file;
}

// What open() would be asked. stdio knows what is no mode at all.
int flags_of(const char* mode) {
  int flags = O_RDONLY;
  if (*mode == 'w' || *mode == 'a') flags = O_WRONLY | O_CREAT;
  if (strchr(mode, '+') != nullptr) flags = (flags & ~O_ACCMODE) | O_RDWR;
  if (strchr(mode, 'e') != nullptr) flags |= O_CLOEXEC;
  if (strchr(mode, 'x') != nullptr) flags |= O_EXCL;
  return flags;
}

FILE* device_stream(const char* mode) {
  const int fd = real::answer_int(open_device(flags_of(mode)));
  FILE* file = fd < 0 ? nullptr : fdopen(fd, mode);
  if (file == nullptr && fd >= 0) close(fd);
  return file;
}

FILE* real_freopen(const char* path, const char* mode, FILE* file) {
  using Freopen = FILE* (*)(const char*, const char*, FILE*);
  static constinit Freopen found = nullptr;  // threads that race find the same
  if (found == nullptr) found = reinterpret_cast<Freopen>(dlsym(RTLD_NEXT, "freopen"));
  return found(path, mode, file);
}

// stdio puts the stream on something that can be opened; the stand-in then takes its number.
FILE* device_on_stream(const char* mode, FILE* file) {
  const int flags = flags_of(mode);
  const int fd = real::answer_int(open_device(flags));
  if (fd < 0) {
    const int error = errno;
    fclose(file);  // freopen() does, whatever becomes of the rest
    errno = error;
    return nullptr;
  }
  FILE* reopened = real_freopen("/dev/null", mode, file);
  if (reopened != nullptr) dup3(fd, descriptor_of(reopened), flags & O_CLOEXEC);
  close(fd);
  return reopened;
}

}  // namespace

int fclose(FILE* file) {
  forget(descriptor_of(file));
  return _IO_fclose(file);
}

FILE* fopen(const char* path, const char* mode) {
  if (is_device_path(AT_FDCWD, path)) return device_stream(mode);
  return foreign_stream(_IO_fopen(path, mode));
}

FILE* fopen64(const char* path, const char* mode) { return fopen(path, mode); }

FILE* freopen(const char* path, const char* mode, FILE* file) {
  if (path != nullptr && is_device_path(AT_FDCWD, path)) return device_on_stream(mode, file);
  // Without a path it may only change the mode, and then the stream stays where it is.
  if (path != nullptr) forget(descriptor_of(file));
  return real_freopen(path, mode, file);
}

FILE* freopen64(const char* path, const char* mode, FILE* file) {
  return freopen(path, mode, file);
}

// What a stream writes goes past every hook.
FILE* fdopen(int fd, const char* mode) noexcept {
  expect_raw_writer(fd);
  return _IO_fdopen(fd, mode);
}

int vdprintf(int fd, const char* format, va_list arguments) {
  constexpr int kUnfortified = 0;
  expect_raw_writer(fd);
  return __vdprintf_chk(fd, kUnfortified, format, arguments);
}

int dprintf(int fd, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int result = vdprintf(fd, format, arguments);
  va_end(arguments);
  return result;
}

int __dprintf_chk(int fd, int level, const char* format, ...) {
  expect_raw_writer(fd);
  va_list arguments;
  va_start(arguments, format);
  const int result = __vdprintf_chk(fd, level, format, arguments);
  va_end(arguments);
  return result;
}
