// The daemon's log: one line a message, to standard error (a file, once vmbusd is in the
// background).
//
// Levels      error: the process will exit with a failure. warn: check this before trusting
//             results. info: life cycle. debug, trace: for us.
// Limits      One kind of message (one format string) writes at most kLinesPerInterval lines per
//             kInterval; the next line that passes says how many were left out. What a peer can
//             trigger is also counted (counters.h).
// Trust       Text that comes from programs is printed with control characters replaced.
// Threads     The loop thread.
#ifndef VMBUS_EMU_LOG_H_
#define VMBUS_EMU_LOG_H_

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace vmbus::emu {

enum class LogLevel { kError, kWarn, kInfo, kDebug, kTrace };

inline constexpr std::string_view kLogLevels = "error, warn, info, debug, trace";
std::optional<LogLevel> parse_log_level(std::string_view text);
std::string_view to_text(LogLevel level);

// How often one kind of message may be written.
class LogRate {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::uint32_t kLinesPerInterval = 10;
  static constexpr std::chrono::seconds kInterval{10};

  // Whether the line may be written; if not, it counts as left out.
  bool allow(Time now);
  // Lines left out since the last call.
  std::uint64_t take_left_out() { return std::exchange(left_out_, 0); }

 private:
  Time interval_start_{};
  std::uint32_t lines_ = 0;
  std::uint64_t left_out_ = 0;
};

class Logger {
 public:
  using Clock = std::function<LogRate::Time()>;
  using Sink = std::function<void(std::string_view line)>;

  Logger(Clock clock, Sink sink) : clock_(std::move(clock)), sink_(std::move(sink)) {}

  void set_level(LogLevel level) { level_ = level; }
  bool enabled(LogLevel level) const { return level <= level_; }
  void write(LogLevel level, fmt::string_view format, fmt::format_args arguments);

 private:
  Clock clock_;
  Sink sink_;
  LogLevel level_ = LogLevel::kWarn;
  std::unordered_map<std::string, LogRate> rates_;  // by format string
};

// The process's own, on descriptor 2.
Logger& logger();

template <typename... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (logger().enabled(level)) logger().write(level, format, fmt::make_format_args(args...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kError, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warn(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kWarn, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kDebug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_trace(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::kTrace, format, std::forward<Args>(args)...);
}

// Says why, then aborts: for what only a bug of ours, or a broken kernel, can cause.
[[noreturn]] void abort_with(std::string_view why);
template <typename... Args>
[[noreturn]] void log_fatal(fmt::format_string<Args...> format, Args&&... args) {
  abort_with(fmt::format(format, std::forward<Args>(args)...));
}

// "Permission denied", from the errno value. Safe to call where errno must survive.
std::string errno_text(int error);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_LOG_H_
