#include "ringbuf/free_pages.h"

#include <cstdint>

#include "ringbuf/layout.h"

namespace vmbus::ring {
namespace {

constexpr auto kPage = static_cast<std::uint32_t>(kPageBytes);

// The whole pages of [begin, end).
Span pages_within(const RingMemory& memory, std::uint32_t begin, std::uint32_t end) {
  const std::uint32_t first = (begin + kPage - 1) / kPage * kPage;
  const std::uint32_t last = end / kPage * kPage;
  if (first >= last) return {memory.span_at(0), 0};
  return {memory.span_at(first), last - first};
}

}  // namespace

Result<SplitSpan, RingError> free_pages(const RingMemory& memory) {
  // SYNC(ring.release): acquires, as load_indices() does; pairs with release_room(). The reader is done with
  // what lies before its index, as for a writer that overwrites it.
  const auto indices = load_indices(memory);
  if (!indices) return Failure{indices.error()};
  const auto [write, read] = *indices;
  const std::uint32_t size = memory.data_bytes();
  if (write == read) return SplitSpan{pages_within(memory, 0, size), {memory.span_at(0), 0}};
  if (write < read) return SplitSpan{pages_within(memory, write, read), {memory.span_at(0), 0}};
  return SplitSpan{pages_within(memory, write, size), pages_within(memory, 0, read)};
}

}  // namespace vmbus::ring
