#include "shim/passing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shim/daemon_client.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

constexpr char kDescriptors[] = "/proc/self/fd";
constexpr int kWithoutProc = 64;  // descriptors to try where /proc is not mounted
constexpr int kProbed = 64;       // descriptors to try before listing them is cheaper

// What getdents64 fills in; libc's dirent has the same layout on 64-bit machines.
static_assert(offsetof(dirent64, d_reclen) == 16 && offsetof(dirent64, d_name) == 19);

void note_descriptor(int fd) {
  if (!has_carrier_tag(fd)) {
    if (fd_table().find(fd).is_ours()) fd_table().clear(fd);
    return;
  }
  const FdEntry entry = identify_carrier(fd);
  if (entry.is_carrier()) fd_table().set(fd, entry);
}

// -1: not a number ("." and "..").
int parse_number(const char* text) {
  int number = *text == '\0' ? -1 : 0;
  for (; *text != '\0'; ++text) {
    if (*text < '0' || *text > '9') return -1;
    number = number * 10 + (*text - '0');
  }
  return number;
}

void scan_directory(int directory) {
  alignas(dirent64) std::array<char, 1024> buffer;
  for (;;) {
    const long bytes = real::call(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (bytes <= 0) return;
    std::uint16_t record_bytes = 0;
    for (long offset = 0; offset < bytes; offset += record_bytes) {
      const char* record = buffer.data() + offset;
      std::memcpy(&record_bytes, record + offsetof(dirent64, d_reclen), sizeof record_bytes);
      const int fd = parse_number(record + offsetof(dirent64, d_name));
      if (fd >= 0 && fd != directory) note_descriptor(fd);
    }
  }
}

// How many descriptors are open; 0 where the kernel does not say (before Linux 6.2).
long count_descriptors() {
  struct stat status;
  if (real::call(SYS_newfstatat, AT_FDCWD, kDescriptors, &status, 0) != 0) return 0;
  return status.st_size;
}

// Tries the low numbers until all `open` descriptors were met. False: some are beyond. Cheaper than a
// listing, for which /proc makes an inode for each descriptor.
bool probe_low_numbers(long open) {
  for (int fd = 0; fd < kProbed && open > 0; ++fd) {
    if (real::call(SYS_fcntl, fd, F_GETFD) < 0) continue;
    note_descriptor(fd);
    --open;
  }
  return open == 0;
}

}  // namespace

void scan_inherited_descriptors() {
  const long open = count_descriptors();
  if (open > 0 && probe_low_numbers(open)) return;
  const long directory =
      real::call(SYS_openat, AT_FDCWD, kDescriptors, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory >= 0) {
    scan_directory(static_cast<int>(directory));
    real::call(SYS_close, directory);
    return;
  }
  for (int fd = 0; fd < kWithoutProc; ++fd) note_descriptor(fd);
}

void note_received_descriptors(const msghdr& message) {
  if (message.msg_control == nullptr || !owns_memory()) return;
  msghdr walk = message;  // CMSG_NXTHDR wants one that is not const
  for (cmsghdr* header = CMSG_FIRSTHDR(&walk); header != nullptr;
       header = CMSG_NXTHDR(&walk, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      note_descriptor(fd);
    }
  }
}

}  // namespace vmbus::shim
