#include "ringbuf/ring_memory.h"

#include <cstring>

namespace vmbus::ring {

Result<RingMemory, RingError> RingMemory::over(const RingPages& pages) {
  assert(reinterpret_cast<std::uintptr_t>(pages.control) % kWordBytes == 0);
  assert(reinterpret_cast<std::uintptr_t>(pages.data.data()) % kWordBytes == 0);
  if (pages.data.size() % kPageBytes != 0) return Failure{RingError::kDataNotWholePages};
  if (pages.data.empty()) return Failure{RingError::kNoDataPages};
  if (pages.data.size() > std::size_t{kMaxDataPages} * kPageBytes) {
    return Failure{RingError::kTooManyDataPages};
  }
  return RingMemory(reinterpret_cast<ControlPage*>(pages.control), pages.data.data(),
                    static_cast<std::uint32_t>(pages.data.size()));
}

Result<RingMemory, RingError> RingMemory::over(std::span<std::byte> pages) {
  if (pages.size() % kPageBytes != 0) return Failure{RingError::kDataNotWholePages};
  if (pages.size() < kPageBytes) return Failure{RingError::kNoDataPages};
  return over({pages.data(), pages.subspan(kPageBytes)});
}

void copy_into(const SplitSpan& to, std::span<const std::byte> from) {
  assert(from.size() == to.first.size + to.second.size);
  if (to.first.size != 0) std::memcpy(to.first.data, from.data(), to.first.size);
  if (to.second.size != 0) {
    std::memcpy(to.second.data, from.data() + to.first.size, to.second.size);
  }
}

void copy_from(const SplitSpan& from, std::span<std::byte> to) {
  assert(to.size() == from.first.size + from.second.size);
  if (from.first.size != 0) std::memcpy(to.data(), from.first.data, from.first.size);
  if (from.second.size != 0) {
    std::memcpy(to.data() + from.first.size, from.second.data, from.second.size);
  }
}

Result<std::uint32_t, RingError> check_write_index(std::uint32_t index, std::uint32_t data_bytes) {
  if (index >= data_bytes) return Failure{RingError::kWriteIndexOutOfRange};
  if (!is_word_aligned(index)) return Failure{RingError::kWriteIndexUnaligned};
  return index;
}

Result<std::uint32_t, RingError> check_read_index(std::uint32_t index, std::uint32_t data_bytes) {
  if (index >= data_bytes) return Failure{RingError::kReadIndexOutOfRange};
  if (!is_word_aligned(index)) return Failure{RingError::kReadIndexUnaligned};
  return index;
}

Result<RingIndices, RingError> load_indices(const RingMemory& memory) {
  const auto write = check_write_index(memory.write_index().load_acquire(), memory.data_bytes());
  if (!write) return Failure{write.error()};
  const auto read = check_read_index(memory.read_index().load_acquire(), memory.data_bytes());
  if (!read) return Failure{read.error()};
  return RingIndices{*write, *read};
}

}  // namespace vmbus::ring
