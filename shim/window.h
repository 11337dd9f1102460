// Window: some of a program's vector of buffers, for a call that goes on in the middle of it.
#ifndef VMBUS_SHIM_WINDOW_H_
#define VMBUS_SHIM_WINDOW_H_

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>

namespace vmbus::shim {

inline constexpr std::size_t kWindowParts = 16;

// Some of a vector's bytes.
struct Window {
  iovec parts[kWindowParts];
  std::size_t count = 0;

  std::size_t bytes() const {
    std::size_t all = 0;
    for (std::size_t i = 0; i < count; ++i) all += parts[i].iov_len;
    return all;
  }
};

// Behind the first `skip` bytes: at most `limit`, and at most kWindowParts parts.
inline Window window_of(const iovec* parts, std::size_t count, std::size_t skip,
                        std::size_t limit) {
  Window window;
  for (std::size_t i = 0; i < count && limit > 0 && window.count < kWindowParts; ++i) {
    if (skip >= parts[i].iov_len) {
      skip -= parts[i].iov_len;
      continue;
    }
    const std::size_t length = std::min(parts[i].iov_len - skip, limit);
    window.parts[window.count++] = {static_cast<char*>(parts[i].iov_base) + skip, length};
    limit -= length;
    skip = 0;
  }
  return window;
}

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_WINDOW_H_
