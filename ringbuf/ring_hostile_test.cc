// A peer that stores anything anywhere: our ends return errors, never touch a byte outside the
// ring, and never assert. The ring lies between two pages that must not be touched.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/ring_actions.h"
#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

using testing::pick;
using testing::RingActions;

constexpr std::uint32_t kDataBytes = 2 * kPageBytes;
constexpr std::size_t kRingBytes = kPageBytes + kDataBytes;

// Shared with child processes; a touch of the page before or behind it is a crash.
class GuardedRing {
 public:
  GuardedRing()
      : mapping_(mmap(nullptr, kRingBytes + 2 * kPageBytes, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0)) {
    std::byte* ring = static_cast<std::byte*>(mapping_) + kPageBytes;
    mprotect(ring, kRingBytes, PROT_READ | PROT_WRITE);
    memory_ = *RingMemory::over({ring, kRingBytes});
  }
  ~GuardedRing() { munmap(mapping_, kRingBytes + 2 * kPageBytes); }
  GuardedRing(const GuardedRing&) = delete;
  GuardedRing& operator=(const GuardedRing&) = delete;

  const RingMemory& memory() const { return memory_; }

 private:
  void* mapping_;
  RingMemory memory_;
};

// Half the time plausible, so that the damage goes deeper than the first check.
std::uint32_t bad_index(std::mt19937_64& random) {
  switch (pick(random, 0, 3)) {
    case 0:
      return static_cast<std::uint32_t>(random());
    case 1:
      return pick(random, 0, kDataBytes + 8);
    default:
      return pick(random, 0, kDataBytes / kWordBytes - 1) * kWordBytes;
  }
}

std::uint64_t bad_head(std::mt19937_64& random) {
  const PipeHeader pipe{pick(random, 0, 3), pick(random, 0, 200)};
  const std::array<std::uint16_t, 4> descriptor{static_cast<std::uint16_t>(pick(random, 5, 12)),
                                                static_cast<std::uint16_t>(pick(random, 0, 5)),
                                                static_cast<std::uint16_t>(pick(random, 0, 40)),
                                                static_cast<std::uint16_t>(pick(random, 0, 2))};
  switch (pick(random, 0, 2)) {
    case 0:
      return random();
    case 1:
      return std::bit_cast<std::uint64_t>(pipe);
    default:
      return std::bit_cast<std::uint64_t>(descriptor);
  }
}

void do_harm(const RingMemory& memory, std::mt19937_64& random) {
  switch (pick(random, 0, 5)) {
    case 0:
      return memory.write_index().store_relaxed(bad_index(random));
    case 1:
      return memory.read_index().store_relaxed(bad_index(random));
    case 2:
      return memory.interrupt_mask().store_relaxed(pick(random, 0, 1));
    case 3:
      return memory.pending_send_size().store_relaxed(bad_index(random));
    default:
      return memory.store_word(pick(random, 0, kDataBytes / kWordBytes - 1) * kWordBytes,
                               bad_head(random));
  }
}

// Row 50: random control page and data give errors only
TEST(RingHostile, DamageBetweenOperationsGivesErrorsOnly) {
  auto random = testing::seeded_random();
  const GuardedRing ring;
  RingActions actions(ring.memory());
  for (int i = 0; i < 200'000; ++i) {
    if (pick(random, 0, 2) == 0) do_harm(ring.memory(), random);
    actions.perform(pick(random, 0, RingActions::kCount - 1), pick(random, 0, 12'000));
  }
}

// Row 50: also while our ends are at work, in the middle of any operation
TEST(RingHostile, DamageByAnotherProcessGivesErrorsOnly) {
  auto random = testing::seeded_random();
  const GuardedRing ring;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) do_harm(ring.memory(), random);
  }
  {
    RingActions actions(ring.memory());
    for (int i = 0; i < 200'000; ++i) {
      actions.perform(pick(random, 0, RingActions::kCount - 1), pick(random, 0, 12'000));
    }
  }
  EXPECT_EQ(kill(child, SIGKILL), 0);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

}  // namespace
}  // namespace vmbus::ring
