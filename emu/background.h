// Going to the background, and telling whoever started us that we listen.
#ifndef VMBUS_EMU_BACKGROUND_H_
#define VMBUS_EMU_BACKGROUND_H_

#include <string>
#include <variant>

#include "emu/client/bus_path.h"
#include "emu/owned_fd.h"

namespace vmbus::emu {

struct DaemonOptions;

// Says "ready", once, to everybody who waits for it; going away without having said so tells them
// that we failed.
class ReadyNotifier {
 public:
  ReadyNotifier() = default;

  // REQUIRES: the socket listens. In the background, standard error becomes the bus's log file from
  // here on; until then it is the starter's, so that a failure is seen.
  void ready(const client::BusPath& bus);

 private:
  friend std::variant<ReadyNotifier, int> enter_background(const DaemonOptions& options);

  bool background_ = false;
  OwnedFd starter_;  // --ready-fd
  OwnedFd parent_;   // the process that the user started, which prints where we listen
};

// Forks unless options.foreground. In the process that goes on as the daemon: its notifier. In the
// one the user started: the exit status, after the daemon listens or has failed. Call it before
// threads and before the event loop: an io_uring does not survive a fork.
std::variant<ReadyNotifier, int> enter_background(const DaemonOptions& options);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_BACKGROUND_H_
