// LoopBackend: how the event loop asks the kernel what is ready. There are two: epoll, and
// io_uring's multishot poll.
//
// Contract    Edge-style. After arm(), wait() reports a descriptor that is ready already, and then
//             each time the kernel signals a change (data again, a second HUP): users drain to
//             EAGAIN and tolerate a report that says nothing new.
// Keys        Reports carry the key of arm(). The loop never uses a key twice, so that a report
//             still under way when its watch ended is recognised and dropped.
// Threads     The thread that made it, after any fork: an io_uring belongs to one thread.
#ifndef VMBUS_EMU_LOOP_BACKEND_H_
#define VMBUS_EMU_LOOP_BACKEND_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace vmbus::emu {

struct ReadyEvent {
  std::uint64_t key = 0;
  std::uint32_t events = 0;  // EPOLL* bits
  bool ended = false;        // the kernel dropped the request; arm() again to hear more
};

class LoopBackend {
 public:
  virtual ~LoopBackend() = default;
  virtual std::string_view name() const = 0;

  // REQUIRES: key is not 0. Error: errno; io_uring reports errors later, as an event that is
  // EPOLLERR alone.
  virtual int arm(int fd, std::uint32_t events, std::uint64_t key) = 0;
  virtual void disarm(int fd, std::uint64_t key) = 0;
  // When it returns, the kernel holds no reference to the file of any descriptor that was disarmed.
  virtual void let_go() = 0;
  // Other events under another key; a descriptor that is ready for them is reported.
  virtual int change(int fd, std::uint32_t events, std::uint64_t old_key,
                     std::uint64_t new_key) = 0;
  // Appends what is ready. Sleeps while nothing is, at most for `timeout` (nullopt: for ever) or
  // until a signal.
  virtual void wait(std::optional<std::chrono::nanoseconds> timeout,
                    std::vector<ReadyEvent>& ready) = 0;
};

// Error: errno.
tl::expected<std::unique_ptr<LoopBackend>, int> make_epoll_backend();
tl::expected<std::unique_ptr<LoopBackend>, int> make_uring_backend();

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_LOOP_BACKEND_H_
