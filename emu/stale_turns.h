// StaleTurns: programs that were shut out of a connection's rings while they were at them, and what they may
// still write to when they go on.
//
// A program that is stopped (SIGSTOP, a debugger, a frozen container) within a turn keeps its gate. The daemon
// does not wait for ever: it ends the connection. But the program goes on in the middle of its copy one
// day. So until the process is gone, the pages of both rings are nobody else's, and its lane is no other
// connection's.
//
// Threads     The daemon's loop thread.
// Contract    docs/lanes.md, "Gates"
#ifndef VMBUS_EMU_STALE_TURNS_H_
#define VMBUS_EMU_STALE_TURNS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "emu/page_allocator.h"
#include "emu/protocol/ids.h"

namespace vmbus::emu {

struct StaleTurn {
  std::uint32_t client = 0;
  std::uint32_t lane = 0;
  std::array<proto::Pfn, 4> rings;  // of each the control page and the first of data
};

class StaleTurns {
 public:
  void add(const StaleTurn& turn) { turns_.push_back(turn); }
  bool hold_lane(std::uint32_t lane) const;
  bool hold_any_of(PageRun run) const;

  // These pages are free as soon as nobody holds any of them.
  void postpone(PageRun run) { postponed_.push_back(run); }
  // Whoever is no client any more holds nothing. The runs that are free now.
  std::vector<PageRun> let_go(const std::function<bool(std::uint32_t client)>& is_client);

 private:
  std::vector<StaleTurn> turns_;
  std::vector<PageRun> postponed_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_STALE_TURNS_H_
