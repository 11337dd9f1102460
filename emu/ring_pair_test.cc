#include "emu/ring_pair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <ranges>
#include <vector>

#include "emu/protocol/gpa_range.h"
#include "tests/support/memory_of.h"

namespace vmbus::emu {
namespace {

using proto::kPageBytes;

bool is_clear(const std::byte* page) {
  return std::all_of(page, page + kPageBytes, [](std::byte byte) { return byte == std::byte{}; });
}

TEST(RingPair, RoundsEachRingUpToWholePagesWithAtLeastOneOfData) {
  const auto memory = memory_of(64);
  const auto pair = allocate_ring_pair(*memory, 4 * kPageBytes + 1, 1);
  ASSERT_TRUE(pair.has_value());
  const ChannelRings rings = pair->addresses(*memory);
  EXPECT_EQ(rings.guest_to_host.data.size(), 4 * kPageBytes);
  EXPECT_EQ(rings.host_to_guest.data.size(), kPageBytes);
}

TEST(RingPair, ListsItsPagesAsTheyAreMapped) {
  const auto memory = memory_of(64);
  const auto pair = allocate_ring_pair(*memory, 3 * kPageBytes, 4 * kPageBytes);
  ASSERT_TRUE(pair.has_value());
  const ChannelRings rings = pair->addresses(*memory);
  const std::vector<std::byte*> mapped{
      rings.guest_to_host.control,
      rings.guest_to_host.data.data(),
      rings.guest_to_host.data.data() + kPageBytes,
      rings.host_to_guest.control,
      rings.host_to_guest.data.data(),
      rings.host_to_guest.data.data() + kPageBytes,
      rings.host_to_guest.data.data() + 2 * kPageBytes,
  };
  EXPECT_EQ(pair->guest_to_host_pages(), 3U);
  EXPECT_TRUE(std::ranges::equal(pair->pages(), mapped, {}, {},
                                 [&](const std::byte* page) { return memory->pfn_of(page); }));
}

// 64 pairs' control pages would be in 128 nodes of the kernel's index if each stood before its data.
TEST(RingPair, ControlPagesStandTogether) {
  const auto memory = memory_of(64 * 128 + 128);
  std::vector<std::uint64_t> nodes;
  for (int i = 0; i < 64; ++i) {
    const auto pair = allocate_ring_pair(*memory, 64 * kPageBytes, 64 * kPageBytes);
    ASSERT_TRUE(pair.has_value());
    nodes.push_back(pair->control.first.value / 64);
  }
  std::ranges::sort(nodes);
  const auto twice = std::ranges::unique(nodes);
  EXPECT_LE(std::distance(nodes.begin(), twice.begin()), 3);
}

TEST(RingPair, BothControlPagesAreClearWhenItIsUsedAgain) {
  const auto memory = memory_of(64);
  const auto first = allocate_ring_pair(*memory, 2 * kPageBytes, 2 * kPageBytes);
  ASSERT_TRUE(first.has_value());
  std::memset(memory->at(first->control), 0xFF, 2 * kPageBytes);
  free_ring_pair(*memory, *first);
  EXPECT_EQ(memory->bytes_in_use(), 0U);
  const auto second = allocate_ring_pair(*memory, 2 * kPageBytes, 2 * kPageBytes);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->control, first->control);
  const ChannelRings rings = second->addresses(*memory);
  EXPECT_TRUE(is_clear(rings.guest_to_host.control) && is_clear(rings.host_to_guest.control));
}

TEST(RingPair, TakesNothingFromAMemoryWithoutRoomForAll) {
  const auto memory = memory_of(8);
  const auto pair = allocate_ring_pair(*memory, 5 * kPageBytes, 5 * kPageBytes);
  ASSERT_FALSE(pair.has_value());
  EXPECT_EQ(pair.error(), BusError::kNoMemory);
  EXPECT_EQ(memory->bytes_in_use(), 0U);
  EXPECT_TRUE(memory->allocate(8).has_value());
}

TEST(RingPair, FitsIntoOneGpadl) {
  const auto memory = memory_of(64);
  const std::size_t most = proto::kMaxRangePages * kPageBytes;
  EXPECT_FALSE(allocate_ring_pair(*memory, most, 2 * kPageBytes).has_value());
  EXPECT_FALSE(allocate_ring_pair(*memory, SIZE_MAX, 2 * kPageBytes).has_value());
}

}  // namespace
}  // namespace vmbus::emu
