#include "emu/log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <system_error>

namespace vmbus::emu {
namespace {

constexpr std::array<std::string_view, 5> kLevelNames = {"error", "warn", "info", "debug", "trace"};

std::string time_of_day() {
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::localtime_r(&now.tv_sec, &parts);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", parts.tm_hour, parts.tm_min, parts.tm_sec,
                     now.tv_nsec / 1'000'000);
}

// One write(2) a line, so that lines of several processes in one file stay whole. A log that cannot
// be written (a full disk, a closed terminal) must not stop the daemon.
void write_to_stderr(std::string_view line) {
  const std::string whole = fmt::format("{} vmbusd[{}] {}\n", time_of_day(), ::getpid(), line);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, whole.data(), whole.size());
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  const auto* const found = std::find(kLevelNames.begin(), kLevelNames.end(), text);
  if (found == kLevelNames.end()) return std::nullopt;
  return static_cast<LogLevel>(found - kLevelNames.begin());
}

std::string_view to_text(LogLevel level) { return kLevelNames[static_cast<std::size_t>(level)]; }

bool LogRate::allow(Time now) {
  if (now - interval_start_ >= kInterval) {
    interval_start_ = now;
    lines_ = 0;
  }
  if (lines_ < kLinesPerInterval) {
    ++lines_;
    return true;
  }
  ++left_out_;
  return false;
}

void Logger::write(LogLevel level, fmt::string_view format, fmt::format_args arguments) {
  LogRate& rate = rates_[std::string(format.data(), format.size())];
  if (!rate.allow(clock_())) return;
  std::string line = fmt::format("{}: {}", to_text(level), fmt::vformat(format, arguments));
  std::replace_if(line.begin(), line.end(), is_control, '?');
  if (const std::uint64_t left_out = rate.take_left_out())
    line += fmt::format(" ({} more like this were left out)", left_out);
  sink_(line);
}

Logger& logger() {
  static Logger instance(std::chrono::steady_clock::now, write_to_stderr);
  return instance;
}

void abort_with(std::string_view why) {
  write_to_stderr(fmt::format("fatal: {}", why));
  std::abort();
}

std::string errno_text(int error) { return std::generic_category().message(error); }

}  // namespace vmbus::emu
