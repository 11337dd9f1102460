#include "shim/environment.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace vmbus::shim {
namespace {

std::map<std::string, std::string> g_variables;

const char* get_variable(const char* name) {
  const auto found = g_variables.find(name);
  return found == g_variables.end() ? nullptr : found->second.c_str();
}

std::unique_ptr<Environment> parse(std::map<std::string, std::string> variables) {
  g_variables = std::move(variables);
  auto environment = std::make_unique<Environment>();
  parse_environment(get_variable, 1000, environment.get());
  return environment;
}

TEST(Environment, DefaultsWhenNothingIsSet) {
  const auto environment = parse({});
  EXPECT_STREQ(environment->socket_path.data(), "/tmp/vmbus-1000/bus");
  EXPECT_STREQ(environment->partition.data(), "auto");
  EXPECT_STREQ(environment->profile.data(), "default");
  EXPECT_FALSE(environment->log);
  EXPECT_EQ(environment->bad_variable, nullptr);
}

TEST(Environment, AnEmptyValueIsAnUnsetOne) {
  const auto environment = parse({{"VMBUS_SOCKET", ""},
                                  {"VMBUS_PARTITION", ""},
                                  {"VMBUS_PROFILE", ""},
                                  {"VMBUS_QUIRKS", ""},
                                  {"VMBUS_MODE", ""},
                                  {"VMBUS_LOG", ""},
                                  {"XDG_RUNTIME_DIR", ""}});
  EXPECT_EQ(environment->bad_variable, nullptr);
  EXPECT_STREQ(environment->socket_path.data(), "/tmp/vmbus-1000/bus");
}

TEST(Environment, TheSocketVariableWinsOverTheRuntimeDirectory) {
  EXPECT_STREQ(parse({{"XDG_RUNTIME_DIR", "/run/user/1000"}})->socket_path.data(),
               "/run/user/1000/vmbus/bus");
  EXPECT_STREQ(parse({{"XDG_RUNTIME_DIR", "/run/user/1000"}, {"VMBUS_SOCKET", "/x/bus"}})
                   ->socket_path.data(),
               "/x/bus");
}

TEST(Environment, ARelativeRuntimeDirectoryIsIgnored) {
  EXPECT_STREQ(parse({{"XDG_RUNTIME_DIR", "run"}})->socket_path.data(), "/tmp/vmbus-1000/bus");
}

TEST(Environment, ARelativeOrTooLongSocketPathIsBad) {
  EXPECT_STREQ(parse({{"VMBUS_SOCKET", "bus"}})->bad_variable, "VMBUS_SOCKET");
  EXPECT_STREQ(parse({{"VMBUS_SOCKET", "/" + std::string(kMaxPathBytes, 'x')}})->bad_variable,
               "VMBUS_SOCKET");
}

TEST(Environment, PartitionAndProfileAreTaken) {
  const auto environment = parse({{"VMBUS_PARTITION", "db"}, {"VMBUS_PROFILE", "strict"}});
  EXPECT_STREQ(environment->partition.data(), "db");
  EXPECT_STREQ(environment->profile.data(), "strict");
  EXPECT_EQ(environment->bad_variable, nullptr);
}

TEST(Environment, EveryProfileAndItsSettingsAreTaken) {
  for (const char* profile : {"default", "strict", "virtio", "freebsd", "windows"}) {
    const auto environment =
        parse({{"VMBUS_PROFILE", profile}, {"VMBUS_QUIRKS", "peek=off,vintage=6.6"}});
    EXPECT_EQ(environment->bad_variable, nullptr) << profile;
    EXPECT_STREQ(environment->profile.data(), profile);
    EXPECT_STREQ(environment->quirks.data(), "peek=off,vintage=6.6");
  }
}

TEST(Environment, ABadSettingIsABadValue) {
  for (const char* quirks : {"peek", "peek=maybe", "peak=off", "peek=off,vintage=7"}) {
    const auto environment = parse({{"VMBUS_QUIRKS", quirks}});
    EXPECT_STREQ(environment->bad_variable, "VMBUS_QUIRKS") << quirks;
    EXPECT_STREQ(environment->bad_value, quirks);
  }
  std::string too_long = "peek=off";
  while (too_long.size() < 512) too_long += ",peek=off";
  EXPECT_STREQ(parse({{"VMBUS_QUIRKS", too_long}})->bad_variable, "VMBUS_QUIRKS");
}

TEST(Environment, BadValuesNameTheVariable) {
  EXPECT_STREQ(parse({{"VMBUS_PROFILE", "loose"}})->bad_variable, "VMBUS_PROFILE");
  EXPECT_STREQ(parse({{"VMBUS_PROFILE", "loose"}})->bad_value, "loose");
  EXPECT_STREQ(parse({{"VMBUS_MODE", "odd"}})->bad_variable, "VMBUS_MODE");
  EXPECT_STREQ(parse({{"VMBUS_LOG", "loud"}})->bad_variable, "VMBUS_LOG");
  EXPECT_STREQ(parse({{"VMBUS_PARTITION", std::string(64, 'x')}})->bad_variable, "VMBUS_PARTITION");
}

TEST(Environment, TheSpinIsANumberOfMicroseconds) {
  EXPECT_EQ(parse({})->spin_us, kDefaultSpinUs);
  EXPECT_EQ(parse({{"VMBUS_SPIN_US", "0"}})->spin_us, 0);
  EXPECT_EQ(parse({{"VMBUS_SPIN_US", "1000"}})->spin_us, 1000);
  for (const char* wrong : {"1001", "-1", "20us", "99999999999999999999"}) {
    EXPECT_STREQ(parse({{"VMBUS_SPIN_US", wrong}})->bad_variable, "VMBUS_SPIN_US") << wrong;
  }
}

TEST(Environment, LegalModesAndLogLevels) {
  for (const char* mode : {"auto", "pump", "ring"}) {
    EXPECT_EQ(parse({{"VMBUS_MODE", mode}})->bad_variable, nullptr) << mode;
  }
  EXPECT_TRUE(parse({})->works_rings);
  EXPECT_TRUE(parse({{"VMBUS_MODE", "auto"}})->works_rings);
  EXPECT_TRUE(parse({{"VMBUS_MODE", "ring"}})->works_rings);
  EXPECT_FALSE(parse({{"VMBUS_MODE", "pump"}})->works_rings);
  for (const char* level : {"1", "on", "error", "warn", "info", "debug", "trace"}) {
    EXPECT_TRUE(parse({{"VMBUS_LOG", level}})->log) << level;
  }
  for (const char* level : {"0", "off"}) {
    const auto environment = parse({{"VMBUS_LOG", level}});
    EXPECT_FALSE(environment->log) << level;
    EXPECT_EQ(environment->bad_variable, nullptr) << level;
  }
}

}  // namespace
}  // namespace vmbus::shim
