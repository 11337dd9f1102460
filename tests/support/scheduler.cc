#include "tests/support/scheduler.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace vmbus::test {
namespace {

constexpr std::size_t kStackBytes = 512 * 1024;  // the pump keeps blocks of 64 KiB there

// A finaliser of splitmix64.
constexpr std::uint64_t mix(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) { return mix(mix(a) ^ b); }

}  // namespace

// ---- places -------------------------------------------------------------------------------------

void Places::add(const void* base, std::size_t words, NameOf name_of) {
  regions_.push_back({static_cast<const std::byte*>(base), words * 4, count_, std::move(name_of)});
  count_ += static_cast<Place>(words);
}

Place Places::add(std::string name) {
  regions_.push_back({nullptr, 0, count_, [name = std::move(name)](std::size_t) { return name; }});
  return count_++;
}

Place Places::find(const void* address) const {
  const auto* byte = static_cast<const std::byte*>(address);
  for (const Region& region : regions_) {
    if (byte >= region.base && byte < region.base + region.bytes) {
      return region.first + static_cast<Place>((byte - region.base) / 4);
    }
  }
  return kNoPlace;
}

std::string Places::name(Place place) const {
  const auto after = std::ranges::find_if(
      regions_, [place](const Region& region) { return region.first > place; });
  if (place >= count_ || after == regions_.begin()) return "?";
  const Region& region = *std::prev(after);
  return region.name_of(place - region.first);
}

void Places::clear() {
  regions_.clear();
  count_ = 0;
}

// ---- runs ---------------------------------------------------------------------------------------

Scheduler::~Scheduler() {
  for (std::byte* stack : stacks_) ::munmap(stack, kStackBytes);
}

std::byte* Scheduler::stack(std::size_t index) {
  if (index == stacks_.size()) {
    void* memory = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    stacks_.push_back(static_cast<std::byte*>(memory));
  }
  return stacks_[index];
}

void Scheduler::spawn(std::string name, Role role, std::function<void()> body) {
  auto fiber = std::make_unique<Fiber>();
  fiber->name = std::move(name);
  fiber->role = role;
  fiber->body = std::move(body);
  fiber->stack = stack(fibers_.size());
  fiber->history = mix(fibers_.size() + 1);
  ::getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  ::makecontext(&fiber->context, reinterpret_cast<void (*)()>(&Scheduler::start), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  fibers_.push_back(std::move(fiber));
}

void Scheduler::start(unsigned high, unsigned low) {
  const std::uintptr_t self = std::uintptr_t{high} << 32 | low;
  reinterpret_cast<Scheduler*>(self)->run_body();
}

void Scheduler::run_body() {
  Fiber& me = *fibers_[current_];
  me.body();
  me.state = State::kDone;
  if (ends_) {
    ::swapcontext(&me.context, &outside_);
  } else {
    decide();
  }
}

std::string Scheduler::run(Chooser& chooser) {
  chooser_ = &chooser;
  ends_ = false;
  failure_.clear();
  steps_ = 0;
  moments_ = 0;
  changes_ = 0;
  touched_.resize(places_.count());
  versions_.assign(places_.count(), 0);
  versions_sum_ = 0;
  // The first spawned begins, as far as nobody interferes.
  const auto first = options();
  const std::size_t choice = first.size() > 1 ? chooser.choose(first, state_number(), 0) : 0;
  current_ = first[choice].fiber;
  ::swapcontext(&outside_, &fibers_[current_]->context);
  // Services come to their end.
  ends_ = true;
  for (std::size_t i = 0; failure_.empty() && i < fibers_.size(); ++i) {
    if (fibers_[i]->state == State::kDone) continue;
    current_ = i;
    fibers_[i]->woken = Woken::kAtEnd;
    ::swapcontext(&outside_, &fibers_[i]->context);
  }
  current_ = kNobody;
  fibers_.clear();
  return failure_;
}

bool Scheduler::learn() {
  bool is_news = false;
  for (Touched& place : touched_) {
    const bool is_contended = place.is_changed && std::popcount(place.by) > 1;
    is_news |= is_contended && !std::exchange(place.is_contended, is_contended);
  }
  return is_news;
}

void Scheduler::leave(std::string failure) {
  failure_ = std::move(failure);
  ::swapcontext(&fibers_[current_]->context, &outside_);
}

void Scheduler::fail(std::string why) {
  leave(fiber_name() + ": " + why);
  std::abort();  // nobody comes back
}

// ---- steps --------------------------------------------------------------------------------------

void Scheduler::step(Place place, bool changes, std::string_view what) {
  if (!is_running()) return;
  if (++steps_ > kMostSteps) fail("goes on and on");
  if (touched_[place].is_contended || traces_) {
    decide();
  } else {
    ++moments_;
  }
  trace(what.empty() ? (changes ? "changes" : "loads") : what, place);
  note(place, changes);
}

void Scheduler::note(Place place, bool changes) {
  if (!is_running()) return;
  touched_[place].by |= 1U << current_;
  touched_[place].is_changed |= changes;
  std::uint64_t& version = versions_[place];
  std::uint64_t& history = fibers_[current_]->history;
  history = mix(history, mix(std::uint64_t{place} * 2 + (changes ? 1 : 0), version));
  if (!changes) return;
  ++changes_;
  versions_sum_ -= mix(place, version);
  version = history;
  versions_sum_ += mix(place, version);
}

void Scheduler::pause() {
  if (!is_running()) return;
  fibers_[current_]->changes_seen = changes_;
  static_cast<void>(block(State::kPausing, false));
}

Woken Scheduler::wait_at(Place word, bool has_timer) {
  fibers_[current_]->word = word;
  trace("sleeps at", word);
  return block(State::kAsleep, has_timer);
}

long Scheduler::wake(Place word, long most) {
  long count = 0;
  for (const auto& fiber : fibers_) {
    if (fiber->state != State::kAsleep || fiber->word != word || count == most) continue;
    fiber->state = State::kReady;
    fiber->woken = Woken::kYes;
    ++count;
  }
  trace(count == 0 ? "wakes nobody at" : "wakes who sleeps at", word);
  fibers_[current_]->history = mix(fibers_[current_]->history, static_cast<std::uint64_t>(count));
  return count;
}

Woken Scheduler::wait_for(std::function<bool()> is_ready, bool has_timer) {
  if (ends_) return Woken::kAtEnd;
  if (is_ready()) return Woken::kYes;
  fibers_[current_]->is_ready = std::move(is_ready);
  return block(State::kWaiting, has_timer);
}

Woken Scheduler::block(State state, bool has_timer) {
  if (ends_) return Woken::kAtEnd;
  Fiber& me = *fibers_[current_];
  me.state = state;
  me.has_timer = has_timer;
  me.woken = Woken::kYes;
  decide();
  me.state = State::kReady;
  me.has_timer = false;
  me.history = mix(me.history, static_cast<std::uint64_t>(me.woken));
  return me.woken;
}

// ---- choices ------------------------------------------------------------------------------------

bool Scheduler::can_go_on(const Fiber& fiber) const {
  switch (fiber.state) {
    case State::kReady:
      return true;
    case State::kPausing:
      return fiber.changes_seen != changes_;
    case State::kWaiting:
      return fiber.is_ready();
    case State::kAsleep:
    case State::kDone:
      return false;
  }
  return false;
}

std::vector<Option> Scheduler::options() {
  std::vector<Option> found;
  const auto add = [&found](std::size_t fiber, bool by_timer, bool costs) {
    found.push_back(
        {static_cast<std::uint8_t>(fiber), by_timer, costs ? std::uint8_t{1} : std::uint8_t{0}});
  };
  const bool goes_on = current_ != kNobody && fibers_[current_]->state == State::kReady;
  if (goes_on) add(current_, false, false);
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    if (i != current_ && can_go_on(*fibers_[i])) add(i, false, goes_on);
  }
  // Who pauses may also be so slow, or the others, that nothing has changed when it looks again.
  const bool any = !found.empty();
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    const Fiber& fiber = *fibers_[i];
    if (fiber.state == State::kPausing && !can_go_on(fiber)) add(i, false, any);
  }
  const bool any_or_paused = !found.empty();
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    if (fibers_[i]->has_timer && !can_go_on(*fibers_[i])) add(i, true, any_or_paused);
  }
  return found;
}

