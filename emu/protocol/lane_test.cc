#include "emu/protocol/lane.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <vector>

namespace vmbus::proto {
namespace {

constexpr std::uint32_t kGeneration = 7;
constexpr std::uint32_t kClient = 3;

class GateTest : public testing::Test {
 protected:
  GateTest() { gate_.open(kGeneration); }

  std::uint64_t word_ = 0;
  Gate gate_{word_};
};

TEST_F(GateTest, IsTakenByOneAtATime) {
  EXPECT_EQ(gate_.take(kGeneration, kClient), GateTaken::kYes);
  EXPECT_EQ(gate_.take(kGeneration, kGateDaemon), GateTaken::kBusy);
  EXPECT_EQ(gate_.owner(), kClient);
  EXPECT_EQ(gate_.give(kGeneration, kClient), 0U);
  EXPECT_EQ(gate_.take(kGeneration, kGateDaemon), GateTaken::kYes);
}

TEST_F(GateTest, KeepsOutWhoKnowsAnEarlierConnection) {
  EXPECT_EQ(gate_.take(kGeneration - 1, kClient), GateTaken::kNever);
  EXPECT_EQ(gate_.owner(), kGateFree);
}

TEST_F(GateTest, IsClosedForGood) {
  EXPECT_EQ(gate_.close(kGeneration), 0U);
  EXPECT_EQ(gate_.take(kGeneration, kClient), GateTaken::kNever);
}

TEST_F(GateTest, TellsWhoClosesItWhoWaits) {
  ASSERT_EQ(gate_.take(kGeneration, kGateDaemon), GateTaken::kYes);
  EXPECT_TRUE(gate_.want(kGeneration, kGateAwaited));
  EXPECT_EQ(gate_.close(kGeneration), kGateDaemon | kGateAwaited);
}

// Nobody would say so.
TEST_F(GateTest, CannotBeWantedOnceItIsClosed) {
  gate_.close(kGeneration);
  EXPECT_FALSE(gate_.want(kGeneration, kGateAwaited));
  EXPECT_EQ(gate_.owner(), kGateClosed);
}

TEST_F(GateTest, TellsItsOwnerWhoWaits) {
  ASSERT_EQ(gate_.take(kGeneration, kClient), GateTaken::kYes);
  EXPECT_TRUE(gate_.want(kGeneration, kGateWanted));
  EXPECT_TRUE(gate_.want(kGeneration, kGateAwaited));
  EXPECT_EQ(gate_.owner(), kClient);
  EXPECT_EQ(gate_.take(kGeneration, kGateDaemon), GateTaken::kBusy);
  EXPECT_EQ(gate_.give(kGeneration, kClient), kGateWanted | kGateAwaited);
}

TEST_F(GateTest, IsNotGivenByWhoHasLostIt) {
  ASSERT_EQ(gate_.take(kGeneration, kClient), GateTaken::kYes);
  gate_.seize(kGeneration, kGateDaemon);
  EXPECT_EQ(gate_.give(kGeneration, kClient), 0U);
  EXPECT_EQ(gate_.owner(), kGateDaemon);
  gate_.open(kGeneration + 1);
  EXPECT_EQ(gate_.give(kGeneration, kClient), 0U);
  EXPECT_EQ(gate_.take(kGeneration + 1, kClient), GateTaken::kYes);
}

TEST_F(GateTest, CannotBeWantedWhileNobodyHasIt) {
  EXPECT_FALSE(gate_.want(kGeneration, kGateWanted));
  EXPECT_FALSE(gate_.want(kGeneration + 1, kGateWanted));
}

class CarrierSendsTest : public testing::Test {
 protected:
  CarrierSendsTest() { sends_.open(); }
  static bool yes() { return true; }

