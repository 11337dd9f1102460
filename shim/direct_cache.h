// What this thread found out about its last few sockets, so that a data call on one of them need not
// copy and judge the endpoint's entry again. What is remembered holds while the entry's sequence, the
// descriptor's table entry and this process's number as an owner of gates are what they were.
//
// Handlers    A place that a call uses is not taken by a handler that interrupts it; a handler that
//             leaves by siglongjmp leaves it used for good, and its socket to the long way.
#ifndef VMBUS_SHIM_DIRECT_CACHE_H_
#define VMBUS_SHIM_DIRECT_CACHE_H_

#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "shim/direct.h"
#include "shim/fd_table.h"

namespace vmbus::shim {

struct KnownEnd {
  int fd = -1;  // -1: nothing is known
  bool is_used = false;
  bool receives = false;  // a plain receive, or send, of some bytes has nothing to be refused for
  bool sends = false;
  FdEntry entry{};
  std::uint32_t sequence = 0;
  const proto::Endpoint* shared = nullptr;
  DirectEnd end;
};

// A thread's place for `fd`, for the length of one call.
class KnownEndUse {
 public:
  explicit KnownEndUse(int fd);
  ~KnownEndUse() {
    if (known_ != nullptr) known_->is_used = false;
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
