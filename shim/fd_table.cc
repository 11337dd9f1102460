#include "shim/fd_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

#include "shim/real.h"

namespace vmbus::shim {
namespace {

constinit FdTable g_fd_table;
constexpr std::size_t kTableBytes = FdTable::kCapacity * sizeof(std::uint64_t);

}  // namespace

FdTable& fd_table() { return g_fd_table; }

FdTable::Slot* FdTable::slot(int fd) const {
  // end_ bounds the index, so a descriptor that was never ours does not even touch the array.
  if (static_cast<unsigned>(fd) >= end_.load(std::memory_order_acquire)) return nullptr;
  return slots_.load(std::memory_order_relaxed) + fd;
}

FdEntry FdTable::find(int fd) const {
  const Slot* found = slot(fd);
  if (found == nullptr) return FdEntry{};
  return std::bit_cast<FdEntry>(found->load(std::memory_order_acquire));
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

bool FdTable::set(int fd, FdEntry entry) {
  if (static_cast<unsigned>(fd) >= kCapacity) return false;
  const unsigned needed = static_cast<unsigned>(fd) + 1;
  Slot& target = slots_.load(std::memory_order_relaxed)[fd];
  target.store(std::bit_cast<std::uint64_t>(entry), std::memory_order_release);
  unsigned end = end_.load(std::memory_order_relaxed);
  while (end < needed && !end_.compare_exchange_weak(end, needed, std::memory_order_release)) {
  }
  return true;
}

void FdTable::replace(int fd, FdEntry entry) {
  if (Slot* target = slot(fd)) {
    target->store(std::bit_cast<std::uint64_t>(entry), std::memory_order_release);
  }
}

void FdTable::clear_range(unsigned first, unsigned last) {
  const unsigned end = end_.load(std::memory_order_acquire);
  if (end == 0) return;
  for (unsigned fd = first; fd <= std::min(last, end - 1); ++fd) {
    if (find(static_cast<int>(fd)).is_ours()) clear(static_cast<int>(fd));
  }
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
