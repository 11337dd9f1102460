#include "shim/fd_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "shim/fork.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

constinit FdTable g_fd_table;
constexpr std::size_t kTableBytes = FdTable::kCapacity * sizeof(std::uint64_t);

}  // namespace

FdTable& fd_table() { return g_fd_table; }

FdTable::Slot* FdTable::slot(int fd) const {
  // end_ bounds the index, so a descriptor that was never ours does not even touch the array.
  const unsigned end = end_.load(std::memory_order_acquire);
  if (static_cast<unsigned>(fd) >= end) return nullptr;
  Slot* slots = slots_.load(std::memory_order_acquire);
  if (end == kUnsearched && (slots == nullptr || static_cast<unsigned>(fd) >= kCapacity)) {
    return nullptr;
  }
  return slots + fd;
}

FdEntry FdTable::find(int fd) {
  const unsigned end = end_.load(std::memory_order_acquire);
  if (static_cast<unsigned>(fd) >= end) return FdEntry{};
  if (end == kUnsearched) return find_searching(fd);
  const Slot& found = slots_.load(std::memory_order_relaxed)[fd];
  return std::bit_cast<FdEntry>(found.load(std::memory_order_acquire));
}

FdEntry FdTable::find_searching(int fd) {
  settle();
  return end_.load(std::memory_order_acquire) == kUnsearched ? FdEntry{} : find(fd);
}

bool FdTable::is_set(int fd) const {
  const Slot* found = slot(fd);
  return found != nullptr && found->load(std::memory_order_acquire) != 0;
}

void FdTable::search_when_asked(Search search) {
  search_ = search;
  end_.store(kUnsearched, std::memory_order_release);
}

void FdTable::settle() {
  if (end_.load(std::memory_order_acquire) != kUnsearched || !owns_memory()) return;
  const unsigned end = search_();
  unsigned expected = kUnsearched;
  // Another thread, or a signal handler, may have been faster.
  if (!end_.compare_exchange_strong(expected, end, std::memory_order_acq_rel)) raise_end(end);
}

int FdTable::reserve() {
  if (slots_.load(std::memory_order_acquire) != nullptr) return 0;
  const long mapped = real::call(SYS_mmap, nullptr, kTableBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped < 0 && mapped >= -4095) return ENOMEM;
  Slot* fresh = reinterpret_cast<Slot*>(mapped);
  Slot* expected = nullptr;
  if (!slots_.compare_exchange_strong(expected, fresh, std::memory_order_acq_rel)) {
    real::call(SYS_munmap, fresh, kTableBytes);
  }
  return 0;
}

void FdTable::store(int fd, FdEntry entry) {
  slots_.load(std::memory_order_relaxed)[fd].store(std::bit_cast<std::uint64_t>(entry),
                                                   std::memory_order_release);
}

void FdTable::raise_end(unsigned needed) {
  unsigned end = end_.load(std::memory_order_relaxed);
  while (end < needed && !end_.compare_exchange_weak(end, needed, std::memory_order_release)) {
  }
}

bool FdTable::set_inherited(int fd, FdEntry entry) {
  if (static_cast<unsigned>(fd) >= kCapacity) return false;
  store(fd, entry);
  return true;
}

bool FdTable::set(int fd, FdEntry entry) {
  settle();
  if (!set_inherited(fd, entry)) return false;
  raise_end(static_cast<unsigned>(fd) + 1);
  return true;
}

void FdTable::clear(int fd) {
  if (is_set(fd)) store(fd, FdEntry{});
}

void FdTable::clear_range(unsigned first, unsigned last) {
  const unsigned end = end_.load(std::memory_order_acquire);
  if (end == 0 || end == kUnsearched) return;
  for (unsigned fd = first; fd <= std::min(last, end - 1); ++fd) clear(static_cast<int>(fd));
}

void FdTable::add_flags(int fd, FdEntry entry, std::uint8_t flags) {
  Slot* target = slot(fd);
  if (target == nullptr) return;
  auto expected = std::bit_cast<std::uint64_t>(entry);
  entry.flags |= flags;
  target->compare_exchange_strong(expected, std::bit_cast<std::uint64_t>(entry),
                                  std::memory_order_acq_rel);
}

}  // namespace vmbus::shim