void Scheduler::decide() {
  const std::size_t me = current_;
  ++moments_;
  const std::vector<Option> next = options();
  if (next.empty()) {
    const bool is_stuck = std::ranges::any_of(fibers_, [](const auto& fiber) {
      return fiber->role == Role::kProgram && fiber->state != State::kDone;
    });
    leave(is_stuck ? describe_stuck() : "");
    return;
  }
  const std::size_t choice = next.size() > 1 ? chooser_->choose(next, state_number(), moments_) : 0;
  const Option& option = next[choice];
  if (option.by_timer) fibers_[option.fiber]->woken = Woken::kByTimer;
  if (option.by_timer && traces_)
    std::fprintf(stderr, "%-10s (its time is up)\n", fibers_[option.fiber]->name.c_str());
  if (option.fiber == me) return;
  current_ = option.fiber;
  ::swapcontext(&fibers_[me]->context, &fibers_[current_]->context);
}

std::string Scheduler::describe_stuck() const {
  std::string text = "asleep for good:";
  for (const auto& fiber : fibers_) {
    if (fiber->role == Role::kService || fiber->state == State::kDone) continue;
    text += " " + fiber->name;
    text += fiber->state == State::kAsleep ? " at " + places_.name(fiber->word) : " in the kernel";
  }
  return text;
}

std::uint64_t Scheduler::state_number() const {
  std::uint64_t sum = mix(versions_sum_, current_);
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    const Fiber& fiber = *fibers_[i];
    const bool is_late = fiber.state == State::kPausing && fiber.changes_seen != changes_;
    const std::uint64_t how =
        static_cast<std::uint64_t>(fiber.state) * 4 + (is_late ? 2 : 0) + (fiber.has_timer ? 1 : 0);
    sum += mix(mix(i + 1, fiber.history), how);
  }
  return sum;
}

void Scheduler::trace(std::string_view what, Place place) const {
  if (!traces_) return;
  std::fprintf(stderr, "%-10s %.*s %s\n", fiber_name().c_str(), static_cast<int>(what.size()),
               what.data(), places_.name(place).c_str());
}

}  // namespace vmbus::test
