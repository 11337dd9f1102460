// What this thread found out about its last few sockets, so that a data call on one of them need not
// copy and judge the endpoint's entry again. What is remembered holds while the entry's sequence, the
// descriptor's table entry, this process's number as an owner of gates, and what forget_known_ends()
// speaks of are what they were.
//
// Handlers    A place that a call uses is not taken by a handler that interrupts it; a handler that
//             leaves by siglongjmp leaves it used for good, and its socket to the long way.
#ifndef VMBUS_SHIM_DIRECT_CACHE_H_
#define VMBUS_SHIM_DIRECT_CACHE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "ringbuf/shared_word.h"
#include "shim/daemon_client.h"
#include "shim/direct.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/real.h"

namespace vmbus::shim {

struct KnownEnd {
  int fd = -1;  // -1: nothing is known
  bool is_used = false;
  bool receives = false;  // a plain receive, or send, of some bytes has nothing to be refused for
  bool sends = false;
  std::uint32_t sequence = 0;
  std::uint32_t epoch = 0;
  const proto::Endpoint* shared = nullptr;
  const std::atomic<std::uint64_t>* slot = nullptr;   // of the table of descriptors
  std::uint64_t entry = 0;                            // what is in it
  const std::atomic<std::uint32_t>* owner = nullptr;  // this process's number as an owner of gates
  std::uint64_t asked_at = 0;                         // ticks: when the daemon was last seen alive
  DirectEnd end;

  // Takes this place for one call, if what it says of `wanted_fd` still holds.
  bool begin_use(int wanted_fd) {
    if (wanted_fd < 0 || fd != wanted_fd || is_used)
      return false;  // -1 is no descriptor, known or not
    is_used = true;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // A handler may have been here in between.
    if (fd == wanted_fd && is_current()) return true;
    is_used = false;
    return false;
  }
  void end_use() { is_used = false; }

 private:
  // The mapping is read-only and the access a load: const_cast serves SharedWord's type alone.
  bool is_current() {
    auto& shared_sequence = const_cast<proto::Endpoint*>(shared)->sequence;
    return slot->load(std::memory_order_acquire) == entry &&
           ring::SharedWord(shared_sequence).load_acquire() == sequence && is_in_epoch() &&
           owner->load(std::memory_order_relaxed) == end.client() && has_daemon();
  }
  bool is_in_epoch() const;
  bool has_daemon() { return real::ticks() - asked_at < real::kTicksOfALook || ask_for_daemon(); }
  bool ask_for_daemon();
};

inline constexpr std::size_t kKnownEnds = 16;
constexpr unsigned known_place(int fd) { return static_cast<unsigned>(fd) % kKnownEnds; }
extern constinit thread_local std::array<KnownEnd, kKnownEnds> t_known_ends;
// The place for `fd`, worked out once: the compiler would do so again for each word of it.
inline KnownEnd& known_end(int fd) {
  KnownEnd* place = &t_known_ends[known_place(fd)];
  asm("" : "+r"(place));
  return *place;
}
extern constinit thread_local std::uint32_t t_known_places;  // a bit for each that was ever used
extern constinit std::atomic<std::uint32_t> g_known_epoch;

inline bool KnownEnd::is_in_epoch() const {
  return g_known_epoch.load(std::memory_order_relaxed) == epoch;
}

// A thread's place for `fd`, for the length of one call.
class KnownEndUse {
 public:
  explicit KnownEndUse(int fd) {
    KnownEnd& known = t_known_ends[known_place(fd)];
    if (known.begin_use(fd)) known_ = &known;
  }
  ~KnownEndUse() {
    if (known_ != nullptr) known_->end_use();
  }
  KnownEndUse(const KnownEndUse&) = delete;
  KnownEndUse& operator=(const KnownEndUse&) = delete;

  bool receives() const { return known_ != nullptr && known_->receives; }
  bool sends() const { return known_ != nullptr && known_->sends; }
  // REQUIRES: receives() or sends().
  DirectEnd& end() const { return known_->end; }

 private:
  KnownEnd* known_ = nullptr;
};

void remember(int fd, FdEntry entry, const proto::Endpoint& endpoint, const DirectEnd& end);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DIRECT_CACHE_H_
