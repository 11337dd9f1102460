// CloseWatch: was an end A closed, or merely shut in both directions? B shows HUP for both.
//
// An epoll instance has every A from its birth on, and keeps it, without a descriptor of ours, as long as the file
// is open anywhere (any descriptor of any process, or in flight). An open one that is shut in both directions is
// ready there; the kernel takes a closed one out before B can show HUP.
//
// Cost        Each question looks through all that are open and shut, in one of kMost instances: most programs keep few.
// Threads     The loop thread.
#ifndef VMBUS_EMU_HVSOCKET_CLOSE_WATCH_H_
#define VMBUS_EMU_HVSOCKET_CLOSE_WATCH_H_

#include <sys/epoll.h>

#include <cstdint>
#include <vector>

#include "emu/owned_fd.h"

namespace vmbus::emu {

class CloseWatch {
 public:
  static constexpr std::size_t kMost = 16;

  CloseWatch();

  // 0, or ENOMEM: no memory, or no more watches for this user (fs.epoll.max_user_watches).
  int add(int a, std::uint64_t cookie) const;
  // REQUIRES: its B shows HUP.
  bool is_open(std::uint64_t cookie);

 private:
  int instance_of(std::uint64_t cookie) const { return epolls_[cookie % epolls_.size()].get(); }

  std::vector<OwnedFd> epolls_;  // fewer where descriptors are few
  std::vector<epoll_event> ready_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_CLOSE_WATCH_H_
