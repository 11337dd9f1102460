#include "shim/asked_ends.h"

#include "shim/sandbox.h"
#include "shim/socket.h"

namespace vmbus::shim {
namespace {

constexpr unsigned kAnswersOfRings = 32;

constinit thread_local unsigned t_answers_of_rings = 0;

// What is known may be out of date: then it is found out anew, or the place is given up.
bool begin_use(KnownEnd& known) {
  if (known.is_used || known.fd < 0) return false;
  if (known.begin_use(known.fd)) return true;
  const int fd = known.fd;
  if (Socket::hint(fd).learn() && known.begin_use(fd)) return true;
  if (!known.is_used) known.fd = -1;
  return false;
}

}  // namespace

constinit thread_local bool t_polls = false;

bool may_look_at_rings() { return t_known_places != 0 && !is_sandboxed(); }

AskedEnds::AskedEnds(KnownPlaces asked) {
  t_polls = true;
  for (KnownPlaces left = t_known_places; left != 0; left &= left - 1) {
    KnownEnd& known = first_known(left);
    if (!begin_use(known)) continue;
    const bool is_asked = (asked & left & -left) != 0 && known.receives;
    known.end.set_polled(is_asked);
    if (is_asked) {
      places_ |= left & -left;
      continue;
    }
    if (known.receives) known.end.cool();
    known.end_use();
  }
}

AskedEnds::~AskedEnds() {
  for (KnownPlaces left = places_; left != 0; left &= left - 1) {
    first_known(left).end_use();
  }
}

bool AskedEnds::look() {
  readable_ = 0;
  asks_kernel_ = false;
  for (KnownPlaces left = places_; left != 0; left &= left - 1) {
    switch (end(left).news()) {
      case DirectEnd::News::kNone:
        break;
      case DirectEnd::News::kRing:
        readable_ |= left & -left;
        break;
      case DirectEnd::News::kCarrier:
        asks_kernel_ = true;
        break;
    }
  }
  return readable_ != 0 || asks_kernel_;
}

bool AskedEnds::is_spin_worth_it() const {
  for (KnownPlaces left = places_; left != 0; left &= left - 1) {
    if (end(left).is_spin_worth_it()) return true;
  }
  return false;
}

void AskedEnds::warm() {
  for (KnownPlaces left = places_; left != 0; left &= left - 1) end(left).warm();
}

bool AskedEnds::is_kernels_turn() {
  t_answers_of_rings = (t_answers_of_rings + 1) % kAnswersOfRings;
  return t_answers_of_rings == 0;
}

void AskedEnds::cool() {
  for (KnownPlaces left = places_; left != 0; left &= left - 1) end(left).cool();
}

}  // namespace vmbus::shim
