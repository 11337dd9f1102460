// GuestMemory: the memory of one guest; the only place where a page number becomes a pointer.
//
// One memfd, sparse (a page costs memory from its first use) and sealed against any change of its
// size, so that no mapping of it can fault later. It holds ring pages, and the interrupt page of a
// guest that uses one; behind the last page, where no page number reaches, stand the lanes of the
// connections whose rings are here (emu/protocol/lane.h).
//
// Threads     The daemon's loop thread; programs and both halves write to the pages at any time.
// Trust       Page numbers come from guests: each is checked before it is mapped.
// Reuse       A freed page may keep its old bytes: they are this guest's own. Whoever allocates
//             clears what must be clear (clear_page). Above kPoolBytes of freed pages, memory goes
//             back to the machine at once. What a stopped program may still write to is not used
//             again while it lives (stale_turns.h).
// Contract    docs/architecture.md, "Guest memory"
#ifndef VMBUS_EMU_GUEST_MEMORY_H_
#define VMBUS_EMU_GUEST_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <tl/expected.hpp>

#include "emu/lane_directory.h"
#include "emu/owned_fd.h"
#include "emu/page_allocator.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/lane.h"
#include "emu/stale_turns.h"

namespace vmbus::emu {

// Guest pages at consecutive addresses. Consecutive pages are a window into the guest's whole
// mapping; others get a mapping of their own, which ends with this object.
class [[nodiscard]] MappedPages {
 public:
  MappedPages() = default;
  ~MappedPages();
  MappedPages(MappedPages&& other) noexcept;
  MappedPages& operator=(MappedPages&& other) noexcept;
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class GuestMemory;
  MappedPages(std::span<std::byte> bytes, bool own_mapping)
      : bytes_(bytes), own_mapping_(own_mapping) {}

  std::span<std::byte> bytes_;
  bool own_mapping_ = false;
};

class GuestMemory {
 public:
  // Freed pages that keep their memory, so that the next connection need not fault it in again.
  static constexpr std::size_t kPoolBytes = std::size_t{64} << 20;

  // Error: errno of memfd_create, ftruncate, fcntl or mmap; EINVAL for a size that is no whole
  // number of pages.
  static tl::expected<std::unique_ptr<GuestMemory>, int> create(std::uint64_t bytes);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // ---- the guest's side: its page allocator
  std::optional<PageRun> allocate(std::size_t page_count) {
    return allocator_.allocate(page_count);
  }
  void free(PageRun run);
  void clear_page(proto::Pfn pfn);
  // REQUIRES: `run` came from allocate().
  std::byte* at(PageRun run) const { return page(run.first.value); }
  // The page number of an address that at() returned.
  proto::Pfn pfn_of(const std::byte* address) const;

  // Their memory is the machine's again, and they read as zero, until they are written. True: done.
  // REQUIRES: whole pages of ours that nobody uses meanwhile.
  bool drop(std::span<const std::byte> pages) const;
  // This process's page tables of an area around `pages` are free, until it touches the area again.
  void drop_tables(std::span<const std::byte> pages) const;

  // ---- the host's side: page numbers that a guest named
  // Null: outside of the memory.
  std::byte* page_at(std::uint64_t pfn) const { return pfn < page_count() ? page(pfn) : nullptr; }
  // Error: EFAULT for a page outside of the memory, EINVAL for none at all, otherwise errno of
  // mmap.
  tl::expected<MappedPages, int> map_pages(std::span<const std::uint64_t> pfns);

  // Programs map the whole file: the pages, then the lanes.
  int descriptor() const { return fd_.get(); }
  proto::LaneArea lanes() const { return proto::LaneArea(base_ + bytes_); }
  LaneDirectory& lane_directory() { return lane_directory_; }

  // ---- programs that were shut out in the middle of a turn
  void keep_for(const StaleTurn& turn) { stale_turns_.add(turn); }
  bool is_kept(std::uint32_t lane) const { return stale_turns_.hold_lane(lane); }
  // A client is gone: what was kept for it alone is free.
  void let_go(const std::function<bool(std::uint32_t client)>& is_client);

  // Of this process's memories, never used again; not 0.
  std::uint32_t id() const { return id_; }
  // Is it one of our pages, as at() gives them?
  bool contains(const std::byte* address) const {
    return address >= base_ && address < base_ + bytes_;
  }
  std::size_t page_count() const { return bytes_ / proto::kPageBytes; }
  std::size_t bytes_in_use() const { return allocator_.pages_in_use() * proto::kPageBytes; }

 private:
  GuestMemory(OwnedFd fd, std::byte* base, std::size_t bytes);
  std::byte* page(std::uint64_t pfn) const { return base_ + pfn * proto::kPageBytes; }
  tl::expected<MappedPages, int> stitch(std::span<const std::uint64_t> pfns);

  OwnedFd fd_;
  std::byte* base_;
  std::size_t bytes_;
  PageAllocator allocator_;
  LaneDirectory lane_directory_;
  StaleTurns stale_turns_;
  std::uint32_t id_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_GUEST_MEMORY_H_
