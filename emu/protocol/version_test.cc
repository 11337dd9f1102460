#include "emu/protocol/version.h"

#include <gtest/gtest.h>

#include <vector>

#include "emu/protocol/ids.h"

namespace vmbus::proto {
namespace {

struct VersionRow {
  std::uint32_t value;
  const char* name;
  bool dedicated_events;
  bool interrupt_page;
  bool connection_state;
  bool target_vp;
  bool message_connection;
  bool target_vtl;
  bool silos;
  bool features;
};

// Oldest first, as in the version table of docs/protocol.md.
const std::vector<VersionRow> kRows = {
    {0x0000'000D, "0.13", false, true, false, false, false, false, false, false},
    {0x0001'0001, "1.1", true, true, false, false, false, false, false, false},
    {0x0002'0004, "2.4", true, false, true, false, false, false, false, false},
    {0x0003'0000, "3.0", true, false, true, true, false, false, false, false},
    {0x0004'0000, "4.0", true, false, true, true, false, false, false, false},
    {0x0004'0001, "4.1", true, false, true, true, false, false, false, false},
    {0x0005'0000, "5.0", true, false, true, true, true, false, false, false},
    {0x0005'0001, "5.1", true, false, true, true, true, true, false, false},
    {0x0005'0002, "5.2", true, false, true, true, true, true, true, false},
    {0x0005'0003, "5.3", true, false, true, true, true, true, true, false},
    {0x0006'0000, "6.0", true, false, true, true, true, true, true, true},
};

TEST(Version, EachHasItsNameAndCapabilities) {
  for (const VersionRow& row : kRows) {
    const std::optional<ProtocolVersion> version = parse_version(row.value);
    ASSERT_TRUE(version.has_value()) << row.name;
    EXPECT_EQ(version_name(*version), row.name);
    EXPECT_EQ(has_dedicated_guest_to_host_events(*version), row.dedicated_events) << row.name;
    EXPECT_EQ(has_interrupt_page(*version), row.interrupt_page) << row.name;
    EXPECT_EQ(reports_connection_state(*version), row.connection_state) << row.name;
    EXPECT_EQ(honours_target_vp(*version), row.target_vp) << row.name;
    EXPECT_EQ(has_message_connection_id(*version), row.message_connection) << row.name;
    EXPECT_EQ(has_target_vtl(*version), row.target_vtl) << row.name;
    EXPECT_EQ(has_silos(*version), row.silos) << row.name;
    EXPECT_EQ(has_features(*version), row.features) << row.name;
  }
}

TEST(Version, NewestFirstIsTheWholeListReversed) {
  ASSERT_EQ(kVersionsNewestFirst.size(), kRows.size());
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    EXPECT_EQ(static_cast<std::uint32_t>(kVersionsNewestFirst[kRows.size() - 1 - i]),
              kRows[i].value);
  }
}

TEST(Version, UnknownNumbersAreNoVersions) {
  for (const std::uint32_t value : {0u, 0xCu, 0x0005'0004u, 0x0006'0001u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(parse_version(value), std::nullopt) << value;
  }
}

TEST(FeatureFlags, AreTheEightBits) {
  const auto all = FeatureFlags{Feature::kGuestSpecifiedSignalParameters} |
                   Feature::kChannelInterruptRedirection | Feature::kModifyConnection |
                   Feature::kClientId | Feature::kConfidentialChannels | Feature::kPauseResume |
                   Feature::kServerSpecifiedMonitorPages | Feature::kGpaPinning;
  EXPECT_EQ(all, kAllFeatures);
  EXPECT_EQ(all.bits, 0xFFu);
}

TEST(FeatureFlags, WorkAsSets) {
  const auto asked = FeatureFlags::from_bits(0xF000'0001);
  EXPECT_EQ((asked & kAllFeatures), FeatureFlags{Feature::kGuestSpecifiedSignalParameters});
  EXPECT_TRUE(asked.contains(Feature::kGuestSpecifiedSignalParameters));
  EXPECT_FALSE(asked.contains(Feature::kPauseResume));
  EXPECT_FALSE(asked.intersects(Feature::kPauseResume));
  EXPECT_EQ(asked.without(Feature::kGuestSpecifiedSignalParameters).bits, 0xF000'0000u);
  EXPECT_TRUE(kNoFeature.empty());
}

TEST(Ids, EventConnectionFollowsChannelSintAndVtl) {
  EXPECT_EQ(event_connection(Relid{1}), ConnectionId{0x2001});
  EXPECT_EQ(event_connection(Relid{2047}, 7, 2), ConnectionId{0x2'77FF});
}

TEST(Ids, CompareAndHashByValue) {
  EXPECT_LT(Relid{1}, Relid{2});
  EXPECT_EQ(std::hash<Relid>{}(Relid{5}), std::hash<Relid>{}(Relid{5}));
  EXPECT_NE(std::hash<Relid>{}(Relid{5}), std::hash<Relid>{}(Relid{6}));
}

}  // namespace
}  // namespace vmbus::proto
