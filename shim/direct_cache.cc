#include "shim/direct_cache.h"

#include <bit>

#include "shim/asked_ends.h"
#include "shim/known_epoch.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

// SO_SNDBUF of the carrier is as it is to be (Socket::raise_send_buffer()).
bool has_send_buffer(FdEntry entry, const proto::Endpoint& endpoint) {
  return (endpoint.flags & proto::kFlagSendBufferLow) == 0 ||
         (entry.flags & kFdSendBufferRaised) != 0;
}

// The next wait of this thread looks no longer at the ring of the socket that was there.
void give_way(KnownEnd& known, int fd) {
  if (!thread_polls() || known.fd == fd || !known.begin_use(known.fd)) return;
  if (known.receives) known.end.cool();
  known.end_use();
}

}  // namespace

constinit thread_local std::array<KnownEnd, kKnownEnds> t_known_ends;
constinit thread_local std::uint32_t t_known_places = 0;
constinit std::atomic<std::uint32_t> g_known_epoch{0};

bool KnownEnd::ask_for_daemon() {
  asked_at = real::ticks();
  return is_daemon_alive();
}

void forget_known_ends() { g_known_epoch.fetch_add(1, std::memory_order_relaxed); }

void remember(int fd, FdEntry entry, const proto::Endpoint& endpoint, const DirectEnd& end) {
  KnownEnd& known = t_known_ends[known_place(fd)];
  if (known.is_used) return;
  const auto word = std::bit_cast<std::uint64_t>(entry);
  const std::uint32_t epoch = g_known_epoch.load(std::memory_order_relaxed);
  const bool is_known = known.fd == fd && known.entry == word && known.epoch == epoch &&
                        known.sequence == endpoint.sequence && known.end.client() == end.client();
  if (is_known) return;
  give_way(known, fd);
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
  known.owner = &gate_owner_word();
  known.asked_at = 0;
  known.end = end;
  t_known_places |= place_bit(fd);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  known.fd = known.slot != nullptr ? fd : -1;
  known.is_used = false;
}

}  // namespace vmbus::shim
