// Whether this program handles signals, and a section without them.
//
// A handler may call us on the socket whose gate the interrupted call holds, or leave by longjmp and
// never give it up. So a program that has handlers pays for blocking its signals around each turn at
// a ring (about 0.1 us); most have none.
#ifndef VMBUS_SHIM_SIGNALS_H_
#define VMBUS_SHIM_SIGNALS_H_

#include <atomic>
#include <cstdint>

namespace vmbus::shim {

extern constinit std::atomic<bool> g_handles_signals;
inline bool handles_signals() { return g_handles_signals.load(std::memory_order_relaxed); }
void note_handler();  // for good: libc, or the program by number, installed one
// Every handler that the kernel knows of has SA_RESTART.
bool all_handlers_restart();

class BlockedSignals {
 public:
  void block();
  void restore();
  // Did a signal come meanwhile, for a handler of the program's? If a wait `restarts`, for one without SA_RESTART.
  // A wait in the kernel would have ended.
  bool would_interrupt(bool restarts) const;

 private:
  std::uint64_t saved_ = 0;
  bool is_blocking_ = false;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_SIGNALS_H_
