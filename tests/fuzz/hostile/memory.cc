#include "tests/fuzz/hostile/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <span>

namespace vmbus::hostile {
namespace {

// Pages from the front of the memory, where the allocator takes them from first.
constexpr std::size_t kNearPages = 4096;
// Entries of the table that are looked at: this many sockets are never open here.
constexpr std::uint32_t kEntries = 512;

std::uint64_t cookie_of(int fd) {
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length);
  return cookie;
}

}  // namespace

bool Target::is_of(int fd) const { return cookie == cookie_of(fd); }

std::optional<GuestView> GuestView::of(const Control& control, int carrier) {
  const int fd = control.request_memory(carrier);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(status.st_size);
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return std::nullopt;
  GuestView view(control, fd, static_cast<std::byte*>(base), bytes - proto::LaneArea::kBytes);
  const std::uint64_t cookie = cookie_of(carrier);
  for (const proto::Endpoint& shared : std::span(control.table(), kEntries)) {
    proto::Endpoint endpoint{};
    if (!proto::read_endpoint(shared, &endpoint) || endpoint.cookie != cookie) continue;
    view.id_ = endpoint.memory;
  }
  if (view.id_ == 0) return std::nullopt;
  return view;
}

std::optional<RingView> GuestView::ring_at(std::uint32_t control_page, std::uint32_t first_page,
                                           std::uint32_t pages) const {
  const std::size_t page_count = page_bytes_ / ring::kPageBytes;
  if (pages == 0 || control_page >= page_count || std::size_t{first_page} + pages > page_count)
    return std::nullopt;
  const auto at = [this](std::uint32_t page) {
    return base_ + std::size_t{page} * ring::kPageBytes;
  };
  return RingView{reinterpret_cast<ring::ControlPage*>(at(control_page)), at(first_page),
                  pages * ring::kPageBytes};
}

std::vector<Target> GuestView::targets() const {
  std::vector<Target> found;
  const proto::LaneArea lanes(base_ + page_bytes_);
  for (const proto::Endpoint& shared : std::span(table_, kEntries)) {
    proto::Endpoint endpoint{};
    if (!proto::read_endpoint(shared, &endpoint) || endpoint.memory != id_) continue;
    const auto in = ring_at(endpoint.in_control_page, endpoint.in_first_page, endpoint.in_pages);
    const auto out =
        ring_at(endpoint.out_control_page, endpoint.out_first_page, endpoint.out_pages);
    if (!in || !out || endpoint.lane >= proto::kLanes) continue;
    found.push_back({&lanes.lane(endpoint.lane), endpoint.lane, endpoint.lane_generation,
                     endpoint.cookie, *in, *out});
  }
  return found;
}

std::uint64_t& GuestView::any_word(Random& random) const {
  const std::size_t near = std::min(page_bytes_, kNearPages * ring::kPageBytes);
  const bool in_lanes = random.one_in(2);
  const std::size_t bytes = in_lanes ? proto::LaneArea::kBytes : near;
  const std::size_t offset = random.word() % bytes / sizeof(std::uint64_t) * sizeof(std::uint64_t);
  return *reinterpret_cast<std::uint64_t*>(base_ + (in_lanes ? page_bytes_ : 0) + offset);
}

void GuestView::punch_hole(const RingView& ring, Random& random) const {
  const std::size_t which = random.below(ring.data_bytes / ring::kPageBytes + 1);
  const auto* page = which == 0 ? reinterpret_cast<const std::byte*>(ring.control)
                                : ring.data + (which - 1) * ring::kPageBytes;
  ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page - base_, ring::kPageBytes);
}

}  // namespace vmbus::hostile
