// What happens when the library is loaded: note who we are, and that carriers may have been inherited.
// Everything else waits until a program makes its first socket; calls that come before this (from
// other libraries' constructors) are right all the same, since zeroed state means "not ours".
#include "shim/fd_table.h"
#include "shim/fork.h"
#include "shim/passing.h"

namespace {

[[gnu::constructor]] void start_shim() {
  if (vmbus::shim::prepare_process() != 0) return;
  vmbus::shim::fd_table().search_when_asked(vmbus::shim::find_inherited_descriptors);
}

}  // namespace
