#include "emu/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace vmbus::emu {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class OptionsTest : public testing::Test {
 protected:
  std::variant<DaemonOptions, EarlyExit> parse(const std::vector<std::string>& arguments) {
    return parse_options(arguments, [this](const char* name) {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    });
  }
  DaemonOptions good(const std::vector<std::string>& arguments) {
    auto parsed = parse(arguments);
    if (const auto* exit = std::get_if<EarlyExit>(&parsed)) {
      ADD_FAILURE() << exit->text;
      return {};
    }
    return std::get<DaemonOptions>(std::move(parsed));
  }
  EarlyExit early(const std::vector<std::string>& arguments) {
    auto parsed = parse(arguments);
    if (std::holds_alternative<DaemonOptions>(parsed)) {
      ADD_FAILURE() << "these arguments are fine";
      return {};
    }
    return std::get<EarlyExit>(std::move(parsed));
  }
  // The line for a bad value, which must be one line and status 2.
  std::string bad(const std::vector<std::string>& arguments) {
    const EarlyExit exit = early(arguments);
    EXPECT_EQ(exit.status, 2);
    EXPECT_EQ(exit.text.find('\n'), exit.text.size() - 1) << exit.text;
    EXPECT_THAT(exit.text, testing::StartsWith("vmbusd: "));
    return exit.text;
  }

  std::map<std::string, std::string> environment_{{"XDG_RUNTIME_DIR", "/run/user/7"}};
};

TEST_F(OptionsTest, NothingSaidMeansAQuietDaemonInTheBackgroundAtTheUsualPlace) {
  const DaemonOptions options = good({});
  EXPECT_EQ(options.bus.socket, "/run/user/7/vmbus/bus");
  EXPECT_FALSE(options.foreground);
  EXPECT_FALSE(options.leave_when_idle);
  EXPECT_EQ(options.loop, LoopChoice::kAuto);
  EXPECT_EQ(options.log, LogLevel::kWarn);
  EXPECT_EQ(options.ready_fd, -1);
  EXPECT_TRUE(options.guests.empty());
}

TEST_F(OptionsTest, EachOptionIsUnderstood) {
  const DaemonOptions options = good(
      {"--socket", "/a/b", "--foreground", "--loop", "epoll", "--log=trace", "--vm", "db,cid=5",
       "--vm", "bsd,flavour=freebsd", "--leave-when-idle", "--ready-fd", "0", "--ring-rest", "30"});
  EXPECT_EQ(options.bus.socket, "/a/b");
  EXPECT_TRUE(options.foreground);
  EXPECT_EQ(options.loop, LoopChoice::kEpoll);
  EXPECT_EQ(options.log, LogLevel::kTrace);
  ASSERT_EQ(options.guests.size(), 2U);
  EXPECT_EQ(options.guests[0].cid, 5U);
  EXPECT_EQ(options.guests[1].flavour, Flavour::kFreeBsd);
  EXPECT_TRUE(options.leave_when_idle);
  EXPECT_EQ(options.ready_fd, 0);
  EXPECT_EQ(options.ring_rest_ms, 30);
}

TEST_F(OptionsTest, VariablesSpeakWhereOptionsDoNot) {
  environment_ = {{"VMBUS_SOCKET", "/v/bus"}, {"VMBUS_LOOP", "epoll"}, {"VMBUS_LOG", "debug"}};
  DaemonOptions options = good({});
  EXPECT_EQ(options.bus.socket, "/v/bus");
  EXPECT_EQ(options.loop, LoopChoice::kEpoll);
  EXPECT_EQ(options.log, LogLevel::kDebug);
  options = good({"--socket", "/o/bus", "--loop", "auto", "--log", "error"});
  EXPECT_EQ(options.bus.socket, "/o/bus");
  EXPECT_EQ(options.loop, LoopChoice::kAuto);
  EXPECT_EQ(options.log, LogLevel::kError);
}

