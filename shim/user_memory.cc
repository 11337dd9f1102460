#include "shim/user_memory.h"

#include <sys/uio.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "shim/real.h"
#include "shim/sandbox.h"

namespace vmbus::shim {
namespace {

// `number`: SYS_process_vm_readv (from `remote` to `local`) or SYS_process_vm_writev.
int copy_checked(long number, void* local, void* remote, std::size_t bytes) {
  if (bytes == 0) return 0;
  if (remote == nullptr) return EFAULT;
  if (!is_sandboxed()) {  // whose filter may not know the calls
    const iovec ours{local, bytes};
    const iovec theirs{remote, bytes};
    const long self = real::call(SYS_getpid);
    const long copied = real::call(number, self, &ours, 1, &theirs, 1, 0);
    if (copied == static_cast<long>(bytes)) return 0;
    if (copied >= 0 || copied == -EFAULT) return EFAULT;
  }
  const bool reading = number == SYS_process_vm_readv;
  std::memcpy(reading ? local : remote, reading ? remote : local, bytes);
  return 0;
}

constexpr std::uintptr_t kPageBytes = 4096;
constexpr int kNoSuchWay = -1;  // of changing a signal mask

// The kernel copies the new mask before it looks at how to apply it: EFAULT, or else EINVAL.
bool is_page_readable(std::uintptr_t address) {
  const auto* mask = reinterpret_cast<const void*>(address & ~(sizeof(std::uint64_t) - 1));
  return real::call(SYS_rt_sigprocmask, kNoSuchWay, mask, nullptr, sizeof(std::uint64_t)) !=
         -EFAULT;
}

}  // namespace

bool is_readable(const void* memory, std::size_t bytes) {
  if (bytes == 0) return true;
  // A null mask is no mask, so the kernel would not look.
  if (memory == nullptr) return false;
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t last = first + bytes - 1;
  if (last < first || !is_page_readable(first)) return false;
  for (auto page = (first | (kPageBytes - 1)) + 1; page != 0 && page <= last; page += kPageBytes) {
    if (!is_page_readable(page)) return false;
  }
  return true;
}

int copy_from_program(void* to, const void* from, std::size_t bytes) {
  return copy_checked(SYS_process_vm_readv, to, const_cast<void*>(from), bytes);
}

int copy_to_program(void* to, const void* from, std::size_t bytes) {
  return copy_checked(SYS_process_vm_writev, const_cast<void*>(from), to, bytes);
}

int check_name(const sockaddr* name, socklen_t length) {
  if (name == nullptr) return 0;
  if (length > sizeof(sockaddr_storage)) return EINVAL;
  return is_readable(name, length) ? 0 : EFAULT;
}

int read_length(const socklen_t* program_length, socklen_t* length) {
  if (const int error = copy_from_program(length, program_length, sizeof *length)) return error;
  return static_cast<int>(*length) < 0 ? EINVAL : 0;
}

int store_truncated(void* buffer, socklen_t room, socklen_t* program_length, const void* value,
                    std::size_t bytes) {
  const std::size_t copied = std::min<std::size_t>(room, bytes);
  if (const int error = copy_to_program(buffer, value, copied)) return error;
  const auto full = static_cast<socklen_t>(bytes);
  return copy_to_program(program_length, &full, sizeof full);
}

}  // namespace vmbus::shim
