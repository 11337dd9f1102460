// What the shim must know about the process it runs in, and its one lock.
//
// A page with MADV_WIPEONFORK holds our pid, the lock word, and whether the control connection is
// this process's own. After fork() or a raw clone() without CLONE_VM the child reads zeros: the
// lock is free whoever held it in the parent, and the inherited connection is known to be the
// parent's. After vfork(), posix_spawn() or CLONE_VM the page is the parent's; only the kernel's
// getpid() tells, and such a child makes kernel calls but changes nothing here. What parent and
// child may each do is a table in docs/shim.md.
//
// fork() waits for a request that another thread has under way, and requests wait for fork(): a descriptor that an answer
// brings is noted nowhere for a moment, and no child could close its copy of it. Neither holds anything while it waits, nor
// waits for long: other libraries' handlers of fork() may hold locks for which our callers wait.
#ifndef VMBUS_SHIM_FORK_H_
#define VMBUS_SHIM_FORK_H_

#include <atomic>
#include <cstdint>

namespace vmbus::shim {

// Makes the page, notes our pid, and has libc's fork() note the child's. 0 or an errno value.
// Repeatable.
int prepare_process();

// False in a vfork child: table, lock and connection belong to its parent, which waits.
bool owns_memory();

// Whether this process made the control connection itself. REQUIRES: prepare_process() succeeded;
// the lock is held.
bool owns_connection();
void set_owns_connection(bool owned);

// The wiped page. Zeros: a new process, the lock free, no connection of its own.
struct ProcessPage {
  std::atomic<std::int32_t> pid;
  std::atomic<std::uint32_t> lock;
  std::atomic<std::uint32_t> forking;  // threads in fork()
  std::atomic<bool> owns_connection;
  std::atomic<std::uint32_t> gate_owner;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
extern constinit std::atomic<ProcessPage*> g_process_page;

// This process's pid; 0: not noted yet. In a vfork child its parent's. Lock-free.
inline std::uint32_t known_process() {
  const ProcessPage* known = g_process_page.load(std::memory_order_acquire);
  return known == nullptr ? 0
                          : static_cast<std::uint32_t>(known->pid.load(std::memory_order_relaxed));
}

// This process's number as an owner of gates (emu/protocol/lane.h); 0: it has none, or not yet. Lock-free.
inline std::uint32_t gate_owner() {
  const ProcessPage* known = g_process_page.load(std::memory_order_acquire);
  return known == nullptr ? 0 : known->gate_owner.load(std::memory_order_relaxed);
}
// Where it stands, for good. REQUIRES: prepare_process() succeeded.
inline const std::atomic<std::uint32_t>& gate_owner_word() {
  return g_process_page.load(std::memory_order_acquire)->gate_owner;
}
// REQUIRES: as set_owns_connection().
void set_gate_owner(std::uint32_t client);

// Holds the shim's lock with every signal blocked, so that a handler that calls us cannot deadlock,
// nor a cancellation leave it locked. For one daemon request at most, which the daemon answers at
// once. REQUIRES: prepare_process() succeeded; owns_memory().
class LockedSection {
 public:
  LockedSection();
  ~LockedSection();
  LockedSection(const LockedSection&) = delete;
  LockedSection& operator=(const LockedSection&) = delete;

 private:
  std::uint64_t saved_signals_ = 0;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_FORK_H_
