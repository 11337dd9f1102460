#include "shim/user_ranges.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "shim/real.h"

#ifndef MADV_POPULATE_READ  // Linux 5.14
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace vmbus::shim {
namespace {

constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::size_t kRanges = 4;

struct Range {
  std::uintptr_t first = 1;
  std::uintptr_t last = 0;  // the last byte
  std::uint32_t epoch = 0;
};

struct Known {
  std::array<Range, kRanges> ranges{};
  std::size_t oldest = 0;
};

constinit std::atomic<std::uint32_t> g_epoch{1};
constinit thread_local Known t_readable;
constinit thread_local Known t_writable;

// One call for the whole range; what is no memory of ours to touch, or no plain memory, is refused.
bool populate(std::uintptr_t first, std::uintptr_t last, Access access) {
  const int advice = access == Access::kRead ? MADV_POPULATE_READ : MADV_POPULATE_WRITE;
  long result = 0;
  do {
    result = real::call(SYS_madvise, reinterpret_cast<void*>(first), last - first + 1, advice);
  } while (result == -EINTR);
  return result == 0;
}

}  // namespace

bool knows_range(const void* memory, std::size_t bytes, Access access) {
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t last = first + bytes - 1;
  const Known& known = access == Access::kRead ? t_readable : t_writable;
  const std::uint32_t epoch = g_epoch.load(std::memory_order_acquire);
  for (const Range& range : known.ranges) {
    if (range.first <= first && last <= range.last && range.epoch == epoch) return first <= last;
  }
  return false;
}

bool may_touch(const void* memory, std::size_t bytes, Access access) {
  if (bytes == 0 || knows_range(memory, bytes, access)) return true;
  const auto first = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t last = first + bytes - 1;
  if (last < first) return false;
  const std::uint32_t epoch = g_epoch.load(std::memory_order_acquire);
  const std::uintptr_t first_page = first & ~(kPageBytes - 1);
  const std::uintptr_t last_byte = last | (kPageBytes - 1);
  if (!populate(first_page, last_byte, access)) return false;
  Known& known = access == Access::kRead ? t_readable : t_writable;
  known.ranges[known.oldest] = {first_page, last_byte, epoch};
  known.oldest = (known.oldest + 1) % kRanges;
  return true;
}

void forget_ranges() { g_epoch.fetch_add(1, std::memory_order_acq_rel); }

}  // namespace vmbus::shim
