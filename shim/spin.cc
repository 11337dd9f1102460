#include "shim/spin.h"

#include <sched.h>
#include <stddef.h>
#include <time.h>

#include <atomic>

#include "shim/environment.h"
#include "shim/real.h"

// libc keeps the kernel's restartable-sequence area beside the thread pointer, from 2.35 on: where the
// kernel says which CPU this is, for one load.
extern "C" [[gnu::weak]] const ptrdiff_t __rseq_offset;
extern "C" [[gnu::weak]] const unsigned __rseq_size;

namespace vmbus::shim {
namespace {

constexpr int kFailuresBeforeRest = 4;
constexpr int kRestingTries = 16;
constexpr int kReceivesBeforePatience = 8;
constexpr int kPatientPauses = 16;

struct Experience {
  int failures = 0;  // in a row
  int skipped = 0;   // since the last try
  int receives = 0;  // since this thread sent
};
constinit thread_local Experience t_experience;

constinit std::atomic<int> g_cpus{0};  // that we may run on; 0: not asked yet

int cpu_count() {
  int count = g_cpus.load(std::memory_order_relaxed);
  if (count != 0) return count;
  unsigned long mask[16] = {};
  const long bytes = real::call(SYS_sched_getaffinity, 0, sizeof mask, mask);
  for (long i = 0; i < bytes / static_cast<long>(sizeof mask[0]); ++i) {
    count += __builtin_popcountl(mask[i]);
  }
  if (count == 0) count = 1;
  g_cpus.store(count, std::memory_order_relaxed);
  return count;
}

}  // namespace

constinit std::ptrdiff_t g_cpu_offset = 0;

void find_cpu_word() {
  constexpr std::ptrdiff_t kCpuIdOffset = 4;  // struct rseq
  const bool is_there = &__rseq_offset != nullptr && &__rseq_size != nullptr && __rseq_size != 0;
  if (is_there) g_cpu_offset = __rseq_offset + kCpuIdOffset;
}

bool is_spin_worth_it(const proto::LaneArea& area, std::uint32_t lane) {
  if (spin_limit_ns() == 0) return false;
  const SeenOn peer = last_seen(area.lane(proto::opposite_lane(lane)));
  // Each may be bound to a CPU of its own: how many are ours says nothing then.
  if (peer == SeenOn::kOurCpu || (peer == SeenOn::kNowhere && cpu_count() < 2)) return false;
  Experience& seen = t_experience;
  if (seen.failures < kFailuresBeforeRest) return true;
  seen.skipped = (seen.skipped + 1) % kRestingTries;
  return seen.skipped == 0;
}

void note_spin(bool succeeded) {
  t_experience.failures = succeeded ? 0 : t_experience.failures + 1;
}

void note_send() { t_experience.receives = 0; }

int pauses_between_looks() {
  Experience& seen = t_experience;
  if (seen.receives < kReceivesBeforePatience) ++seen.receives;
  return seen.receives < kReceivesBeforePatience ? 1 : kPatientPauses;
}

std::int64_t monotonic_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);  // without a system call, where libc can
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::int64_t spin_limit_ns() { return std::int64_t{environment().spin_us} * 1000; }

}  // namespace vmbus::shim
