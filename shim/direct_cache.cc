#include "shim/direct_cache.h"

#include <array>
#include <atomic>

#include "ringbuf/shared_word.h"
#include "shim/daemon_client.h"
#include "shim/fork.h"
#include "shim/sandbox.h"
#include "shim/verdict.h"

namespace vmbus::shim {
namespace {

constexpr std::size_t kKnown = 4;
constinit thread_local std::array<KnownEnd, kKnown> t_known;

KnownEnd& place_of(int fd) { return t_known[static_cast<unsigned>(fd) % kKnown]; }

// The mapping is read-only and the access a load: const_cast serves SharedWord's type alone.
bool is_current(const KnownEnd& known) {
  auto& sequence = const_cast<proto::Endpoint*>(known.shared)->sequence;
  return ring::SharedWord(sequence).load_acquire() == known.sequence &&
         known.end.client() == gate_owner() && is_of_current_bus(known.entry) &&
         !is_sandboxed() && is_daemon_alive();
}

// SO_SNDBUF of the carrier is as it is to be (Socket::raise_send_buffer()).
bool has_send_buffer(FdEntry entry, const proto::Endpoint& endpoint) {
  return (endpoint.flags & proto::kFlagSendBufferLow) == 0 ||
         (entry.flags & kFdSendBufferRaised) != 0;
}

}  // namespace

KnownEndUse::KnownEndUse(int fd) {
  KnownEnd& known = place_of(fd);
  if (known.fd != fd || known.is_used) return;
  known.is_used = true;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // A handler may have been here in between.
  if (known.fd == fd && fd_table().find(fd) == known.entry && is_current(known)) {
    known_ = &known;
  } else {
    known.is_used = false;
  }
}

void remember(int fd, FdEntry entry, const proto::Endpoint& endpoint, const DirectEnd& end) {
  KnownEnd& known = place_of(fd);
  if (known.is_used) return;
  const bool is_known = known.fd == fd && known.entry == entry &&
                        known.sequence == endpoint.sequence &&
                        known.end.client() == end.client();
  if (is_known) return;
  known.is_used = true;
  known.fd = -1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  known.entry = entry;
  known.sequence = endpoint.sequence;
  known.shared = &shared_endpoint(entry);
  known.receives = receive_verdict(endpoint, 0, 1) == kAskKernel;
  known.sends = send_verdict(endpoint, 0, 1, false) == kAskKernel && has_send_buffer(entry, endpoint);
  known.end = end;
  known.fd = fd;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  known.is_used = false;
}

}  // namespace vmbus::shim
