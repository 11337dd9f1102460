// InterruptPage: how signals travel on versions below 2.4, which have no event flag per channel.
//
//   offset  size  meaning
//        0  2048  host to guest: bit n is channel n; then event flag 0 of processor 0 is set
//     2048  2048  guest to host: bit n is channel n; then the shared connection is signalled
//
// Threads     Both ends set and take bits atomically. A bit is cleared before it is acted upon.
// Trust       The page is the guest's own memory: any bit may be set.
#ifndef VMBUS_EMU_INTERRUPT_PAGE_H_
#define VMBUS_EMU_INTERRUPT_PAGE_H_

#include <utility>
#include <vector>

#include "emu/guest_memory.h"
#include "emu/protocol/ids.h"

namespace vmbus::emu {

class InterruptPage {
 public:
  // REQUIRES: one page.
  explicit InterruptPage(MappedPages page) : page_(std::move(page)) {}

  void set_for_guest(proto::Relid relid);
  // Channels that the guest signalled since the last call.
  std::vector<proto::Relid> take_for_host();

 private:
  MappedPages page_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_INTERRUPT_PAGE_H_
