// Waiter: the ways a program waits until its socket may be read or written. All but io_uring pass hooks.
#ifndef VMBUS_TESTS_STRESS_WAITING_H_
#define VMBUS_TESTS_STRESS_WAITING_H_

#include <memory>

#include "tests/stress/plan.h"
#include "tests/stress/progress.h"

namespace vmbus::stress {

class Waiter {
 public:
  // `events` (POLLIN, POLLOUT): all that will ever be waited for. Null for kBlocking: calls wait.
  // kUring where the kernel refuses it: kPoll, counted in `progress`.
  static std::unique_ptr<Waiter> make(Way way, int fd, short events, Progress& progress);

  Waiter() = default;
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  virtual ~Waiter() = default;

  // Until one of `events`, or for no reason. kEdge: what was there before may not be shown.
  virtual void wait(short events) = 0;
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_WAITING_H_
