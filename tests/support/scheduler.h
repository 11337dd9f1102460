// Scheduler: runs threads as fibers of one thread and decides, before each of their steps, who goes on. So an
// order of steps can be chosen, repeated, and searched for (schedule_search.h).
//
// Step        What others can see: an access to a place of shared memory, a system call. A fiber says so before
//             it takes it (step()), and waits in wait_for() or wait_at().
// Service     A fiber that is never done: the daemon. A run ends when all others are done and no service has
//             anything left to do, a timer included.
// Failure     Nobody can go on and somebody is not done: asleep for good. Or fail(). What the fibers held then
//             is leaked: nothing can be done with the same objects afterwards.
// Contended   A place that several fibers touched, and one changed, in a run so far. A step anywhere else makes no
//             difference to the others, so nobody is stopped before it. What runs find out takes effect when
//             learn() is called: a search begins anew with it, until it finds no more.
// State       A number for the state that the run is in: each fiber's steps and what it saw in them. Two runs
//             with the same number go on alike, but for a collision of 64 bits.
#ifndef VMBUS_TESTS_SUPPORT_SCHEDULER_H_
#define VMBUS_TESTS_SUPPORT_SCHEDULER_H_

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmbus::test {

// A place that several fibers touch: Places hands them out.
using Place = std::uint32_t;
inline constexpr Place kNoPlace = ~Place{0};

class Places {
 public:
  // `words` of 4 bytes; the name of each comes from `name_of` when it is asked for.
  using NameOf = std::function<std::string(std::size_t word)>;
  void add(const void* base, std::size_t words, NameOf name_of);
  // One that is no memory.
  Place add(std::string name);
  Place find(const void* address) const;
  std::string name(Place place) const;
  std::size_t count() const { return count_; }
  void clear();

 private:
  struct Region {
    const std::byte* base;
    std::size_t bytes;
    Place first;
    NameOf name_of;
  };
  std::vector<Region> regions_;
  Place count_ = 0;
};

// What may come next. Options[0] costs nothing and is what happens when nobody interferes.
struct Option {
  std::uint8_t fiber;
  bool by_timer;      // its time limit passes
  std::uint8_t cost;  // 1: somebody else could have gone on
};

class Chooser {
 public:
  virtual ~Chooser() = default;
  // Asked where there is a choice. `moment` counts all steps and waits of the run.
  virtual std::size_t choose(std::span<const Option> options, std::uint64_t state,
                             std::uint64_t moment) = 0;
};

enum class Role : std::uint8_t { kProgram, kService };
enum class Woken : std::uint8_t { kYes, kByTimer, kAtEnd };

class Scheduler {
 public:
  explicit Scheduler(Places& places) : places_(places) {}
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Prints each step to stderr; any may be a choice.
  void set_trace(bool traces) { traces_ = traces; }
  void spawn(std::string name, Role role, std::function<void()> body);
  // True: there are contended places that were not known as such.
  bool learn();
  // Empty, or what went wrong. Forgets the fibers.
  std::string run(Chooser& chooser);

  // ---- for the fiber that runs
  bool is_running() const { return current_ != kNobody && !ends_; }
  std::size_t fiber() const { return current_; }
  const std::string& fiber_name() const { return fibers_[current_]->name; }
  void step(Place place, bool changes, std::string_view what = "");
  // Seen without a step of its own.
  void note(Place place, bool changes);
  // Looks again when somebody changed something, or nobody else can go on.
  void pause();
  // While nobody wakes who sleeps at `word`.
  Woken wait_at(Place word, bool has_timer);
  // At most so many of them; how many they were.
  long wake(Place word, long most);
  Woken wait_for(std::function<bool()> is_ready, bool has_timer);
  [[noreturn]] void fail(std::string why);
  std::uint64_t steps() const { return steps_; }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;
  static constexpr std::size_t kMostSteps = 20'000;  // of a run: more is a loop without an end
  enum class State : std::uint8_t { kReady, kPausing, kAsleep, kWaiting, kDone };
  struct Fiber {
    std::string name;
    Role role;
    std::function<void()> body;
    std::byte* stack = nullptr;
    ucontext_t context{};
    State state = State::kReady;
    Place word = kNoPlace;
    std::function<bool()> is_ready;
    bool has_timer = false;
    Woken woken = Woken::kYes;
    std::uint64_t history = 0;
    std::uint64_t changes_seen = 0;
  };

  static void start(unsigned high, unsigned low);
  void run_body();
  void decide();
  std::vector<Option> options();
  bool can_go_on(const Fiber& fiber) const;
  void switch_to(const Option& option);
  Woken block(State state, bool has_timer);
  void leave(std::string failure);
  std::string describe_stuck() const;
  std::uint64_t state_number() const;
  void trace(std::string_view what, Place place) const;
  std::byte* stack(std::size_t index);

  Places& places_;
  Chooser* chooser_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::byte*> stacks_;
  ucontext_t outside_{};
  std::size_t current_ = kNobody;
  bool ends_ = false;
  bool traces_ = false;
  std::string failure_;
  std::uint64_t steps_ = 0;
  std::uint64_t moments_ = 0;
  std::uint64_t changes_ = 0;
  struct Touched {
    std::uint32_t by = 0;  // a bit for each fiber
    bool is_changed = false;
    bool is_contended = false;
  };
  std::vector<Touched> touched_;         // of each place, in all runs
  std::vector<std::uint64_t> versions_;  // of each place: the history of who changed it last
  std::uint64_t versions_sum_ = 0;
};

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SUPPORT_SCHEDULER_H_
