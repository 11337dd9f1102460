// PageAllocator: which pages of a guest's memory are in use. Hands out blocks of consecutive pages.
//
// A buddy system: a block has 2^n pages and starts at a multiple of its size; a free block and its
// equally large free neighbour ("buddy") become one. So memory does not fragment for good, whatever
// sizes come and go. Of several free blocks the one at the lowest address is taken, which was
// probably in use before and needs no fresh memory.
//
// Also knows which free pages may still hold memory of the machine (they were in use since they
// were last dropped), so that the owner can give it back above a limit.
// Never       Touches the pages.
#ifndef VMBUS_EMU_PAGE_ALLOCATOR_H_
#define VMBUS_EMU_PAGE_ALLOCATOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "emu/protocol/ids.h"

namespace vmbus::emu {

// Consecutive pages.
struct PageRun {
  proto::Pfn first;
  std::size_t count = 0;

  friend bool operator==(const PageRun&, const PageRun&) = default;
};

class PageAllocator {
 public:
  static constexpr std::size_t kMaxOrder =
      13;  // blocks of 8192 pages: the largest ring GPADL has 8190

  explicit PageAllocator(std::size_t page_count);

  // A block of at least `count` pages, of which the caller gets the first `count`. nullopt: no
  // block is free. REQUIRES: count > 0.
  std::optional<PageRun> allocate(std::size_t count);
  // REQUIRES: `run` came from allocate() and was not freed since.
  void free(PageRun run);
  // The caller gave the memory of these free pages back to the machine.
  void mark_dropped(PageRun run);

  std::size_t pages_in_use() const { return pages_in_use_; }
  // Free pages that may hold memory.
  std::size_t pages_pooled() const { return pages_pooled_; }

 private:
  static std::size_t order_of(std::size_t count);
  void insert_free(std::uint64_t first, std::size_t order);
  void set_touched(PageRun run, bool touched);

  std::array<std::set<std::uint64_t>, kMaxOrder + 1> free_blocks_;  // first pages, by order
  std::vector<bool> touched_;  // by page: was in use since it was last dropped
  std::size_t pages_in_use_ = 0;
  std::size_t pages_pooled_ = 0;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_PAGE_ALLOCATOR_H_
