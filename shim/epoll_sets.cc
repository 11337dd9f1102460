#include "shim/epoll_sets.h"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <bit>

#include "ringbuf/shared_word.h"
#include "shim/daemon_client.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/lane_sleep.h"
#include "shim/real.h"
#include "shim/user_memory.h"

namespace vmbus::shim {
namespace {

constexpr std::uint32_t kInput = EPOLLIN | EPOLLRDNORM;
// What may be asked for beside input: rings know when there is none of it, or the kernel is asked, too.
constexpr std::uint32_t kKnownToRings = kInput | EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP;
constexpr std::uint32_t kKnownToKernel = EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLRDBAND;

constexpr std::uint64_t kNoSet = ~std::uint64_t{0};

enum class Known : std::uint8_t { kNo, kAlone, kShared };

struct Set {
  std::atomic<Known> known{Known::kNo};
  std::atomic<std::uint32_t> instance{0};  // how many had this number
  std::atomic<std::uint32_t> members{0};
  std::atomic<std::uint32_t> version{0};
  std::atomic<const void*> waiter{nullptr};  // what stands for the one thread that waits
  std::atomic<std::uint32_t*> sleepers{nullptr};
};

// The last registration of one of our sockets that asks for input, level-triggered. Written with the lock held; the
// sequence is odd meanwhile.
struct Registration {
  std::atomic<std::uint32_t> sequence{0};
  std::atomic<std::uint64_t> set{kNoSet};
  std::atomic<std::uint32_t> events{0};
  std::atomic<std::uint64_t> data{0};
  std::atomic<std::uint64_t> entry{0};  // the descriptor table's, then
};

// Untouched pages of it cost nothing.
constinit std::array<Set, kEpollNumbers> g_sets{};
constinit std::array<Registration, kEpollNumbers> g_registrations{};
constinit std::atomic<int> g_sets_end{0};  // above every number that was ever an instance
constinit thread_local char t_waiter = 0;  // its address stands for the thread

template <typename Of>
Of* at(std::array<Of, kEpollNumbers>& all, int fd) {
  return fd >= 0 && fd < kEpollNumbers ? &all[static_cast<unsigned>(fd)] : nullptr;
}

Set* known_set(int epoll_fd) {
  Set* set = at(g_sets, epoll_fd);
  return set != nullptr && set->known.load(std::memory_order_acquire) == Known::kAlone ? set
                                                                                       : nullptr;
}

// Which socket; what else the table notes of it may change.
std::uint64_t word_of(FdEntry entry) {
  entry.flags = 0;
  return std::bit_cast<std::uint64_t>(entry);
}

// Tells instances apart that had the same number, too.
std::uint64_t name_of(int epoll_fd, const Set& set) {
  return std::uint64_t{set.instance.load(std::memory_order_relaxed)} << 32 |
         static_cast<std::uint32_t>(epoll_fd);
}

void write(Registration& registration, std::uint64_t set, const epoll_event& event, FdEntry entry) {
  registration.sequence.fetch_add(1, std::memory_order_acq_rel);
  registration.set.store(set, std::memory_order_release);
  registration.events.store(event.events, std::memory_order_release);
  registration.data.store(event.data.u64, std::memory_order_release);
  registration.entry.store(word_of(entry), std::memory_order_release);
  registration.sequence.fetch_add(1, std::memory_order_release);
}

struct Seen {
  std::uint64_t set = kNoSet;
  std::uint64_t entry = 0;
  epoll_event event{};
};

// Empty while somebody changes it.
Seen read(Registration& registration) {
  const std::uint32_t before = registration.sequence.load(std::memory_order_acquire);
  Seen seen;
  seen.set = registration.set.load(std::memory_order_acquire);
  seen.entry = registration.entry.load(std::memory_order_acquire);
  seen.event.events = registration.events.load(std::memory_order_acquire);
  seen.event.data.u64 = registration.data.load(std::memory_order_acquire);
  const std::uint32_t after = registration.sequence.load(std::memory_order_relaxed);
  return before == after && before % 2 == 0 ? seen : Seen{};
}

bool asks_for_input(const epoll_event& event) {
  return (event.events & kInput) != 0 && (event.events & ~(kKnownToRings | kKnownToKernel)) == 0;
}

// With the lock held, after the kernel agreed.
void note_registration(int epoll_fd, int fd, const epoll_event& event, FdEntry entry) {
  Registration* registration = at(g_registrations, fd);
  if (registration == nullptr) return;
  const Set* set = known_set(epoll_fd);
  const bool fits = asks_for_input(event) && set != nullptr;
  write(*registration, fits ? name_of(epoll_fd, *set) : kNoSet, event, entry);
}

// Someone who sleeps saw the set as it was.
// SYNC(epoll.sleepers): the version changes before the sleeper is looked for; pairs with begin_epoll_sleep().
void wake_waiter(Set& set) {
  set.version.fetch_add(1, std::memory_order_seq_cst);
  std::uint32_t* sleepers = set.sleepers.load(std::memory_order_seq_cst);
  if (sleepers == nullptr) return;
  ring::SharedCell(*sleepers).exchange(0);
  wake_from_lane(*sleepers);
}

void count_member(Set& set, int operation) {
  if (operation == EPOLL_CTL_ADD) set.members.fetch_add(1, std::memory_order_relaxed);
  if (operation == EPOLL_CTL_DEL) set.members.fetch_sub(1, std::memory_order_relaxed);
  wake_waiter(set);
}

void share(Set& set) {
  Known expected = Known::kAlone;
  if (set.known.compare_exchange_strong(expected, Known::kShared)) wake_waiter(set);
}

// One of ours: the kernel and the registration must agree whoever else calls at the same time.
long control_ours(int epoll_fd, int operation, int fd, epoll_event* event, FdEntry entry) {
  epoll_event asked{};
  if (operation != EPOLL_CTL_DEL) {
    if (copy_from_program(&asked, event, sizeof asked) != 0) return -EFAULT;
    event = &asked;
  }
  const LockedSection lock;
  const long result = real::call(SYS_epoll_ctl, epoll_fd, operation, fd, event);
  if (result == 0) note_registration(epoll_fd, fd, asked, entry);
  return result;
}

}  // namespace

void note_epoll(int epoll_fd) {
  Set* set = at(g_sets, epoll_fd);
  if (set == nullptr || !owns_memory()) return;
  set->instance.fetch_add(1, std::memory_order_relaxed);
  set->members.store(0, std::memory_order_relaxed);
  set->waiter.store(nullptr, std::memory_order_relaxed);
  set->version.fetch_add(1, std::memory_order_seq_cst);
  set->known.store(Known::kAlone, std::memory_order_release);
  int end = g_sets_end.load(std::memory_order_relaxed);
  while (end <= epoll_fd && !g_sets_end.compare_exchange_weak(end, epoll_fd + 1)) {
  }
}

void forget_epoll(int epoll_fd) {
  Set* set = at(g_sets, epoll_fd);
  if (set == nullptr || set->known.load(std::memory_order_relaxed) == Known::kNo) return;
  if (!owns_memory()) return;
  set->known.store(Known::kNo, std::memory_order_release);
}

void forget_epolls(unsigned first, unsigned last) {
  const int end = g_sets_end.load(std::memory_order_relaxed);
  for (unsigned fd = first; fd <= last && fd < static_cast<unsigned>(end); ++fd) {
    forget_epoll(static_cast<int>(fd));
  }
}

void share_epoll(int fd) {
  if (Set* set = known_set(fd); set != nullptr && owns_memory()) share(*set);
}

void share_all_epolls() {
  const int end = g_sets_end.load(std::memory_order_relaxed);
  for (int fd = 0; fd < end; ++fd) share(g_sets[static_cast<unsigned>(fd)]);
}

void share_inherited_epolls() {
  const int end = g_sets_end.load(std::memory_order_relaxed);
  for (int fd = 0; fd < end; ++fd) {
    Set* set = known_set(fd);
    if (set == nullptr) continue;
    const long flags = real::call(SYS_fcntl, fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) == 0) share(*set);
  }
}

