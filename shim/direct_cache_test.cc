#include "shim/direct_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "shim/known_epoch.h"

namespace vmbus::shim {
namespace {

constexpr int kFd = 6;
constexpr std::uint64_t kEntry = 0x1234;

// A socket as this thread knows it; no daemon is asked, because it was seen alive just now.
class DirectCache : public testing::Test {
 protected:
  DirectCache() {
    EXPECT_EQ(prepare_process(), 0);
    endpoint_.sequence = 8;
    KnownEnd& known = place();
    known.fd = kFd;
    known.is_used = false;
    known.receives = true;
    known.sends = false;
    known.sequence = 8;
    known.epoch = g_known_epoch.load();
    known.shared = &endpoint_;
    known.slot = &slot_;
    known.entry = kEntry;
    known.owner = &gate_owner_word();
    known.asked_at = real::ticks();
    known.end = {};
  }
  ~DirectCache() override { place() = {}; }

  static KnownEnd& place() { return t_known_ends[kFd % kKnownEnds]; }
  static bool knows(int fd) { return KnownEndUse(fd).receives(); }

  proto::Endpoint endpoint_{};
  std::atomic<std::uint64_t> slot_{kEntry};
};

TEST_F(DirectCache, FindsWhatIsKnownAndSaysWhatItIsGoodFor) {
  const KnownEndUse use(kFd);
  EXPECT_TRUE(use.receives());
  EXPECT_FALSE(use.sends());
  EXPECT_EQ(&use.end(), &place().end);
}

TEST_F(DirectCache, KnowsNothingOfOtherDescriptorsNorOfNone) {
  EXPECT_FALSE(knows(kFd + 1));
  EXPECT_FALSE(knows(kFd + static_cast<int>(kKnownEnds))) << "the same place";
  EXPECT_FALSE(knows(-1));
  EXPECT_FALSE(knows(INT32_MIN));
  place().fd = -1;
  EXPECT_FALSE(knows(kFd));
}

TEST_F(DirectCache, ForgetsWhenTheEndpointChanges) {
  endpoint_.sequence = 10;
  EXPECT_FALSE(knows(kFd));
  endpoint_.sequence = 9;  // is being changed
  EXPECT_FALSE(knows(kFd));
  endpoint_.sequence = 8;
  EXPECT_TRUE(knows(kFd));
}

TEST_F(DirectCache, ForgetsWhenTheDescriptorIsAnother) {
  slot_ = kEntry + 1;
  EXPECT_FALSE(knows(kFd));
}

TEST_F(DirectCache, ForgetsWhenAllIsVoid) {
  forget_known_ends();
  EXPECT_FALSE(knows(kFd));
}

TEST_F(DirectCache, ForgetsWhenTheProcessIsAnotherOwnerOfGates) {
  ASSERT_EQ(prepare_process(), 0);
  const std::uint32_t before = gate_owner();
  set_gate_owner(before + 1);
  EXPECT_FALSE(knows(kFd));
  set_gate_owner(before);
  EXPECT_EQ(knows(kFd), before == 0);
}

// A handler that interrupts a call finds its place taken; afterwards it is free again.
TEST_F(DirectCache, APlaceIsUsedByOneCallAtATime) {
  {
    const KnownEndUse use(kFd);
    ASSERT_TRUE(use.receives());
    EXPECT_FALSE(knows(kFd));
    EXPECT_TRUE(place().is_used);
  }
  EXPECT_FALSE(place().is_used);
  EXPECT_TRUE(knows(kFd));
}

TEST_F(DirectCache, APlaceThatIsNotCurrentIsNotLeftUsed) {
  slot_ = 0;
  EXPECT_FALSE(knows(kFd));
  EXPECT_FALSE(place().is_used);
}

TEST_F(DirectCache, WhatACallUsesIsNotReplaced) {
  const KnownEndUse use(kFd);
  remember(kFd + static_cast<int>(kKnownEnds), {}, endpoint_, {});
  EXPECT_EQ(place().fd, kFd);
}

}  // namespace
}  // namespace vmbus::shim
