#include "tests/stress/plan.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace vmbus::stress {
namespace {

constexpr std::array<std::string_view, 6> kWays{"blocking", "poll", "select",
                                                "level",    "edge", "uring"};

[[noreturn]] void refuse(std::string_view word) {
  std::fprintf(stderr, "stress_peer: what is '%.*s'?\n", static_cast<int>(word.size()),
               word.data());
  std::exit(1);
}

template <typename Number>
Number number(std::string_view word, std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) refuse(word);
  return value;
}

Way way(std::string_view word, std::string_view text) {
  const auto found = std::ranges::find(kWays, text);
  if (found == kWays.end()) refuse(word);
  return static_cast<Way>(found - kWays.begin());
}

std::vector<int> numbers(std::string_view word, std::string_view text) {
  std::vector<int> found;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    found.push_back(number<int>(word, text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return found;
}

bool take_number(Plan& plan, std::string_view word, std::string_view name, std::string_view text) {
  const std::array<std::pair<std::string_view, std::uint32_t*>, 8> places{
      {{"cid", &plan.cid},
       {"port", &plan.port},
       {"connections", &plan.connections},
       {"transfers", &plan.transfers},
       {"longest", &plan.longest},
       {"ahead", &plan.ahead},
       {"pauses", &plan.pauses},
       {"signal-ms", &plan.signal_ms}}};
  for (const auto& [wanted, place] : places) {
    if (name == wanted) *place = number<std::uint32_t>(word, text);
    if (name == wanted) return true;
  }
  return false;
}

bool take_flag(Plan& plan, std::string_view word) {
  const std::array<std::pair<std::string_view, bool*>, 7> places{
      {{"dials", &plan.dials},
       {"loops", &plan.loops},
       {"nonblocking", &plan.nonblocking},
       {"mixes", &plan.mixes},
       {"odd", &plan.odd},
       {"restarts", &plan.restarts},
       {"may-break", &plan.may_break}}};
  for (const auto& [wanted, place] : places) {
    if (word == wanted) return *place = true;
  }
  return false;
}

}  // namespace

Plan Plan::of(std::span<const std::string_view> words) {
  Plan plan;
  for (const std::string_view word : words) {
    if (take_flag(plan, word)) continue;
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) refuse(word);
    const std::string_view name = word.substr(0, equals);
    const std::string_view text = word.substr(equals + 1);
    if (take_number(plan, word, name, text)) continue;
    if (name == "seed") {
      plan.seed = number<std::uint64_t>(word, text);
    } else if (name == "in") {
      plan.in = way(word, text);
    } else if (name == "out") {
      plan.out = way(word, text);
    } else if (name == "cpus") {
      plan.cpus = numbers(word, text);
    } else if (name == "progress") {
      plan.progress = text;
    } else {
      refuse(word);
    }
  }
  return plan;
}

}  // namespace vmbus::stress