  std::uint64_t word_ = 0;
  CarrierSends sends_{word_, kGeneration};
};

TEST_F(CarrierSendsTest, NoneAreThereAtFirst) { EXPECT_TRUE(sends_.none()); }

TEST_F(CarrierSendsTest, OneStaysUntilTheCarrierWasSeenEmpty) {
  sends_.begin();
  EXPECT_FALSE(sends_.none());
  sends_.end();
  EXPECT_FALSE(sends_.none());
  sends_.clean([] { return false; });
  EXPECT_FALSE(sends_.none());
  sends_.clean(yes);
  EXPECT_TRUE(sends_.none());
}

TEST_F(CarrierSendsTest, AreNotCleanedWhileOneIsUnderWay) {
  sends_.begin();
  sends_.clean(yes);
  EXPECT_FALSE(sends_.none());
}

TEST_F(CarrierSendsTest, OneThatBeginsAndEndsDuringTheLookIsSeen) {
  sends_.begin();
  sends_.end();
  sends_.clean([this] {
    sends_.begin();
    sends_.end();
    return true;
  });
  EXPECT_FALSE(sends_.none());
}

TEST_F(CarrierSendsTest, WhatTheDaemonKeepsOnlyItReleases) {
  sends_.keep(true);
  sends_.clean(yes);
  EXPECT_FALSE(sends_.none());
  sends_.keep(false);
  EXPECT_TRUE(sends_.none());
}

TEST_F(CarrierSendsTest, OneOfAnEarlierConnectionCountsNoMore) {
  sends_.begin();
  const CarrierSends next(word_, kGeneration + 1);
  next.open();
  sends_.end();
  sends_.begin();
  EXPECT_TRUE(next.none());
}

TEST_F(CarrierSendsTest, ManyBeginningsDoNotReachTheGeneration) {
  for (int i = 0; i < 70'000; ++i) {
    sends_.begin();
    sends_.end();
  }
  sends_.clean(yes);
  EXPECT_TRUE(sends_.none());
}

TEST(Lane, HandsAPositionOn) {
  Lane lane{};
  store_position(lane, {.index = 0xFFFF'FFF8, .taken_bytes = 16384});
  EXPECT_EQ(load_position(lane).index, 0xFFFF'FFF8);
  EXPECT_EQ(load_position(lane).taken_bytes, 16384U);
  EXPECT_EQ(load_position(lane).taken_at(8), 0U);
}

class LaneAreaTest : public testing::Test {
 protected:
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t{4096});
    }
  };

  std::vector<std::uint32_t> rung(Bell bell) {
    std::vector<std::uint32_t> lanes;
    area_.answer(bell, [&lanes](std::uint32_t lane) { lanes.push_back(lane); });
    return lanes;
  }

  std::unique_ptr<std::byte[], Free> memory_{new (std::align_val_t{4096})
                                                 std::byte[LaneArea::kBytes]{}};
  LaneArea area_{memory_.get()};
};

TEST_F(LaneAreaTest, ABellRungTwiceIsAnsweredOnce) {
  EXPECT_TRUE(area_.ring(5, Bell::kSignal));
  EXPECT_FALSE(area_.ring(5, Bell::kSignal));
  EXPECT_EQ(rung(Bell::kSignal), std::vector<std::uint32_t>{5});
  EXPECT_TRUE(rung(Bell::kSignal).empty());
  EXPECT_TRUE(area_.ring(5, Bell::kSignal));
}

TEST_F(LaneAreaTest, KindsOfBellsAreApart) {
  area_.ring(63, Bell::kLook);
  EXPECT_TRUE(rung(Bell::kSignal).empty());
  EXPECT_EQ(rung(Bell::kLook), std::vector<std::uint32_t>{63});
}

TEST_F(LaneAreaTest, EveryLaneHasABell) {
  for (const std::uint32_t lane : {0U, 64U, kLanes - 1}) area_.ring(lane, Bell::kSignal);
  EXPECT_EQ(rung(Bell::kSignal), (std::vector<std::uint32_t>{0, 64, kLanes - 1}));
}

TEST_F(LaneAreaTest, LanesStandApart) {
  area_.lane(0).raw = 1;
  area_.lane(kLanes - 1).raw = 2;
  EXPECT_EQ(area_.lane(1).raw, 0U);
  EXPECT_EQ(reinterpret_cast<std::byte*>(&area_.lane(kLanes - 1) + 1),
            memory_.get() + LaneArea::kBytes);
}

}  // namespace
}  // namespace vmbus::proto
