#include "shim/zerocopy.h"

#include <atomic>
#include <cstddef>

namespace vmbus::shim {
namespace {

constexpr std::size_t kSockets = 256;
constexpr std::uint32_t kCopied = 1U << 31;
constexpr std::uint32_t kCountMask = kCopied - 1;

// One socket's sends. `due` counts what no one has taken (and kCopied), `sent` all of them.
struct Sends {
  std::atomic<std::uint64_t> socket{0};  // its key; 0: free
  std::atomic<std::uint32_t> sent{0};
  std::atomic<std::uint32_t> due{0};
};

constinit Sends g_sends[kSockets];
constinit std::atomic<int> g_sockets_due{0};

// Never 0: a generation begins at 1.
std::uint64_t key_of(FdEntry socket) {
  return std::uint64_t{socket.generation} << 32 | std::uint64_t{socket.bus} << 16 | socket.endpoint;
}

Sends* find(std::uint64_t key) {
  for (Sends& sends : g_sends) {
    if (sends.socket.load(std::memory_order_acquire) == key) return &sends;
  }
  return nullptr;
}

// An endpoint that is used again has another generation: what was its predecessor's is free.
bool is_free_for(std::uint64_t holder, std::uint64_t key) {
  return holder == 0 || static_cast<std::uint32_t>(holder) == static_cast<std::uint32_t>(key);
}

Sends* claim(std::uint64_t key) {
  for (Sends& sends : g_sends) {
    std::uint64_t holder = sends.socket.load(std::memory_order_acquire);
    if (!is_free_for(holder, key)) continue;
    if (!sends.socket.compare_exchange_strong(holder, key)) continue;
    sends.sent.store(0, std::memory_order_relaxed);
    if (sends.due.exchange(0) != 0) g_sockets_due.fetch_sub(1);
    return &sends;
  }
  return nullptr;
}

}  // namespace

bool reserve_zerocopy_sends(FdEntry socket) {
  const std::uint64_t key = key_of(socket);
  return find(key) != nullptr || claim(key) != nullptr;
}

void note_zerocopy_send(FdEntry socket, bool copied) {
  Sends* sends = find(key_of(socket));
  if (sends == nullptr) return;  // closed meanwhile
  sends->sent.fetch_add(1);
  if (copied) sends->due.fetch_or(kCopied);
  const std::uint32_t before = sends->due.fetch_add(1);
  if ((before & kCountMask) == 0) g_sockets_due.fetch_add(1);
}

bool take_zerocopy_sends(FdEntry socket, ZerocopyRange* range) {
  Sends* sends = find(key_of(socket));
  const std::uint32_t due = sends == nullptr ? 0 : sends->due.exchange(0);
  if ((due & kCountMask) == 0) return false;
  g_sockets_due.fetch_sub(1);
  range->last = sends->sent.load() - 1;
  range->first = range->last + 1 - (due & kCountMask);
  range->copied = (due & kCopied) != 0;
  return true;
}

bool zerocopy_events_exist() { return g_sockets_due.load(std::memory_order_relaxed) != 0; }

bool is_zerocopy_due(FdEntry socket) {
  if (!zerocopy_events_exist()) return false;
  const Sends* sends = find(key_of(socket));
  return sends != nullptr && sends->due.load(std::memory_order_relaxed) != 0;
}

}  // namespace vmbus::shim
