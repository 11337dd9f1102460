// CopyWay: how bytes get into a ring.
//
// Through the cache, as memcpy does, they are ready for a reader on the same CPU. For one on another CPU each line
// has to be taken from that CPU's cache first, which some machines are slow at; then it is faster to write past the
// cache (docs/decisions/0009). Measured, not known: shim/copy_pace.h.
#ifndef VMBUS_RINGBUF_COPY_WAY_H_
#define VMBUS_RINGBUF_COPY_WAY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vmbus::ring {

enum class CopyWay : std::uint8_t { kCached, kPastCache };

// Ordered before any later store, as a memcpy is. The same as memcpy where a CPU has no such stores.
void copy_past_cache(std::byte* to, const std::byte* from, std::size_t bytes);

[[gnu::always_inline]] inline void copy(std::byte* to, const std::byte* from, std::size_t bytes,
                                        CopyWay way) {
  if (way == CopyWay::kPastCache) [[unlikely]] {
    copy_past_cache(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_COPY_WAY_H_
