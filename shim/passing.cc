#include "shim/passing.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "shim/daemon_client.h"
#include "shim/environment.h"
#include "shim/epoll_sets.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/raw_writers.h"
#include "shim/real.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

constexpr char kDescriptors[] = "/proc/self/fd";
constexpr int kWithoutProc = 64;  // descriptors to try where /proc is not mounted
constexpr int kProbed = 64;       // descriptors to try before listing them is cheaper

// What getdents64 fills in; libc's dirent has the same layout on 64-bit machines.
static_assert(offsetof(dirent64, d_reclen) == 16 && offsetof(dirent64, d_name) == 19);

// Searching: the first number above all that were found so far.
class Found {
 public:
  void look_at(int fd) {
    if (!has_carrier_tag(fd)) return;
    const FdEntry entry = identify_carrier(fd);
    if (!entry.is_carrier() || !fd_table().set_inherited(fd, entry)) return;
    end_ = std::max(end_, static_cast<unsigned>(fd) + 1);
  }
  unsigned end() const { return end_; }

 private:
  unsigned end_ = 0;
};

void note_received(int fd) {
  const FdEntry entry = has_carrier_tag(fd) ? identify_carrier(fd) : FdEntry{};
  if (entry.is_carrier()) {
    fd_table().set(fd, entry);
  } else {
    fd_table().clear(fd);
  }
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

void look_at_listed(int directory, Found* found) {
  alignas(dirent64) std::array<char, 1024> buffer;
  for (;;) {
    const long bytes = real::call(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (bytes <= 0) return;
    std::uint16_t record_bytes = 0;
    for (long offset = 0; offset < bytes; offset += record_bytes) {
      const char* record = buffer.data() + offset;
      std::memcpy(&record_bytes, record + offsetof(dirent64, d_reclen), sizeof record_bytes);
      const int fd = parse_number(record + offsetof(dirent64, d_name));
      if (fd >= 0 && fd != directory) found->look_at(fd);
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
bool look_at_low_numbers(long open, Found* found) {
  for (int fd = 0; fd < kProbed && open > 0; ++fd) {
    if (real::call(SYS_fcntl, fd, F_GETFD) < 0) continue;
    found->look_at(fd);
    --open;
  }
  return open == 0;
}

}  // namespace

bool may_hold_high_descriptors() {
  rlimit limit{};
  const long result = real::call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
  return result != 0 || limit.rlim_cur > kLowDescriptors;
}

// poll() says POLLNVAL of a number that is no descriptor.
bool inherited_low_carrier() {
  pollfd numbers[kLowDescriptors];
  for (int fd = 0; fd < kLowDescriptors; ++fd) numbers[fd] = {fd, 0, 0};
  const timespec now{};
  int count = kLowDescriptors;
  // It refuses to look at more than RLIMIT_NOFILE says.
  while (count > 0 && real::call(SYS_ppoll, numbers, count, &now, nullptr, 0) == -EINVAL)
    count /= 2;
  for (int fd = 0; fd < kLowDescriptors; ++fd) {
    const bool is_open = fd >= count || (numbers[fd].revents & POLLNVAL) == 0;
    if (is_open && has_carrier_tag(fd)) return true;
  }
  return false;
}

unsigned find_inherited_descriptors() {
  Found found;
  const long open = count_descriptors();
  if (open > 0 && look_at_low_numbers(open, &found)) return found.end();
  const long directory =
      real::call(SYS_openat, AT_FDCWD, kDescriptors, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (directory >= 0) {
    look_at_listed(static_cast<int>(directory), &found);
    real::call(SYS_close, directory);
    return found.end();
  }
  for (int fd = 0; fd < kWithoutProc; ++fd) found.look_at(fd);
  return found.end();
}

namespace {

// Calls use(fd) for each descriptor that travels with the message.
template <typename Use>
void for_each_descriptor(msghdr message,
                         Use use) {  // a copy: CMSG_NXTHDR wants one that is not const
  const char* end = static_cast<const char*>(message.msg_control) + message.msg_controllen;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    // The program's own, before the kernel has judged it.
    const auto room = static_cast<std::size_t>(end - reinterpret_cast<const char*>(header));
    if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_len > room) return;
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      use(fd);
    }
  }
}

}  // namespace

void note_received_descriptors(const msghdr& message) {
  if (message.msg_control == nullptr || !owns_memory()) return;
  for_each_descriptor(message, note_received);
}

bool passes_may_matter() { return environment().works_rings && fd_table().may_hold_carriers(); }

void note_passed_descriptors(const msghdr* message) {
  if (!passes_may_matter() || !is_readable(message, sizeof *message) ||
      message->msg_control == nullptr ||
      !is_readable(message->msg_control, message->msg_controllen)) {
    return;
  }
  for_each_descriptor(*message, [](int fd) {
    expect_raw_writer(fd);
    share_epoll(fd);
  });
}

}  // namespace vmbus::shim
