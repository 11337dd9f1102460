// Undertaker: a small process beside the daemon that outlives it for a moment, to shut what the daemon's
// death alone would no longer shut.
//
// Every program learns that the daemon is gone from its carriers: with the daemon the last copy of their
// ends B goes, and they show HUP. A copy that was handed out as a feed (docs/lanes.md) keeps its carrier
// open. So the undertaker has a copy of each such end too, and shuts both directions of all of them when
// its line to the daemon ends, however the daemon ended: a shutdown is of the socket, whoever has it open.
//
// Who         run_daemon() starts it, before anything else is open; Sockets tell it of each end.
// It holds    its end of the line, /dev/null, the ends that it keeps. No output of the daemon's, no lock, no
//             listener; of its memory what there was before the bus was made. A process group of its own, so that
//             what ends the daemon's process group does not end it.
// Gone        Without one, keep() says no, and no feed is handed out.
#ifndef VMBUS_EMU_UNDERTAKER_H_
#define VMBUS_EMU_UNDERTAKER_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "emu/owned_fd.h"

namespace vmbus::emu {

class Undertaker {
 public:
  // None: keep() says no.
  Undertaker() = default;
  // Forks. REQUIRES: one thread. None, with a line in the log, where that fails.
  static Undertaker start();
  // It shuts what it keeps, and ends.
  ~Undertaker() = default;
  Undertaker(Undertaker&& other) noexcept = default;
  Undertaker& operator=(Undertaker&&) = delete;

  // From now on it has a copy of `b`, under the name `cookie`. False: it is gone, or has no ear.
  bool keep(std::uint64_t cookie, int b);
  // `cookie` is closed in the daemon. Never lost, but it may go out with a later call.
  void drop(std::uint64_t cookie);
  pid_t pid() const { return pid_; }  // 0: none

 private:
  Undertaker(OwnedFd line, pid_t pid) : line_(std::move(line)), pid_(pid) {}
  bool flush_drops();
  void lose(int error);

  OwnedFd line_;
  pid_t pid_ = 0;
  std::vector<std::uint64_t> dropped_;  // and not told yet
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_UNDERTAKER_H_
