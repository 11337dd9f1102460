// What happens when the library is loaded: note who we are and what our variables say, and find
// inherited carriers, before the program changes its user, its root, its limits or its environment.
// Everything else waits until a program makes its first socket; calls that come before this (from
// other libraries' constructors) are right all the same, since zeroed state means "not ours".
#include "shim/environment.h"
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/passing.h"

namespace {

using namespace vmbus::shim;  // NOLINT(google-build-using-namespace): one function

[[gnu::constructor]] void start_shim() {
  if (prepare_process() != 0) {
    environment();
    return;
  }
  {
    const LockedSection lock;
    environment();
  }
  const bool has_low_carrier = inherited_low_carrier();
  if (!has_low_carrier && !may_hold_high_descriptors()) return;
  // Higher numbers are rare, and looking for them takes ten times as long.
  fd_table().search_when_asked(find_inherited_descriptors);
  if (has_low_carrier) fd_table().settle();
}

}  // namespace
