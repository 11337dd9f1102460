#include "ringbuf/copy_way.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>

namespace vmbus::ring {

#if defined(__SSE2__)

namespace {

constexpr std::size_t kLineBytes = 64;

void copy_line_past_cache(std::byte* to, const std::byte* from) {
  const auto* source = reinterpret_cast<const __m128i*>(from);
  auto* sink = reinterpret_cast<__m128i*>(to);
  const __m128i first = _mm_loadu_si128(source);
  const __m128i second = _mm_loadu_si128(source + 1);
  const __m128i third = _mm_loadu_si128(source + 2);
  const __m128i fourth = _mm_loadu_si128(source + 3);
  _mm_stream_si128(sink, first);
  _mm_stream_si128(sink + 1, second);
  _mm_stream_si128(sink + 2, third);
  _mm_stream_si128(sink + 3, fourth);
}

}  // namespace

void copy_past_cache(std::byte* to, const std::byte* from, std::size_t bytes) {
  const std::size_t ahead = -reinterpret_cast<std::uintptr_t>(to) % kLineBytes;
  const std::size_t head = std::min(ahead, bytes);
  const std::size_t lines = (bytes - head) / kLineBytes * kLineBytes;
  std::memcpy(to, from, head);
  for (std::size_t done = head; done < head + lines; done += kLineBytes) {
    copy_line_past_cache(to + done, from + done);
  }
  std::memcpy(to + head + lines, from + head + lines, bytes - head - lines);
  // SYNC(ring.publish): such stores are ordered by nothing else, not even by a store that releases.
  _mm_sfence();
}

#else

void copy_past_cache(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}

#endif

}  // namespace vmbus::ring
