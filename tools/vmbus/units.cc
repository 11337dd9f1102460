#include "tools/vmbus/units.h"

#include <fmt/format.h>

#include <string_view>

namespace vmbus::tools {

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits = "KMGTPE";
  if (bytes < 1024) return std::to_string(bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {  // 1023.95 would be shown as 1024.0
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f}{}", value, kUnits[unit]);
}

std::string duration_text(std::uint64_t milliseconds) {
  const std::uint64_t seconds = milliseconds / 1000;
  if (seconds < 10) return fmt::format("{}.{} s", seconds, milliseconds % 1000 / 100);
  if (seconds < 60) return fmt::format("{} s", seconds);
  const std::uint64_t minutes = seconds / 60;
  if (minutes < 60) return fmt::format("{} min {} s", minutes, seconds % 60);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

std::string percent_text(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "";
  const std::uint64_t percent = part * 100 / whole;
  return percent == 0 && part > 0 ? "<1%" : fmt::format("{}%", percent);
}

std::string milliseconds_text(std::uint64_t nanoseconds) {
  return fmt::format("{}.{:03}", nanoseconds / 1'000'000, nanoseconds / 1000 % 1000);
}

}  // namespace vmbus::tools
