#include "tools/vmbus/arguments.h"

#include <gtest/gtest.h>

namespace vmbus::tools {
namespace {

using Words = std::vector<std::string>;

const std::set<std::string> kWithValue{"--as", "--vm"};

TEST(SplitArguments, OtherSubcommandsKeepAllTheirArguments) {
  const Words arguments{"vm", "add", "--", "x"};
  const SplitArguments split = split_arguments(arguments, kWithValue);
  EXPECT_EQ(split.own, arguments);
  EXPECT_EQ(split.command, Words{});
}

TEST(SplitArguments, CommandFollowsTheDashes) {
  const auto split = split_arguments({"run", "--as", "host", "--", "ls", "-l"}, kWithValue);
  EXPECT_EQ(split.own, (Words{"run", "--as", "host"}));
  EXPECT_EQ(split.command, (Words{"ls", "-l"}));
}

TEST(SplitArguments, CommandKeepsDashesOfItsOwn) {
  const auto split = split_arguments({"run", "--", "git", "log", "--", "file"}, kWithValue);
  EXPECT_EQ(split.command, (Words{"git", "log", "--", "file"}));
}

TEST(SplitArguments, DashesAreNotNeededBeforeAName) {
  const auto split =
      split_arguments({"run", "--private", "--vm", "b", "ls", "--as", "x"}, kWithValue);
  EXPECT_EQ(split.own, (Words{"run", "--private", "--vm", "b"}));
  EXPECT_EQ(split.command, (Words{"ls", "--as", "x"}));
}

TEST(SplitArguments, ACommandMayBeNamedLikeASubcommand) {
  const auto split = split_arguments({"run", "status"}, kWithValue);
  EXPECT_EQ(split.own, Words{"run"});
  EXPECT_EQ(split.command, Words{"status"});
}

TEST(SplitArguments, AValueWithEqualsTakesNoFurtherArgument) {
  const auto split = split_arguments({"run", "--as=host", "ls"}, kWithValue);
  EXPECT_EQ(split.command, Words{"ls"});
}

TEST(SplitArguments, AnOptionWithoutItsValueIsTheParsersProblem) {
  const auto split = split_arguments({"run", "--as"}, kWithValue);
  EXPECT_EQ(split.own, (Words{"run", "--as"}));
  EXPECT_EQ(split.command, Words{});
}

TEST(SplitArguments, NothingAtAll) { EXPECT_EQ(split_arguments({}, kWithValue).own, Words{}); }

}  // namespace
}  // namespace vmbus::tools
