// What happens when the library is loaded: note who we are, and look for inherited carriers.
// Everything else waits until a program makes its first socket; calls that come before this (from
// other libraries' constructors) are right all the same, since zeroed state means "not ours".
#include "shim/fork.h"
#include "shim/passing.h"

namespace {

[[gnu::constructor]] void start_shim() {
  if (vmbus::shim::prepare_process() == 0) vmbus::shim::scan_inherited_descriptors();
}

}  // namespace