TEST_F(OptionsTest, TheShimsWordsForVmbusLogAreUnderstood) {
  for (const char* quiet : {"", "0", "off"}) {
    environment_["VMBUS_LOG"] = quiet;
    EXPECT_EQ(good({}).log, LogLevel::kWarn);
  }
  for (const char* talkative : {"1", "on"}) {
    environment_["VMBUS_LOG"] = talkative;
    EXPECT_EQ(good({}).log, LogLevel::kInfo);
  }
}

TEST_F(OptionsTest, ABadValueIsNamedWithTheLegalOnes) {
  EXPECT_THAT(bad({"--loop", "kqueue"}),
              AllOf(HasSubstr("--loop 'kqueue'"), HasSubstr("auto, io_uring, epoll")));
  EXPECT_THAT(bad({"--log", "loud"}), AllOf(HasSubstr("--log 'loud'"), HasSubstr("error, warn")));
  EXPECT_THAT(bad({"--vm", "host"}), AllOf(HasSubstr("--vm"), HasSubstr("'host'")));
  EXPECT_THAT(bad({"--ready-fd", "x"}), HasSubstr("--ready-fd"));
  EXPECT_THAT(bad({"--ready-fd", "-1"}), HasSubstr("--ready-fd"));
  EXPECT_THAT(bad({"--ready-fd", "99999"}), HasSubstr("99999"));
  EXPECT_THAT(bad({"--socket", "/tmp/"}), HasSubstr("/tmp/"));
  EXPECT_THAT(bad({"--sockets", "/a/b"}), AllOf(HasSubstr("--sockets"), HasSubstr("--help")));
  EXPECT_THAT(bad({"stray"}), HasSubstr("stray"));
}

TEST_F(OptionsTest, ABadVariableIsNamed) {
  environment_["VMBUS_LOOP"] = "kqueue";
  EXPECT_THAT(bad({}), HasSubstr("VMBUS_LOOP 'kqueue'"));
  environment_ = {{"VMBUS_LOG", "loud"}};
  EXPECT_THAT(bad({}), HasSubstr("VMBUS_LOG 'loud'"));
  environment_ = {{"VMBUS_SOCKET", "relative/bus"}};
  EXPECT_THAT(bad({}), HasSubstr("VMBUS_SOCKET 'relative/bus'"));
}

TEST_F(OptionsTest, AListOfServicesIsRead) {
  EXPECT_FALSE(good({}).services.has_value());
  const DaemonOptions empty = good({"--services", "/dev/null"});
  ASSERT_TRUE(empty.services.has_value());
  EXPECT_TRUE(empty.services->empty());
  environment_["VMBUS_SERVICES"] = "/nowhere";
  EXPECT_THAT(bad({}), AllOf(HasSubstr("VMBUS_SERVICES: "), HasSubstr("'/nowhere'")));
  EXPECT_TRUE(good({"--services", "/dev/null"}).services.has_value()) << "the option counts more";
}

TEST_F(OptionsTest, TwoGuestsMayNotShareNameCidOrId) {
  EXPECT_THAT(bad({"--vm", "db", "--vm", "db"}), HasSubstr("'db'"));
  EXPECT_THAT(bad({"--vm", "a,cid=5", "--vm", "b,cid=5"}), HasSubstr("'b,cid=5'"));
  const std::string id = ",id=12345678-9abc-def0-1122-334455667788";
  EXPECT_THAT(bad({"--vm", "a" + id, "--vm", "b" + id}), HasSubstr("'a'"));
}

TEST_F(OptionsTest, HelpTeachesWithExamples) {
  const EarlyExit exit = early({"--help"});
  EXPECT_EQ(exit.status, 0);
  EXPECT_THAT(exit.text, AllOf(HasSubstr("Examples:"), HasSubstr("--vm db --vm web,cid=7"),
                               HasSubstr("VMBUS_SOCKET")));
}

TEST_F(OptionsTest, VersionIsOneLine) {
  const EarlyExit exit = early({"--version"});
  EXPECT_EQ(exit.status, 0);
  EXPECT_THAT(exit.text, testing::MatchesRegex("vmbusd [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace vmbus::emu
