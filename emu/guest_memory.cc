#include "emu/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace vmbus::emu {
namespace {

using proto::kPageBytes;

// What a table of the last level maps.
constexpr std::uintptr_t kTableBytes = std::uintptr_t{2} << 20;

// How many pages, from the front, have consecutive numbers.
std::size_t run_length(std::span<const std::uint64_t> pfns) {
  std::size_t length = 1;
  while (length < pfns.size() && pfns[length] == pfns[0] + length) ++length;
  return length;
}

void* map_shared(void* address, std::size_t bytes, int extra_flags, int fd, std::uint64_t pfn) {
  return ::mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | extra_flags,
                fd, static_cast<off_t>(pfn * kPageBytes));
}

}  // namespace

MappedPages::~MappedPages() {
  if (own_mapping_) ::munmap(bytes_.data(), bytes_.size());
}

MappedPages::MappedPages(MappedPages&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})),
      own_mapping_(std::exchange(other.own_mapping_, false)) {}

MappedPages& MappedPages::operator=(MappedPages&& other) noexcept {
  MappedPages taken(std::move(other));
  std::swap(bytes_, taken.bytes_);
  std::swap(own_mapping_, taken.own_mapping_);
  return *this;
}

tl::expected<std::unique_ptr<GuestMemory>, int> GuestMemory::create(std::uint64_t bytes) {
  constexpr auto kMaxBytes =
      static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - proto::LaneArea::kBytes;
  if (bytes == 0 || bytes % kPageBytes != 0 || bytes > kMaxBytes) return tl::unexpected(EINVAL);
  OwnedFd fd(::memfd_create("vmbus-guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return tl::unexpected(errno);
  const std::uint64_t file_bytes = bytes + proto::LaneArea::kBytes;
  if (::ftruncate(fd.get(), static_cast<off_t>(file_bytes)) != 0) return tl::unexpected(errno);
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return tl::unexpected(errno);
  }
  void* base = map_shared(nullptr, file_bytes, 0, fd.get(), 0);
  if (base == MAP_FAILED) return tl::unexpected(errno);
  return std::unique_ptr<GuestMemory>(
      new GuestMemory(std::move(fd), static_cast<std::byte*>(base), bytes));
}

GuestMemory::GuestMemory(OwnedFd fd, std::byte* base, std::size_t bytes)
    : fd_(std::move(fd)), base_(base), bytes_(bytes), allocator_(bytes / kPageBytes) {
  static std::uint32_t last_id = 0;
  id_ = ++last_id;
}

GuestMemory::~GuestMemory() { ::munmap(base_, bytes_ + proto::LaneArea::kBytes); }

void GuestMemory::let_go(const std::function<bool(std::uint32_t client)>& is_client) {
  for (const PageRun& run : stale_turns_.let_go(is_client)) free(run);
}

void GuestMemory::free(PageRun run) {
  if (stale_turns_.hold_any_of(run)) return stale_turns_.postpone(run);
  allocator_.free(run);
  if (allocator_.pages_pooled() * kPageBytes <= kPoolBytes) return;
  // If the kernel will not, the pages stay in the pool.
  if (drop({at(run), run.count * kPageBytes})) allocator_.mark_dropped(run);
}

bool GuestMemory::drop(std::span<const std::byte> pages) const {
  assert(contains(pages.data()));
  return ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(pages.data() - base_),
                     static_cast<off_t>(pages.size())) == 0;
}

// The bytes are the file's and stay. The kernel gives back whole tables only (since Linux 6.14, on x86-64).
void GuestMemory::drop_tables(std::span<const std::byte> pages) const {
  assert(contains(pages.data()));
  const auto base = reinterpret_cast<std::uintptr_t>(base_);
  const auto first = reinterpret_cast<std::uintptr_t>(pages.data());
  const std::uintptr_t begin = std::max(first / kTableBytes * kTableBytes, base);
  const std::uintptr_t end =
      std::min((first + pages.size() + kTableBytes - 1) / kTableBytes * kTableBytes, base + bytes_);
  ::madvise(base_ + (begin - base), end - begin, MADV_DONTNEED);
}

void GuestMemory::clear_page(proto::Pfn pfn) { std::memset(page(pfn.value), 0, kPageBytes); }

proto::Pfn GuestMemory::pfn_of(const std::byte* address) const {
  assert(contains(address));
  return proto::Pfn{static_cast<std::uint64_t>(address - base_) / kPageBytes};
}

tl::expected<MappedPages, int> GuestMemory::map_pages(std::span<const std::uint64_t> pfns) {
  if (pfns.empty()) return tl::unexpected(EINVAL);
  const bool inside =
      std::ranges::all_of(pfns, [&](std::uint64_t pfn) { return pfn < page_count(); });
  if (!inside) return tl::unexpected(EFAULT);
  if (run_length(pfns) < pfns.size()) return stitch(pfns);
  return MappedPages({page(pfns.front()), pfns.size() * kPageBytes}, false);
}

// Reserves addresses for all pages, then lays each run of consecutive ones over its part.
tl::expected<MappedPages, int> GuestMemory::stitch(std::span<const std::uint64_t> pfns) {
  const std::size_t bytes = pfns.size() * kPageBytes;
  void* reserved =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return tl::unexpected(errno);
  MappedPages pages({static_cast<std::byte*>(reserved), bytes}, true);
  for (std::byte* next = pages.bytes().data(); !pfns.empty();) {
    const std::size_t length = run_length(pfns);
    if (map_shared(next, length * kPageBytes, MAP_FIXED, fd_.get(), pfns.front()) == MAP_FAILED) {
      return tl::unexpected(errno);
    }
    next += length * kPageBytes;
    pfns = pfns.subspan(length);
  }
  return pages;
}

}  // namespace vmbus::emu
