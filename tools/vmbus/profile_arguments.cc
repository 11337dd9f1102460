#include "tools/vmbus/profile_arguments.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "emu/protocol/profile.h"

namespace vmbus::tools {
namespace {

using Kind = proto::SettingFault::Kind;

// Levenshtein's: letters put in, left out or exchanged.
std::size_t changes_between(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t exchanged = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({exchanged, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::vector<std::string_view> profile_names() {
  std::vector<std::string_view> names;
  for (const proto::ProfileRow& profile : proto::kProfileTable) names.push_back(profile.name);
  return names;
}

std::vector<std::string_view> quirk_names() {
  std::vector<std::string_view> names;
  for (const proto::QuirkRow& quirk : proto::kQuirkTable) names.push_back(quirk.name);
  return names;
}

std::vector<std::string_view> choices_of(const proto::QuirkRow& row) {
  std::vector<std::string_view> names;
  std::string_view choices = row.choices;
  while (!choices.empty()) names.push_back(proto::take_part(choices, '|'));
  return names;
}

// "a, b, c", or "least..most in steps of step".
std::string choices_text(const proto::QuirkRow& row) {
  std::string_view step = row.choices;
  const std::string_view values = proto::take_part(step, '/');
  if (!step.empty()) return fmt::format("{} in steps of {}", values, step);
  return fmt::format("{}", fmt::join(choices_of(row), ", "));
}

std::string did_you_mean(std::string_view wrong, const std::vector<std::string_view>& legal) {
  const std::string_view meant = nearest(wrong, legal);
  return meant.empty() ? "" : fmt::format(" (did you mean '{}'?)", meant);
}

std::string explain(const proto::SettingFault& fault) {
  switch (fault.kind) {
    case Kind::kNone:
      return "";
    case Kind::kNoSetting:
      return fmt::format("'{}' is no setting; want NAME=VALUE, as in peek=off", fault.name);
    case Kind::kUnknownQuirk:
      return fmt::format("'{}' is no quirk{}; see vmbus profiles", fault.name,
                         did_you_mean(fault.name, quirk_names()));
    case Kind::kBadValue:
      return fmt::format("{} cannot be '{}'{}; legal values: {}", fault.name, fault.value,
                         did_you_mean(fault.value, choices_of(*fault.row)),
                         choices_text(*fault.row));
    case Kind::kNotObeyed:
      return fmt::format("{} cannot be '{}': nothing obeys that yet; see vmbus profiles",
                         fault.name, fault.value);
  }
  return "";
}

}  // namespace

std::string_view nearest(std::string_view wrong, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t fewest = wrong.size() / 2 + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t changes = changes_between(wrong, candidate);
    if (changes >= fewest) continue;
    fewest = changes;
    best = candidate;
  }
  return best;
}

Outcome<void> check_profile(std::string_view where, std::string_view name) {
  if (name.empty() || proto::find_profile(name)) return {};
  const auto names = profile_names();
  return fail(kExitUsage, fmt::format("{}: '{}' is no profile{}; legal values: {}", where, name,
                                      did_you_mean(name, names), fmt::join(names, ", ")));
}

Outcome<void> check_settings(std::string_view where, std::string_view profile,
                             std::string_view settings) {
  constexpr std::size_t kMaxBytes = 511;  // what the shim has room for
  if (settings.size() > kMaxBytes) {
    return fail(kExitUsage, fmt::format("{}: more than {} characters", where, kMaxBytes));
  }
  const auto column = proto::find_profile(profile);
  proto::QuirkValues values = column ? proto::kProfileValues[*column] : proto::kDefaultQuirks;
  const proto::SettingFault fault = proto::apply_settings(settings, &values);
  if (fault.kind == Kind::kNone) return {};
  return fail(kExitUsage, fmt::format("{}: {}", where, explain(fault)));
}

}  // namespace vmbus::tools
