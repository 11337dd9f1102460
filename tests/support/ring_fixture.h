// What ring tests share: a ring on the heap, payloads to recognise, a seed that can be replayed.
#ifndef VMBUS_TESTS_SUPPORT_RING_FIXTURE_H_
#define VMBUS_TESTS_SUPPORT_RING_FIXTURE_H_

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <random>
#include <span>
#include <vector>

#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

inline void PrintTo(RingError error, std::ostream* out) { *out << describe(error); }

namespace testing {

using Bytes = std::vector<std::byte>;

// Zeroed pages of exactly the ring's size, so that AddressSanitizer sees one byte too far.
class HeapRing {
 public:
  explicit HeapRing(std::uint32_t data_bytes)
      : words_((kPageBytes + data_bytes) / kWordBytes), memory_(*RingMemory::over(pages())) {}

  std::span<std::byte> pages() { return std::as_writable_bytes(std::span(words_)); }
  std::span<std::byte> data() { return pages().subspan(kPageBytes); }
  const RingMemory& memory() const { return memory_; }

  // Both indices at once: the ring is empty there.
  void start_at(std::uint32_t index) const {
    memory_.write_index().store_relaxed(index);
    memory_.read_index().store_relaxed(index);
  }

 private:
  std::vector<std::uint64_t> words_;
  RingMemory memory_;
};

// Bytes that differ from their neighbours and from another `salt`'s.
inline Bytes pattern(std::size_t size, std::size_t salt = 0) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = std::byte((i * 7 + salt * 31 + i / 251) & 0xFF);
  return bytes;
}

inline Bytes copy_of(const RingMemory& memory, std::uint32_t index, std::uint32_t size) {
  Bytes bytes(size);
  copy_from(memory.split(index, size), bytes);
  return bytes;
}

// The error of a result, or nothing; where error() alone would assert.
template <typename T>
std::optional<RingError> error_of(const Result<T, RingError>& result) {
  if (result.ok()) return std::nullopt;
  return result.error();
}

// Printed, so that VMBUS_SEED=<number> replays a failure.
inline std::mt19937_64 seeded_random() {
  const char* given = std::getenv("VMBUS_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("VMBUS_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return std::mt19937_64(seed);
}

// Uniform in [low, high].
inline std::uint32_t pick(std::mt19937_64& random, std::uint32_t low, std::uint32_t high) {
  return std::uniform_int_distribution<std::uint32_t>(low, high)(random);
}

}  // namespace testing
}  // namespace vmbus::ring

#endif  // VMBUS_TESTS_SUPPORT_RING_FIXTURE_H_