long control_epoll(int epoll_fd, int operation, int fd, epoll_event* event) {
  Set* set = known_set(epoll_fd);
  if (set != nullptr &&
      !owns_memory()) {  // a vfork child: the set is its parent's, as is this memory
    share(*set);
    set = nullptr;
  }
  const FdEntry entry = set != nullptr ? fd_table().find(fd) : FdEntry{};
  const long result = entry.is_carrier()
                          ? control_ours(epoll_fd, operation, fd, event, entry)
                          : real::call(SYS_epoll_ctl, epoll_fd, operation, fd, event);
  if (result == 0 && set != nullptr) count_member(*set, operation);
  return result;
}

WatchedEnds watched_ends(int epoll_fd) {
  Set* set = known_set(epoll_fd);
  if (set == nullptr) return {};
  const void* waiter = set->waiter.load(std::memory_order_relaxed);
  if (waiter == nullptr) set->waiter.compare_exchange_strong(waiter, &t_waiter);
  if (waiter != nullptr && waiter != &t_waiter) {
    share(*set);
    return {};
  }
  const std::uint64_t name = name_of(epoll_fd, *set);
  WatchedEnds ends;
  ends.version = set->version.load(std::memory_order_seq_cst);
  std::uint32_t alone = 0;
  for (KnownPlaces left = t_known_places; left != 0; left &= left - 1) {
    const KnownEnd& known = first_known(left);
    Registration* registration = at(g_registrations, known.fd);
    if (registration == nullptr) continue;
    const Seen seen = read(*registration);
    const std::uint64_t socket = word_of(std::bit_cast<FdEntry>(known.entry));
    if (seen.set != name || seen.entry != socket) continue;
    ends.places |= left & -left;
    if ((seen.event.events & kKnownToKernel) == 0) ++alone;
  }
  const std::uint32_t members = set->members.load(std::memory_order_relaxed);
  ends.others = members > alone ? members - alone : 0;
  return ends;
}

InputEvent input_event(int epoll_fd, int fd) {
  const Set* set = known_set(epoll_fd);
  Registration* registration = at(g_registrations, fd);
  if (set == nullptr || registration == nullptr) return {};
  const Seen seen = read(*registration);
  if (seen.set != name_of(epoll_fd, *set)) return {};
  return {{seen.event.events & kInput, seen.event.data}, (seen.event.events & kKnownToKernel) != 0};
}

// SYNC(epoll.sleepers): stored before the version is looked at; pairs with wake_waiter().
bool begin_epoll_sleep(int epoll_fd, std::uint32_t version, std::uint32_t& sleepers) {
  Set* set = known_set(epoll_fd);
  if (set == nullptr) return false;
  set->sleepers.store(&sleepers, std::memory_order_seq_cst);
  if (set->version.load(std::memory_order_seq_cst) == version) return true;
  set->sleepers.store(nullptr, std::memory_order_seq_cst);
  return false;
}

void end_epoll_sleep(int epoll_fd) {
  if (Set* set = at(g_sets, epoll_fd)) set->sleepers.store(nullptr, std::memory_order_seq_cst);
}

}  // namespace vmbus::shim
