#include "tools/vmbus/profile_arguments.h"

#include <gtest/gtest.h>

namespace vmbus::tools {
namespace {

std::string complaint(const Outcome<void>& outcome) {
  if (outcome) return "";
  EXPECT_EQ(outcome.error().exit_status, kExitUsage);
  return outcome.error().message;
}

TEST(Nearest, IsWhatTakesTheFewestChanges) {
  const std::vector<std::string_view> names{"default", "strict", "virtio"};
  EXPECT_EQ(nearest("stict", names), "strict");
  EXPECT_EQ(nearest("virtoi", names), "virtio");
  EXPECT_EQ(nearest("defaults", names), "default");
}

TEST(Nearest, IsNothingWhenAllIsFar) {
  EXPECT_EQ(nearest("xyz", {"default", "strict"}), "");
  EXPECT_EQ(nearest("odd", {"on", "off"}), "");
  EXPECT_EQ(nearest("", {"on"}), "");
}

TEST(CheckProfile, SuggestsTheNearestAndListsAll) {
  EXPECT_EQ(complaint(check_profile("--profile", "strict")), "");
  EXPECT_EQ(complaint(check_profile("--profile", "")), "");
  EXPECT_EQ(complaint(check_profile("--profile", "strct")),
            "--profile: 'strct' is no profile (did you mean 'strict'?); legal values: default, "
            "strict, virtio, freebsd, windows");
}

TEST(CheckSettings, SaysWhatIsWrong) {
  const auto said = [](std::string_view settings) {
    return complaint(check_settings("--quirk", "", settings));
  };
  EXPECT_EQ(said("peek=off,vintage=6.6"), "");
  EXPECT_EQ(said("peek"), "--quirk: 'peek' is no setting; want NAME=VALUE, as in peek=off");
  EXPECT_EQ(said("peak=off"),
            "--quirk: 'peak' is no quirk (did you mean 'peek'?); see vmbus profiles");
  EXPECT_EQ(said("peek=of"),
            "--quirk: peek cannot be 'of' (did you mean 'off'?); legal values: off, on, refuse");
  EXPECT_EQ(said("client-ring=1"),
            "--quirk: client-ring cannot be '1'; legal values: 24576..1048576 in steps of 4096");
  EXPECT_EQ(said("client-ring=40960"), "");
  EXPECT_NE(said("client-ring=40000"), "");
  EXPECT_EQ(said("hup=on"),
            "--quirk: hup cannot be 'on': nothing obeys that yet; see vmbus profiles");
  EXPECT_EQ(said(std::string(600, 'x')), "--quirk: more than 511 characters");
}

TEST(CheckSettings, AValueThatTheProfileHasAnywayPasses) {
  EXPECT_NE(complaint(check_settings("--quirk", "strict", "hup=on")), "");
  EXPECT_EQ(complaint(check_settings("--quirk", "strict", "hup=off")), "");
}

}  // namespace
}  // namespace vmbus::tools
