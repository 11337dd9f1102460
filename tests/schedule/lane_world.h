// LaneWorld: one connection whose programs and daemon run under a scheduler. The code is the product's, built
// with the points of ringbuf/schedule_point.h: DirectEnd for the programs; Sockets, LaneEnd, the pump and the
// event loop (on epoll) for the daemon. Each run of a schedule has a connection of its own.
//
// Steps       Each access to the two lanes, the two rings and their bells; each system call on an end of a
//             carrier, on a futex of a lane, on the line to the daemon. Not: what only one thread has.
// Time        Stands still. A timer of the daemon's, or of a sleep, runs out when the scheduler chooses so, and
//             at the latest when nobody else can go on. Of the sleeps only a writer's has one, if asked for:
//             nobody else needs it.
// Left out    The connection's making and the shim's way to it (descriptor table, endpoint, mapping).
#ifndef VMBUS_TESTS_SCHEDULE_LANE_WORLD_H_
#define VMBUS_TESTS_SCHEDULE_LANE_WORLD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "emu/hvsocket/loopback_rings.h"
#include "emu/undertaker.h"
#include "ringbuf/schedule_point.h"
#include "shim/direct.h"
#include "tests/support/scheduler.h"
#include "tests/support/test_bus.h"

namespace vmbus::test {

struct LaneOptions {
  bool spins = false;             // a spin is worth it
  bool writers_time_out = false;  // a writer that sleeps may do so for too long
  bool polls = false;             // threads have waited in poll before
  bool feeds = false;             // the programs at end 0 have a feed (shim/feeds.h)
  bool is_fresh = false;          // the watch that lanes are born with is not over yet
  const char* quirks = "";
};

class LaneWorld final : public ring::ScheduleHooks {
 public:
  explicit LaneWorld(const LaneOptions& options);
  ~LaneWorld();
  LaneWorld(const LaneWorld&) = delete;
  LaneWorld& operator=(const LaneWorld&) = delete;

  Scheduler& scheduler() { return scheduler_; }
  const LaneOptions& options() const { return options_; }
  static LaneWorld* current() { return current_; }

  // ---- one run
  void connect();  // and the daemon is spawned
  void spawn(std::string name, std::function<void()> body) {
    scheduler_.spawn(std::move(name), Role::kProgram, std::move(body));
  }
  // What is left behind that should not be, or empty. After a run that did not fail.
  std::string disconnect();

  // ---- for programs. An end is 0 or 1
  int fd(std::size_t end) const { return ends_[end].a.get(); }
  proto::Lane& lane(std::size_t end) const { return *ends_[end].lane; }
  shim::DirectEnd direct(std::size_t end, std::uint32_t client) const;
  void count_sent(std::size_t end, std::size_t bytes) { ends_[end].sent += bytes; }
  void count_received(std::size_t end, std::size_t bytes) { ends_[end].received += bytes; }
  // The daemon does it, between two events, and answers.
  void request(const std::function<void()>& what);
  void shutdown(std::size_t end, int how);
  void close(std::size_t end);
  void poll_in(std::size_t end);

  // ---- for calls that are scheduled (scheduled_calls.cc)
  void on_access(const void* word, bool changes) override;
  bool on_call(long number, const long (&arguments)[6], long* result) override;
  void on_pause() override { scheduler_.pause(); }
  // False: not one of ours.
  bool step_descriptor(int fd, bool changes, const char* what);
  // Sleeps until a descriptor of the loop's is ready or its timer is due. False: it is.
  int wait_for_events(int epoll, void* events, int most, int timeout_ms);
  long wake(const void* word, long most);
  bool has_place(const void* word) const { return places_.find(word) != kNoPlace; }
  void ring_daemon();
  int give_feed(int* b, std::uint32_t* generation);
  std::int64_t daemon_now_ns() const { return now_ns_; }
  std::int64_t spin_now_ns() { return spin_now_ns_[scheduler_.fiber()] += 20'000; }

 private:
  struct End {
    emu::OwnedFd a;
    std::uint64_t cookie = 0;
    proto::Lane* lane = nullptr;
    proto::Endpoint image{};
    shim::FdEntry entry{};  // if it has a feed
    std::size_t sent = 0;
    std::size_t received = 0;
  };
  struct Request {
    std::function<void()> what;
    bool* is_done;
  };

  emu::Socket* socket(std::size_t end) { return bus_.sockets().find(ends_[end].cookie); }
  void make_end(std::size_t end);
  void let_watches_end();
  void make_feed();
  void drop_feed();
  void add_places();
  void run_daemon();
  void answer_bell();
  long sleep_at(const void* word, std::uint32_t value);
  long call_carrier(long number, const long (&arguments)[6]);
  std::function<bool()> is_ready(int fd, short events);
  std::string check_end(std::size_t end);
  std::string check_memory() const;

  static LaneWorld* current_;

  LaneOptions options_;
  Places places_;
  Scheduler scheduler_;
  emu::Undertaker undertaker_;
  emu::TestBus bus_;
  std::shared_ptr<emu::LoopbackRings> rings_;
  std::array<End, 2> ends_;
  std::array<emu::OwnedFd, 2> bell_;  // programs'; the daemon's
  std::deque<Request> requests_;
  std::unordered_map<int, Place> descriptors_;
  Place bell_place_ = kNoPlace;
  Place request_place_ = kNoPlace;
  std::uint64_t io_changes_ = 0;
  std::int64_t now_ns_ = 0;
  std::array<std::int64_t, 8> spin_now_ns_{};  // of each fiber
};

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SCHEDULE_LANE_WORLD_H_
