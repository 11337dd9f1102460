#include "emu/protocol/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace vmbus::proto {
namespace {

using Kind = SettingFault::Kind;

QuirkValues values_of(std::string_view profile) { return kProfileValues[*find_profile(profile)]; }

bool has_switch(const QuirkValues& values, std::string_view name, std::string_view value) {
  return values[*find_quirk(name)] == parse_quirk_value(row_of(*find_quirk(name)), value);
}

TEST(QuirkTable, EveryNumberFromOneToThirtyFiveHasARow) {
  std::set<std::string_view> numbers;
  for (const QuirkRow& row : kQuirkTable) numbers.insert(row.number);
  for (int i = 1; i <= 35; ++i) EXPECT_TRUE(numbers.contains("Q" + std::to_string(i))) << i;
}

TEST(QuirkTable, NamesAreUniqueAndFitForACommandLine) {
  std::set<std::string_view> names;
  for (const QuirkRow& row : kQuirkTable) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos)
        << row.name;
  }
}

TEST(QuirkTable, SaysWhatHappensTodayExactlyWhereARowIsNotObeyed) {
  for (const QuirkRow& row : kQuirkTable) {
    EXPECT_EQ(row.today.empty(), row.standing != QuirkStanding::kNotYet) << row.name;
    EXPECT_FALSE(row.meaning.empty()) << row.name;
    EXPECT_FALSE(row.source.empty()) << row.name;
  }
}

TEST(QuirkTable, AFixedRowHasOneValueInEveryProfile) {
  for (const QuirkRow& row : kQuirkTable) {
    if (row.standing != QuirkStanding::kFixed) continue;
    EXPECT_TRUE(std::ranges::all_of(row.columns, [&](auto v) { return v == row.columns[0]; }))
        << row.name;
  }
}

TEST(QuirkTable, VintagesAreTheChoicesOfTheirRow) {
  std::string choices;
  for (const VintageRow& vintage : kVintageTable) {
    choices.append(choices.empty() ? "" : "|").append(vintage.name);
  }
  EXPECT_EQ(row_of(Quirk::kVintage).choices, choices);
}

TEST(Profile, StrictIsALinuxGuestOfHyperV) {
  const QuirkValues strict = values_of("strict");
  EXPECT_TRUE(strict.is("peek=off"));
  EXPECT_TRUE(strict.is("own-cid=off"));
  EXPECT_TRUE(strict.is("fast-fail=off"));
  EXPECT_TRUE(strict.is("loopback=off"));
  EXPECT_EQ(strict[Quirk::kClientRing], 24576U);
  EXPECT_EQ(strict[Quirk::kPacket], 4088U);
}

TEST(Profile, EachNameHasItsOwnColumn) {
  EXPECT_EQ(values_of("default"), kDefaultQuirks);
  for (std::size_t i = 1; i < kProfileCount; ++i) {
    EXPECT_NE(kProfileValues[i], kProfileValues[i - 1]) << kProfileTable[i].name;
  }
  EXPECT_FALSE(find_profile("stric"));
  EXPECT_FALSE(find_profile(""));
}

TEST(QuirkValue, IsAChoiceOrANumberInRange) {
  const QuirkRow& ring = row_of(Quirk::kClientRing);
  EXPECT_EQ(parse_quirk_value(ring, "24576"), 24576U);
  for (const char* bad : {"24575", "1048577", "", "0x6000", "-1", "99999999999", "on"}) {
    EXPECT_FALSE(parse_quirk_value(ring, bad)) << bad;
  }
  const QuirkRow& peek = row_of(Quirk::kPeek);
  EXPECT_EQ(parse_quirk_value(peek, "refuse"), 2U);
  for (const char* bad : {"ON", "", "off|on", "1", "of"}) {
    EXPECT_FALSE(parse_quirk_value(peek, bad)) << bad;
  }
  EXPECT_TRUE(parse_quirk_value(row_of(Quirk::kVintage), "4.14"));
  EXPECT_FALSE(parse_quirk_value(row_of(Quirk::kVintage), "6.13"));
}

TEST(Settings, ChangeTheirRowsAlone) {
  QuirkValues values = values_of("strict");
  EXPECT_EQ(apply_settings("peek=on,client-ring=40960", &values).kind, Kind::kNone);
  EXPECT_TRUE(has_switch(values, "peek", "on"));
  EXPECT_EQ(values[Quirk::kClientRing], 40960U);
  values.set(Quirk::kPeek, values_of("strict")[Quirk::kPeek]);
  values.set(Quirk::kClientRing, 24576);
  EXPECT_EQ(values, values_of("strict"));
}

TEST(Settings, TheLastOfARowCountsAndNoneIsNone) {
  QuirkValues values = kDefaultQuirks;
  EXPECT_EQ(apply_settings("", &values).kind, Kind::kNone);
  EXPECT_EQ(values, kDefaultQuirks);
  EXPECT_EQ(apply_settings("vintage=5.4,vintage=6.6", &values).kind, Kind::kNone);
  EXPECT_TRUE(values.is("vintage=6.6"));
  EXPECT_TRUE(values.before("vintage=6.7"));
  EXPECT_FALSE(values.before("vintage=6.6"));
}

TEST(Settings, AFaultNamesWhatIsWrong) {
  QuirkValues values = kDefaultQuirks;
  const SettingFault no_setting = apply_settings("peek=off,peek", &values);
  EXPECT_EQ(no_setting.kind, Kind::kNoSetting);
  EXPECT_EQ(no_setting.name, "peek");
  const SettingFault unknown = apply_settings("peak=off", &values);
  EXPECT_EQ(unknown.kind, Kind::kUnknownQuirk);
  EXPECT_EQ(unknown.name, "peak");
  const SettingFault bad_value = apply_settings("peek=maybe", &values);
  EXPECT_EQ(bad_value.kind, Kind::kBadValue);
  EXPECT_EQ(bad_value.value, "maybe");
  EXPECT_EQ(bad_value.row, &row_of(Quirk::kPeek));
  EXPECT_EQ(apply_settings(",", &values).kind, Kind::kNoSetting);
}

TEST(Settings, WhatNothingObeysCannotBeChosen) {
  for (std::size_t i = 0; i < kQuirkCount; ++i) {
    const QuirkRow& row = kQuirkTable[i];
    if (row.standing == QuirkStanding::kObeyed) continue;
    QuirkValues values = kDefaultQuirks;
    const std::string name(row.name);
    EXPECT_EQ(apply_settings(name + "=" + std::string(row.columns[0]), &values).kind, Kind::kNone);
    std::string_view choices = row.choices;
    const std::string_view first = take_part(choices, '|');
    const std::string_view other = first == row.columns[0] ? take_part(choices, '|') : first;
    EXPECT_EQ(apply_settings(name + "=" + std::string(other), &values).kind, Kind::kNotObeyed)
        << name;
  }
}

}  // namespace
}  // namespace vmbus::proto
