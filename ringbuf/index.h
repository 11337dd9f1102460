// Arithmetic on byte offsets into the data pages of a ring. Pure, constexpr, no memory access.
//
//   0        read             write                size        used = distance(read, write)
//   |  free  |  packets ...   |   free                |        free = size - 8 - used
//
// Every function takes `size`, the length of the data pages. An index is valid when it is below
// size and a multiple of 8; any pair of valid indices gives used and free in 0 .. size - 8,
// whatever a hostile peer made of them.
#ifndef VMBUS_RINGBUF_INDEX_H_
#define VMBUS_RINGBUF_INDEX_H_

#include <cstdint>

#include "ringbuf/layout.h"

namespace vmbus::ring {

constexpr std::uint32_t align8(std::uint32_t bytes) { return (bytes + 7) & ~7U; }
constexpr std::uint32_t align8_down(std::uint32_t bytes) { return bytes & ~7U; }

constexpr bool is_word_aligned(std::uint32_t index) { return index % kWordBytes == 0; }

constexpr bool is_valid_index(std::uint32_t index, std::uint32_t size) {
  return index < size && is_word_aligned(index);
}

// REQUIRES: index < size, bytes <= size.
constexpr std::uint32_t advance(std::uint32_t index, std::uint32_t bytes, std::uint32_t size) {
  const std::uint32_t sum = index + bytes;
  return sum >= size ? sum - size : sum;
}

// Bytes from one index forward to the other.  REQUIRES: from < size, to < size.
constexpr std::uint32_t distance(std::uint32_t from, std::uint32_t to, std::uint32_t size) {
  return to >= from ? to - from : size - (from - to);
}

// The most that can be in the ring, and so the largest packet: one word stays free, because a full
// ring would otherwise look empty.
constexpr std::uint32_t capacity_bytes(std::uint32_t size) { return size - kWordBytes; }

constexpr std::uint32_t free_bytes(std::uint32_t write_index, std::uint32_t read_index,
                                   std::uint32_t size) {
  return capacity_bytes(size) - distance(read_index, write_index, size);
}

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_INDEX_H_
