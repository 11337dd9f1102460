#include "shim/ring_map.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "emu/protocol/lane.h"
#include "shim/daemon_client.h"
#include "shim/real.h"
#include "shim/sandbox.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kMaxMemories = 64;
// 16 page tables' worth of rings, as the default profile has them.
constexpr std::uint32_t kConnectionsBetween = 64;

// Published by its key, which is stored last and never changes.
struct Slot {
  std::atomic<std::uint64_t> key{0};  // bus and memory; 0: unused
  std::atomic<std::byte*> base{nullptr};
  std::atomic<std::size_t> page_bytes{0};
};

constinit std::array<Slot, kMaxMemories> g_slots{};
constinit std::atomic<std::uint32_t> g_claimed{0};  // slots that somebody fills or has filled
constinit std::atomic<std::uint32_t> g_connections{0};

std::uint64_t key_of(FdEntry entry, const proto::Endpoint& endpoint) {
  return std::uint64_t{entry.bus} << 32 | endpoint.memory;
}

const Slot* find(std::uint64_t key) {
  for (const Slot& slot : g_slots) {
    if (slot.key.load(std::memory_order_acquire) == key) return &slot;
  }
  return nullptr;
}

MappedMemory found(const Slot& slot) {
  return {slot.base.load(std::memory_order_relaxed),
          slot.page_bytes.load(std::memory_order_relaxed)};
}

MappedMemory map_file(int memfd) {
  struct stat status;
  if (real::call(SYS_fstat, memfd, &status) != 0) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes <= proto::LaneArea::kBytes) return {};
  const long mapped = real::call(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_NORESERVE, memfd, 0);
  if (mapped < 0 && mapped >= -4095) return {};
  auto* base = reinterpret_cast<std::byte*>(mapped);
  real::call(SYS_madvise, base, bytes, MADV_DONTDUMP);
  return {base, bytes - proto::LaneArea::kBytes};
}

// Two threads may both map: the second mapping is not used, and costs address space alone.
MappedMemory map_memory(int fd, FdEntry entry, std::uint64_t key) {
  int memfd = -1;
  const int error = request_memory(fd, entry, &memfd);
  MappedMemory mapped;
  if (memfd >= 0) {
    mapped = map_file(memfd);
    real::call(SYS_close, memfd);
  }
  // The connection has just ended; the next one may have the same memory.
  if (error == ENOENT) return {};
  const std::uint32_t index = g_claimed.fetch_add(1, std::memory_order_relaxed);
  if (index >= kMaxMemories) {
    g_claimed.store(kMaxMemories, std::memory_order_relaxed);
    if (mapped.base != nullptr) {
      real::call(SYS_munmap, mapped.base, mapped.page_bytes + proto::LaneArea::kBytes);
    }
    return {};
  }
  Slot& slot = g_slots[index];
  slot.base.store(mapped.base, std::memory_order_relaxed);
  slot.page_bytes.store(mapped.page_bytes, std::memory_order_relaxed);
  slot.key.store(key, std::memory_order_release);
  return mapped;
}

}  // namespace

MappedMemory known_memory_of(FdEntry entry, const proto::Endpoint& endpoint) {
  const Slot* slot = find(key_of(entry, endpoint));
  return slot == nullptr ? MappedMemory{} : found(*slot);
}

MappedMemory memory_of(int fd, FdEntry entry, const proto::Endpoint& endpoint) {
  const std::uint64_t key = key_of(entry, endpoint);
  if (const Slot* slot = find(key)) return found(*slot);
  if (g_claimed.load(std::memory_order_relaxed) >= kMaxMemories) return {};
  return map_memory(fd, entry, key);
}

// The bytes are the file's and stay. Since Linux 6.14 the tables go, too (x86-64); before, what is in them alone.
void count_connection() {
  const std::uint32_t count = g_connections.fetch_add(1, std::memory_order_relaxed) + 1;
  if (count % kConnectionsBetween != 0 || is_sandboxed()) return;
  for (const Slot& slot : g_slots) {
    if (slot.key.load(std::memory_order_acquire) == 0) continue;
    const MappedMemory memory = found(slot);
    if (memory.base == nullptr) continue;
    real::call(SYS_madvise, memory.base, memory.page_bytes, MADV_DONTNEED);
  }
}

}  // namespace vmbus::shim
