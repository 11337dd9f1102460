#include "emu/protocol/profile.h"

namespace vmbus::proto {
namespace {

using Kind = SettingFault::Kind;

SettingFault apply_setting(std::string_view setting, QuirkValues* values) {
  std::string_view value = setting;
  const std::string_view name = take_part(value, '=');
  if (name.size() == setting.size()) return {.kind = Kind::kNoSetting, .name = name};
  const auto quirk = find_quirk(name);
  if (!quirk) return {.kind = Kind::kUnknownQuirk, .name = name, .value = value};
  const QuirkRow& row = row_of(*quirk);
  const auto parsed = parse_quirk_value(row, value);
  if (!parsed) return {.kind = Kind::kBadValue, .name = name, .value = value, .row = &row};
  if (row.standing != QuirkStanding::kObeyed && (*values)[*quirk] != *parsed) {
    return {.kind = Kind::kNotObeyed, .name = name, .value = value, .row = &row};
  }
  values->set(*quirk, *parsed);
  return {};
}

}  // namespace

SettingFault apply_settings(std::string_view list, QuirkValues* values) {
  while (!list.empty()) {
    const SettingFault fault = apply_setting(take_part(list, ','), values);
    if (fault.kind != Kind::kNone) return fault;
  }
  return {};
}

}  // namespace vmbus::proto
