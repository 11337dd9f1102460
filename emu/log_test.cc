#include "emu/log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vmbus::emu {
namespace {

using namespace std::chrono_literals;

class LoggerTest : public testing::Test {
 protected:
  template <typename... Args>
  void write(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    if (logger_.enabled(level)) logger_.write(level, format, fmt::make_format_args(args...));
  }

  LogRate::Time now_{};  // also a machine that has just booted can log
  std::vector<std::string> lines_;
  Logger logger_{[this] { return now_; },
                 [this](std::string_view line) { lines_.emplace_back(line); }};
};

TEST_F(LoggerTest, WritesLevelAndText) {
  write(LogLevel::kWarn, "relid {}: {}", 7, "rejected");
  EXPECT_EQ(lines_, std::vector<std::string>{"warn: relid 7: rejected"});
}

TEST_F(LoggerTest, LeavesOutWhatIsBelowTheLevel) {
  write(LogLevel::kInfo, "not shown");
  logger_.set_level(LogLevel::kInfo);
  write(LogLevel::kInfo, "shown");
  write(LogLevel::kDebug, "not shown either");
  EXPECT_EQ(lines_, std::vector<std::string>{"info: shown"});
}

TEST_F(LoggerTest, LimitsEachKindOfMessageAlone) {
  for (int i = 0; i < 50; ++i) write(LogLevel::kWarn, "flood {}", i);
  write(LogLevel::kWarn, "something else");
  ASSERT_EQ(lines_.size(), LogRate::kLinesPerInterval + 1);
  EXPECT_EQ(lines_.back(), "warn: something else");
}

TEST_F(LoggerTest, SaysHowManyLinesWereLeftOut) {
  for (std::uint32_t i = 0; i < LogRate::kLinesPerInterval + 3; ++i)
    write(LogLevel::kWarn, "flood {}", i);
  now_ += LogRate::kInterval;
  lines_.clear();
  write(LogLevel::kWarn, "flood {}", 99);
  write(LogLevel::kWarn, "flood {}", 100);
  EXPECT_EQ(lines_, (std::vector<std::string>{"warn: flood 99 (3 more like this were left out)",
                                              "warn: flood 100"}));
}

TEST_F(LoggerTest, TextOfProgramsCannotForgeLines) {
  write(LogLevel::kWarn, "client {}", "evil\nerror: \x1b[31mfake");
  EXPECT_EQ(lines_, std::vector<std::string>{"warn: client evil?error: ?[31mfake"});
}

TEST(LogLevels, EveryNameParsesToItsLevel) {
  for (const auto level :
       {LogLevel::kError, LogLevel::kWarn, LogLevel::kInfo, LogLevel::kDebug, LogLevel::kTrace}) {
    EXPECT_EQ(parse_log_level(to_text(level)), level);
    EXPECT_NE(kLogLevels.find(to_text(level)), std::string_view::npos);
  }
  EXPECT_EQ(parse_log_level("verbose"), std::nullopt);
  EXPECT_EQ(parse_log_level(""), std::nullopt);
}

}  // namespace
}  // namespace vmbus::emu
