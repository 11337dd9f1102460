#include "shim/sandbox.h"

#include <atomic>

#include "shim/known_epoch.h"

namespace vmbus::shim {
namespace {

// Written once, false to true; a reader that is late behaves as before it.
constinit std::atomic<bool> g_sandboxed{false};

}  // namespace

bool is_sandboxed() { return g_sandboxed.load(std::memory_order_relaxed); }

void note_sandbox() {
  g_sandboxed.store(true, std::memory_order_relaxed);
  forget_known_ends();
}

}  // namespace vmbus::shim
