#include "shim/direct_cache.h"

#include <bit>

#include "shim/known_epoch.h"
#include "shim/polling.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

// SO_SNDBUF of the carrier is as it is to be (Socket::raise_send_buffer()).
bool has_send_buffer(FdEntry entry, const proto::Endpoint& endpoint) {
  return (endpoint.flags & proto::kFlagSendBufferLow) == 0 ||
         (entry.flags & kFdSendBufferRaised) != 0;
}

}  // namespace

constinit thread_local std::array<KnownEnd, kKnownEnds> t_known_ends;
constinit std::atomic<std::uint32_t> g_known_epoch{0};

namespace {
constinit thread_local bool t_polls = false;
}  // namespace

bool thread_polls() { return t_polls; }

void begin_polling() {
  t_polls = true;
  for (KnownEnd& known : t_known_ends) {
    if (known.fd < 0) continue;
    const KnownEndUse use(known.fd);
    if (use.receives()) use.end().cool();
  }
}

void forget_known_ends() { g_known_epoch.fetch_add(1, std::memory_order_relaxed); }

void remember(int fd, FdEntry entry, const proto::Endpoint& endpoint, const DirectEnd& end) {
  KnownEnd& known = t_known_ends[static_cast<unsigned>(fd) % kKnownEnds];
  if (known.is_used) return;
  const auto word = std::bit_cast<std::uint64_t>(entry);
  const std::uint32_t epoch = g_known_epoch.load(std::memory_order_relaxed);
  const bool is_known = known.fd == fd && known.entry == word && known.epoch == epoch &&
                        known.sequence == endpoint.sequence && known.end.client() == end.client();
  if (is_known) return;
  known.is_used = true;
  known.fd = -1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  known.receives = receive_verdict(endpoint, 0, 1) == kAskKernel;
  known.sends =
      send_verdict(endpoint, 0, 1, false) == kAskKernel && has_send_buffer(entry, endpoint);
  known.sequence = endpoint.sequence;
  known.epoch = epoch;
  known.shared = &shared_endpoint(entry);
  known.slot = fd_table().slot_of(fd);
  known.entry = word;
  known.asked_at = 0;
  known.end = end;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  known.fd = known.slot != nullptr ? fd : -1;
  known.is_used = false;
}

}  // namespace vmbus::shim
