// EventLoop: the daemon's one loop: descriptors, timers, posted work, a settle step after each
// batch.
//
// Who         Server makes it (after any fork, in the thread that runs it); everything in the
//             daemon hangs off it.
// Threads     One. No function may be called from another thread.
// Edges       Callbacks get EPOLL* bits when something changed, as with EPOLLET: read or write
//             until EAGAIN, and expect a call that turns out to have nothing new. Every HUP the
//             kernel raises is delivered.
// Re-entry    A callback may watch, unwatch (itself too), post, add and cancel timers. A watch
//             that was ended gets no further call, not even for an event of the batch at hand.
// A turn      Sleep; ready descriptors; due timers; posted tasks; settle. Tasks posted meanwhile
//             run in the next turn, before it sleeps.
#ifndef VMBUS_EMU_EVENT_LOOP_H_
#define VMBUS_EMU_EVENT_LOOP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "emu/loop_backend.h"
#include "emu/timer_queue.h"

namespace vmbus::emu {

enum class LoopChoice { kAuto, kIoUring, kEpoll };

inline constexpr std::string_view kLoopChoices = "auto, io_uring, epoll";
std::optional<LoopChoice> parse_loop_choice(std::string_view text);

// Names one watch. A default one names none; ending it does nothing.
struct WatchId {
  std::uint64_t value = 0;

  explicit operator bool() const { return value != 0; }
  friend bool operator==(const WatchId&, const WatchId&) = default;
};

class EventLoop {
 public:
  using Task = std::function<void()>;
  using ReadyCallback = std::function<void(std::uint32_t events)>;

  // kAuto takes epoll when the kernel or the container refuses io_uring (EPERM, ENOSYS, EINVAL);
  // other failures, and the refusal of the back end that was asked for, are errors: one line for
  // people.
  static tl::expected<std::unique_ptr<EventLoop>, std::string> create(LoopChoice choice);
  EventLoop(std::unique_ptr<LoopBackend> backend, std::string reason);

  std::string_view name() const { return backend_->name(); }  // "io_uring", "epoll"
  const std::string& reason() const { return reason_; }       // why this one, for people

  // Watches until unwatch(). A descriptor that the kernel will not watch gets one callback,
  // EPOLLERR.
  WatchId watch(int fd, std::uint32_t events, ReadyCallback callback);
  // Other events from now on; what is ready is reported again.
  void rewatch(WatchId id, std::uint32_t events);
  // REQUIRES: the descriptor is still open. Once it returns, the loop holds no reference to its
  // file.
  void unwatch(WatchId id);
  // The same for several: gets no further call, but the loop lets its file go only in let_go().
  // REQUIRES: the descriptor stays open until then.
  void end_watch(WatchId id);
  void let_go() { backend_->let_go(); }

  TimerId after(std::chrono::nanoseconds delay, Task task);
  void cancel(TimerId id) { timers_.cancel(id); }
  // Runs before the loop sleeps next.
  void post(Task task) { posted_.push_back(std::move(task)); }
  // Runs after every batch of callbacks, before the loop sleeps: the place to drain work that
  // callbacks queued.
  void set_settle(Task settle) { settle_ = std::move(settle); }

  // Turns until stop(); at once if that was called before.
  void run();
  void stop() { stopped_ = true; }
  // One turn; sleeps for `timeout` at most.
  void run_once(std::chrono::nanoseconds timeout);

 private:
  struct Watch {
    int fd;
    std::uint32_t events;
    std::uint32_t id_generation;   // of the WatchId
    std::uint32_t arm_generation;  // of the key under which the back end knows it now
    ReadyCallback callback;
  };
  struct Slot {
    std::unique_ptr<Watch> watch;  // null: free
    std::uint32_t last_generation = 0;
  };

  std::uint32_t free_slot();
  std::uint32_t next_generation(std::uint32_t slot);
  Watch* find(WatchId id);
  void turn(std::optional<std::chrono::nanoseconds> timeout);
  void finish_batch();
  void dispatch(const ReadyEvent& event);
  void report_failure(WatchId id, int fd, int error);
  std::optional<std::chrono::nanoseconds> sleep_limit(
      std::optional<std::chrono::nanoseconds> timeout) const;

  std::unique_ptr<LoopBackend> backend_;
  std::string reason_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::unique_ptr<Watch>> ended_;  // freed after the batch: one of them may be running
  TimerQueue timers_;
  std::vector<Task> posted_;
  std::vector<ReadyEvent> ready_;
  Task settle_ = [] {};
  bool stopped_ = false;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_EVENT_LOOP_H_
