#include "emu/event_loop.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "emu/log.h"

namespace vmbus::emu {
namespace {

using Backend = tl::expected<std::unique_ptr<LoopBackend>, int>;

// A key, and a WatchId, is a generation above a slot. Generations start at 1, so that no key is 0.
constexpr std::uint64_t pack(std::uint32_t generation, std::uint32_t slot) {
  return std::uint64_t{generation} << 32 | slot;
}
constexpr std::uint32_t slot_of(std::uint64_t packed) { return static_cast<std::uint32_t>(packed); }
constexpr std::uint32_t generation_of(std::uint64_t packed) {
  return static_cast<std::uint32_t>(packed >> 32);
}

bool means_refused(int error) { return error == EPERM || error == ENOSYS || error == EINVAL; }

}  // namespace

std::optional<LoopChoice> parse_loop_choice(std::string_view text) {
  if (text == "auto") return LoopChoice::kAuto;
  if (text == "io_uring") return LoopChoice::kIoUring;
  if (text == "epoll") return LoopChoice::kEpoll;
  return std::nullopt;
}

tl::expected<std::unique_ptr<EventLoop>, std::string> EventLoop::create(LoopChoice choice) {
  std::string reason = "asked for";
  Backend backend;
  if (choice == LoopChoice::kEpoll) {
    backend = make_epoll_backend();
  } else {
    backend = make_uring_backend();
    if (choice == LoopChoice::kAuto) reason = "available here";
    if (choice == LoopChoice::kAuto && !backend && means_refused(backend.error())) {
      reason = fmt::format("io_uring is refused here: {}", errno_text(backend.error()));
      backend = make_epoll_backend();
    }
  }
  if (!backend) {
    return tl::unexpected(fmt::format("cannot set up the event loop: {}{}",
                                      errno_text(backend.error()),
                                      choice == LoopChoice::kIoUring ? "; try --loop epoll" : ""));
  }
  return std::make_unique<EventLoop>(std::move(*backend), std::move(reason));
}

EventLoop::EventLoop(std::unique_ptr<LoopBackend> backend, std::string reason)
    : backend_(std::move(backend)), reason_(std::move(reason)) {}

std::uint32_t EventLoop::free_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

std::uint32_t EventLoop::next_generation(std::uint32_t slot) {
  std::uint32_t& last = slots_[slot].last_generation;
  if (++last == 0) ++last;
  return last;
}

WatchId EventLoop::watch(int fd, std::uint32_t events, ReadyCallback callback) {
  const std::uint32_t slot = free_slot();
  const std::uint32_t generation = next_generation(slot);
  slots_[slot].watch =
      std::make_unique<Watch>(Watch{fd, events, generation, generation, std::move(callback)});
  const WatchId id{pack(generation, slot)};
  if (const int error = backend_->arm(fd, events, id.value)) report_failure(id, fd, error);
  return id;
}

void EventLoop::rewatch(WatchId id, std::uint32_t events) {
  Watch* watch = find(id);
  if (watch == nullptr) return;
  const std::uint32_t slot = slot_of(id.value);
  const std::uint64_t old_key = pack(watch->arm_generation, slot);
  watch->events = events;
  watch->arm_generation = next_generation(slot);
  const std::uint64_t new_key = pack(watch->arm_generation, slot);
  if (const int error = backend_->change(watch->fd, events, old_key, new_key))
    report_failure(id, watch->fd, error);
}

void EventLoop::unwatch(WatchId id) {
  end_watch(id);
  let_go();
}

void EventLoop::end_watch(WatchId id) {
  const Watch* watch = find(id);
  if (watch == nullptr) return;
  const std::uint32_t slot = slot_of(id.value);
  backend_->disarm(watch->fd, pack(watch->arm_generation, slot));
  ended_.push_back(std::move(slots_[slot].watch));
  free_slots_.push_back(slot);
}

EventLoop::Watch* EventLoop::find(WatchId id) {
  const std::uint32_t slot = slot_of(id.value);
  if (slot >= slots_.size()) return nullptr;
  Watch* watch = slots_[slot].watch.get();
  return watch != nullptr && watch->id_generation == generation_of(id.value) ? watch : nullptr;
}

void EventLoop::report_failure(WatchId id, int fd, int error) {
  log_error("cannot watch descriptor {}: {}", fd, errno_text(error));
  post([this, id] {
    if (Watch* watch = find(id)) watch->callback(EPOLLERR);
  });
}

TimerId EventLoop::after(std::chrono::nanoseconds delay, Task task) {
  return timers_.add(std::chrono::steady_clock::now() + delay, std::move(task));
}

void EventLoop::run() {
  finish_batch();
  while (!stopped_) turn(std::nullopt);
}

void EventLoop::run_once(std::chrono::nanoseconds timeout) {
  finish_batch();
  turn(timeout);
}

void EventLoop::turn(std::optional<std::chrono::nanoseconds> timeout) {
  ready_.clear();
  backend_->wait(sleep_limit(timeout), ready_);
  for (const ReadyEvent& event : ready_) dispatch(event);
  timers_.run_due(std::chrono::steady_clock::now());
  finish_batch();
}

void EventLoop::finish_batch() {
  for (const Task& task : std::exchange(posted_, {})) task();
  settle_();
  // Destroying a callback destroys what it captured, which may end further watches.
  const auto freed_now = std::exchange(ended_, {});
}

void EventLoop::dispatch(const ReadyEvent& event) {
  const std::uint32_t slot = slot_of(event.key);
  Watch* watch = slots_[slot].watch.get();
  if (watch == nullptr || watch->arm_generation != generation_of(event.key)) return;  // ended since
  if (event.ended) backend_->arm(watch->fd, watch->events, event.key);
  watch->callback(event.events);
}

std::optional<std::chrono::nanoseconds> EventLoop::sleep_limit(
    std::optional<std::chrono::nanoseconds> timeout) const {
  if (stopped_ || !posted_.empty()) return std::chrono::nanoseconds::zero();
  const auto due = timers_.next_due();
  if (!due) return timeout;
  const auto until_due = std::max(*due - std::chrono::steady_clock::now(),
                                  std::chrono::steady_clock::duration::zero());
  return timeout ? std::min(*timeout, std::chrono::nanoseconds(until_due)) : until_due;
}

}  // namespace vmbus::emu
