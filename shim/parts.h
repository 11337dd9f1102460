// Parts: a program's vector of buffers, and a walk along it.
#ifndef VMBUS_SHIM_PARTS_H_
#define VMBUS_SHIM_PARTS_H_

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <span>

#include "ringbuf/copy_way.h"
#include "ringbuf/ring_memory.h"
#include "shim/user_ranges.h"

namespace vmbus::shim {

struct Parts {
  const iovec* parts;
  std::size_t count;
  std::size_t bytes;  // altogether
};

// user_ranges.h, for the first `bytes` of them.
inline bool may_touch(const Parts& parts, std::size_t bytes, Access access) {
  for (std::size_t i = 0; i < parts.count && bytes > 0; ++i) {
    const std::size_t length = std::min(parts.parts[i].iov_len, bytes);
    if (!may_touch(parts.parts[i].iov_base, length, access)) return false;
    bytes -= length;
  }
  return true;
}

class Cursor {
 public:
  Cursor(const Parts& parts, std::size_t skip) : parts_(parts) { advance(skip); }

  // What is left of the part at hand; empty at the end.
  std::span<std::byte> piece() {
    while (part_ < parts_.count && offset_ == parts_.parts[part_].iov_len) next();
    if (part_ == parts_.count) return {};
    auto* base = static_cast<std::byte*>(parts_.parts[part_].iov_base);
    return {base + offset_, parts_.parts[part_].iov_len - offset_};
  }
  // REQUIRES: within what is left altogether.
  void advance(std::size_t bytes) {
    while (bytes > 0) {
      const std::size_t step = std::min(bytes, piece().size());
      offset_ += step;
      bytes -= step;
    }
  }
  // REQUIRES: there is as much.
  void copy_into(std::span<const ring::Span> spans, ring::CopyWay way = ring::CopyWay::kCached) {
    for (ring::Span span : spans) {
      while (span.size > 0) {
        const std::span<std::byte> from = piece();
        const std::size_t length = std::min(from.size(), span.size);
        ring::copy(span.data, from.data(), length, way);
        advance(length);
        span.data += length;
        span.size -= length;
      }
    }
  }

 private:
  void next() {
    ++part_;
    offset_ = 0;
  }

  const Parts& parts_;
  std::size_t part_ = 0;
  std::size_t offset_ = 0;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_PARTS_H_
