#include "tools/vmbus/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace vmbus::tools {
namespace {

using testing::HasSubstr;

VariableLookup lookup_in(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

std::map<std::string, std::string> environment_of(const Surroundings& surroundings,
                                                  std::map<std::string, std::string> before = {}) {
  const Variables variables = command_environment(surroundings, lookup_in(std::move(before)));
  return {variables.begin(), variables.end()};
}

Surroundings usual() {
  Surroundings surroundings;
  surroundings.bus_socket = "/tmp/bus";
  surroundings.vm_id = "id";
  surroundings.cid = "3";
  surroundings.shim = "/lib/shim.so";
  surroundings.python_site = "/lib/site";
  return surroundings;
}

TEST(CheckEnvironment, GoodOrMissingValuesPass) {
  EXPECT_TRUE(check_environment(lookup_in({})));
  EXPECT_TRUE(check_environment(lookup_in({{"VMBUS_MODE", ""}, {"VMBUS_PROFILE", "strict"}})));
  EXPECT_TRUE(check_environment(lookup_in({{"VMBUS_MODE", "pump"}, {"VMBUS_LOG", "debug"}})));
}

TEST(CheckEnvironment, ABadValueIsNamedWithTheLegalOnes) {
  const auto checked = check_environment(lookup_in({{"VMBUS_MODE", "odd"}}));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().exit_status, kExitUsage);
  EXPECT_EQ(checked.error().message, "VMBUS_MODE is 'odd'; legal values: auto, pump, ring");
}

TEST(CheckEnvironment, EachVariableIsLookedAt) {
  for (const char* name : {"VMBUS_MODE", "VMBUS_SPIN_US", "VMBUS_PROFILE", "VMBUS_QUIRKS",
                           "VMBUS_LOG", "VMBUS_LOOP", "VMBUS_DAEMON", "VMBUS_PYTHON"}) {
    const auto checked = check_environment(lookup_in({{name, "nonsense"}}));
    ASSERT_FALSE(checked) << name;
    EXPECT_EQ(checked.error().exit_status, kExitUsage) << name;
    EXPECT_THAT(checked.error().message, HasSubstr(name));
  }
}

TEST(JoinedQuirks, OptionsComeAfterTheVariableAndCountMore) {
  const auto lookup = lookup_in({{"VMBUS_QUIRKS", "peek=off"}});
  EXPECT_EQ(joined_quirks(lookup, {"peek=on", "vintage=6.6"}), "peek=off,peek=on,vintage=6.6");
  EXPECT_EQ(joined_quirks(lookup, {}), "") << "the variable stays as it is";
  EXPECT_EQ(joined_quirks(lookup_in({}), {"peek=on"}), "peek=on");
}

TEST(CommandEnvironment, TellsBusGuestAndLibraries) {
  const auto variables = environment_of(usual());
  const std::map<std::string, std::string> expected{{"VMBUS_SOCKET", "/tmp/bus"},
                                                    {"VMBUS_VM_ID", "id"},
                                                    {"VMBUS_CID", "3"},
                                                    {"LD_PRELOAD", "/lib/shim.so"},
                                                    {"PYTHONPATH", "/lib/site"}};
  EXPECT_EQ(variables, expected);
}

TEST(CommandEnvironment, OptionsBecomeVariables) {
  Surroundings surroundings = usual();
  surroundings.partition = "second";
  surroundings.profile = "strict";
  surroundings.quirks = "peek=on";
  surroundings.mode = "pump";
  auto variables = environment_of(surroundings);
  EXPECT_EQ(variables["VMBUS_PARTITION"], "second");
  EXPECT_EQ(variables["VMBUS_PROFILE"], "strict");
  EXPECT_EQ(variables["VMBUS_QUIRKS"], "peek=on");
  EXPECT_EQ(variables["VMBUS_MODE"], "pump");
}

TEST(CommandEnvironment, OursComeFirst) {
  auto variables = environment_of(usual(), {{"LD_PRELOAD", "a.so b.so"}, {"PYTHONPATH", "/x::/y"}});
  EXPECT_EQ(variables["LD_PRELOAD"], "/lib/shim.so:a.so b.so");
  EXPECT_EQ(variables["PYTHONPATH"], "/lib/site:/x::/y");
}

TEST(CommandEnvironment, AnEmptyVariableLeavesNoEmptyEntry) {
  auto variables = environment_of(usual(), {{"LD_PRELOAD", ""}, {"PYTHONPATH", ""}});
  EXPECT_EQ(variables["LD_PRELOAD"], "/lib/shim.so");
  EXPECT_EQ(variables["PYTHONPATH"], "/lib/site");
}

TEST(CommandEnvironment, RunInsideRunAddsNothing) {
  const std::map<std::string, std::string> before{{"LD_PRELOAD", "/lib/shim.so:a.so"},
                                                  {"PYTHONPATH", "/lib/site"}};
  auto variables = environment_of(usual(), before);
  EXPECT_EQ(variables["LD_PRELOAD"], "/lib/shim.so:a.so");
  EXPECT_EQ(variables["PYTHONPATH"], "/lib/site");
}

TEST(CommandEnvironment, ASanitizerRuntimeIsLoadedBeforeTheShim) {
  Surroundings surroundings = usual();
  surroundings.sanitizer = "libasan.so.8";
  EXPECT_EQ(environment_of(surroundings)["LD_PRELOAD"], "libasan.so.8:/lib/shim.so");
}

TEST(CommandEnvironment, WithoutPythonSupportPythonIsToldSo) {
  Surroundings surroundings = usual();
  surroundings.python_site.clear();
  auto variables = environment_of(surroundings, {{"PYTHONPATH", "/x"}});
  EXPECT_FALSE(variables.contains("PYTHONPATH"));
  EXPECT_EQ(variables["VMBUS_PYTHON"], "0");
}

}  // namespace
}  // namespace vmbus::tools
