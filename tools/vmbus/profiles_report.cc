#include "tools/vmbus/profiles_report.h"

#include <fmt/format.h>

#include <string_view>

#include "emu/protocol/profile.h"
#include "tools/vmbus/table.h"

namespace vmbus::tools {
namespace {

constexpr std::string_view kLegend = R"(
A row is set by name: vmbus run --profile strict --quirk peek=on -- COMMAND.
fixed: the same in every profile.  not yet: nothing obeys the row; `vmbus profiles NAME` says what happens.
)";

std::string_view standing_text(proto::QuirkStanding standing) {
  switch (standing) {
    case proto::QuirkStanding::kObeyed:
      return "obeyed";
    case proto::QuirkStanding::kFixed:
      return "fixed";
    case proto::QuirkStanding::kNotYet:
      return "not yet";
  }
  return "";
}

std::string_view scope_text(proto::QuirkScope scope) {
  switch (scope) {
    case proto::QuirkScope::kGuest:
      return "guest";
    case proto::QuirkScope::kHost:
      return "host";
    case proto::QuirkScope::kAny:
      return "both";
  }
  return "";
}

std::string all_text() {
  std::vector<Column> columns{{"QUIRK"}, {"NUMBER"}};
  for (const proto::ProfileRow& profile : proto::kProfileTable) {
    columns.push_back({std::string(profile.name)});
  }
  columns.push_back({"STANDING"});
  Table table(columns);
  for (const proto::QuirkRow& row : proto::kQuirkTable) {
    std::vector<std::string> cells{std::string(row.name), std::string(row.number)};
    for (const std::string_view value : row.columns) cells.emplace_back(value);
    cells.emplace_back(standing_text(row.standing));
    table.add(std::move(cells));
  }
  return table.text() + std::string(kLegend);
}

std::string one_text(std::size_t profile) {
  const proto::ProfileRow& shown = proto::kProfileTable[profile];
  Table table({{"SETTING"}, {"CHOICES"}, {"STANDING"}, {"MEANING"}});
  for (const proto::QuirkRow& row : proto::kQuirkTable) {
    const std::string note = row.today.empty() ? "" : fmt::format(" (today: {})", row.today);
    const bool long_list = row.choices.size() > 24;
    table.add({fmt::format("{}={}", row.name, row.columns[profile]),
               long_list ? std::string("as listed") : std::string(row.choices),
               std::string(standing_text(row.standing)), std::string(row.meaning) + note});
  }
  return fmt::format("{}: {}\n\n{}", shown.name, shown.meaning, table.text());
}

Json values_json(const proto::QuirkRow& row, std::optional<std::size_t> profile) {
  Json values;
  for (std::size_t i = 0; i < proto::kProfileCount; ++i) {
    if (!profile || *profile == i)
      values[std::string(proto::kProfileTable[i].name)] = row.columns[i];
  }
  return values;
}

}  // namespace

std::string profiles_text(std::optional<std::size_t> profile) {
  return profile ? one_text(*profile) : all_text();
}

Json profiles_json(std::optional<std::size_t> profile) {
  Json report;
  for (std::size_t i = 0; i < proto::kProfileCount; ++i) {
    const proto::ProfileRow& row = proto::kProfileTable[i];
    if (!profile || *profile == i)
      report["profiles"].push_back({{"name", row.name}, {"meaning", row.meaning}});
  }
  for (const proto::QuirkRow& row : proto::kQuirkTable) {
    report["quirks"].push_back({{"name", row.name},
                                {"number", row.number},
                                {"side", scope_text(row.scope)},
                                {"choices", row.choices},
                                {"values", values_json(row, profile)},
                                {"standing", standing_text(row.standing)},
                                {"meaning", row.meaning},
                                {"source", row.source},
                                {"today", row.today}});
  }
  for (const proto::VintageRow& row : proto::kVintageTable) {
    report["vintages"].push_back({{"name", row.name}, {"change", row.change}});
  }
  return report;
}

}  // namespace vmbus::tools
