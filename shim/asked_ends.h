// The sockets that a wait in poll, select or epoll asks about and that this thread has read lately: their
// rings are looked at, and spun at, before the kernel is asked, which knows only what the daemon brought to
// their carriers.
//
// Never needed to be right: what is not looked at here is cool (docs/lanes.md), so the kernel is told of it.
// A thread that has ever waited so leaves rings cool after its receives, too, but for those that its last
// wait asked about.
#ifndef VMBUS_SHIM_ASKED_ENDS_H_
#define VMBUS_SHIM_ASKED_ENDS_H_

#include <cstdint>

#include "shim/direct.h"
#include "shim/direct_cache.h"
#include "shim/spin.h"

namespace vmbus::shim {

extern constinit thread_local bool t_polls;
// Has this thread ever waited in poll, select or epoll?
inline bool thread_polls() { return t_polls; }

// A bit for each place of t_known_ends.
using KnownPlaces = std::uint32_t;
static_assert(kKnownEnds <= 32);
// Is there a ring to look at, and may this process make the calls that looking takes?
bool may_look_at_rings();
constexpr KnownPlaces place_bit(int fd) { return KnownPlaces{1} << known_place(fd); }
// What is known at the lowest of them. REQUIRES: not none.
inline KnownEnd& first_known(KnownPlaces places) {
  return t_known_ends[static_cast<unsigned>(__builtin_ctz(places))];
}

// What this thread knows, for as long as the wait lasts. All other lanes that it knows are made cold.
class AskedEnds {
 public:
  // `asked`: the places whose sockets are asked for input. Those that are not what they were are left out.
  explicit AskedEnds(KnownPlaces asked);
  ~AskedEnds();
  AskedEnds(const AskedEnds&) = delete;
  AskedEnds& operator=(const AskedEnds&) = delete;

  int count() const { return __builtin_popcount(places_); }
  // Has `fd` one of the rings with something to read, as look() found?
  bool is_readable(int fd) const {
    return fd >= 0 && (readable_ & place_bit(fd)) != 0 && t_known_ends[known_place(fd)].fd == fd;
  }
  KnownPlaces readable() const { return readable_; }
  // Did look() find something that the kernel is to be asked about?
  bool asks_kernel() const { return asks_kernel_; }
  // REQUIRES: count() is 1.
  const DirectEnd& only() const { return end(places_); }

  // Looks at all rings. True: something is there to read, or asks_kernel().
  bool look();
  // Until one stirs, or `ask_others`, called now and then, says that something else has. False: the spin was
  // in vain, or not worth it.
  template <typename AskOthers>
  bool spin(std::int64_t limit_ns, AskOthers ask_others) {
    constexpr int kLooksPerQuestion = 64;
    if (limit_ns <= 0 || !is_spin_worth_it()) return false;
    warm();
    int looks = 0;
    const bool found = spin_until(
        [&] { return has_stirred() || (++looks % kLooksPerQuestion == 0 && ask_others()); },
        limit_ns);
    note_spin(found);
    return found;
  }
  // Before the kernel is waited in.
  void cool();
  // Each so many answers of rings alone, the kernel is asked all the same: something may be watched past our
  // hooks.
  static bool is_kernels_turn();

 private:
  static const DirectEnd& end(KnownPlaces places) { return first_known(places).end; }
  bool is_spin_worth_it() const;
  bool has_stirred() const {
    for (KnownPlaces left = places_; left != 0; left &= left - 1) {
      if (end(left).has_stirred()) return true;
    }
    return false;
  }
  void warm();

  KnownPlaces places_ = 0;
  KnownPlaces readable_ = 0;
  bool asks_kernel_ = false;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_ASKED_ENDS_H_
