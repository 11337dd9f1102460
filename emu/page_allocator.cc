#include "emu/page_allocator.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace vmbus::emu {

PageAllocator::PageAllocator(std::size_t page_count) : touched_(page_count) {
  // The memory as the largest aligned blocks that fit.
  for (std::uint64_t first = 0; first < page_count;) {
    const auto aligned = first == 0 ? kMaxOrder : static_cast<std::size_t>(std::countr_zero(first));
    std::size_t order = std::min(aligned, kMaxOrder);
    while ((std::uint64_t{1} << order) > page_count - first) --order;
    free_blocks_[order].insert(first);
    first += std::uint64_t{1} << order;
  }
}

std::size_t PageAllocator::order_of(std::size_t count) {
  return static_cast<std::size_t>(std::bit_width(count - 1));
}

std::optional<PageRun> PageAllocator::allocate(std::size_t count) {
  assert(count > 0);
  const std::size_t wanted = order_of(count);
  std::size_t order = wanted;
  while (order <= kMaxOrder && free_blocks_[order].empty()) ++order;
  if (order > kMaxOrder) return std::nullopt;

  const std::uint64_t first = *free_blocks_[order].begin();
  free_blocks_[order].erase(free_blocks_[order].begin());
  // Keeps the lower half of a block that is too large, as often as needed.
  while (order > wanted) {
    --order;
    free_blocks_[order].insert(first + (std::uint64_t{1} << order));
  }

  const PageRun run{.first = proto::Pfn{first}, .count = count};
  const auto begin = touched_.begin() + static_cast<std::ptrdiff_t>(first);
  pages_pooled_ -=
      static_cast<std::size_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(count), true));
  pages_in_use_ += count;
  return run;
}

void PageAllocator::free(PageRun run) {
  set_touched(run, true);
  pages_pooled_ += run.count;
  pages_in_use_ -= run.count;
  insert_free(run.first.value, order_of(run.count));
}

void PageAllocator::insert_free(std::uint64_t first, std::size_t order) {
  for (; order < kMaxOrder; ++order) {
    const std::uint64_t buddy = first ^ (std::uint64_t{1} << order);
    if (free_blocks_[order].erase(buddy) == 0) break;
    first = std::min(first, buddy);
  }
  free_blocks_[order].insert(first);
}

void PageAllocator::mark_dropped(PageRun run) {
  set_touched(run, false);
  pages_pooled_ -= run.count;
}

void PageAllocator::set_touched(PageRun run, bool touched) {
  const auto begin = touched_.begin() + static_cast<std::ptrdiff_t>(run.first.value);
  std::fill_n(begin, run.count, touched);
}

}  // namespace vmbus::emu
