// Calls that change the program's mappings: what was known of its buffers is known no more.
#include <stdarg.h>
#include <sys/mman.h>

#include "shim/interpose.h"
#include "shim/user_ranges.h"

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): as in the other wrappers

namespace {

// The kernel's answer is an address; errors are the last page's worth of numbers.
void* address(long result) {
  forget_ranges();
  if (result >= 0 || result < -4095) return reinterpret_cast<void*>(result);
  errno = static_cast<int>(-result);
  return MAP_FAILED;
}

int changed(long result) {
  forget_ranges();
  return real::answer_int(result);
}

}  // namespace

void* mmap(void* start, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return address(real::call(SYS_mmap, start, bytes, protection, flags, fd, offset));
}

void* mmap64(void* start, size_t bytes, int protection, int flags, int fd,
             off64_t offset) noexcept {
  return mmap(start, bytes, protection, flags, fd, offset);
}

int munmap(void* start, size_t bytes) noexcept {
  return changed(real::call(SYS_munmap, start, bytes));
}

int mprotect(void* start, size_t bytes, int protection) noexcept {
  return changed(real::call(SYS_mprotect, start, bytes, protection));
}

void* mremap(void* old_start, size_t old_bytes, size_t bytes, int flags, ...) noexcept {
  va_list arguments;
  va_start(arguments, flags);
  const bool names_address = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;
  void* wanted = names_address ? va_arg(arguments, void*) : nullptr;
  va_end(arguments);
  return address(real::call(SYS_mremap, old_start, old_bytes, bytes, flags, wanted));
}
