// Profiles: which system's sockets these are. A profile is a column of quirk_table.inc; single rows
// can be set otherwise ("peek=off,vintage=6.6").
//
// The daemon keeps the values of each socket and decides by them; what the shim decides reaches it
// as bits of the endpoint table (EndpointQuirks). Tools and shim judge what a user wrote with the
// same functions.
//
// Code names a value as users do: `quirks.is("peek=off")`, checked by the compiler.
#ifndef VMBUS_EMU_PROTOCOL_PROFILE_H_
#define VMBUS_EMU_PROTOCOL_PROFILE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vmbus::proto {

struct ProfileRow {
  std::string_view name;
  std::string_view meaning;
};

inline constexpr auto kProfileTable = std::to_array<ProfileRow>({
#define VMBUS_PROFILE(name, meaning) {name, meaning},
#include "emu/protocol/quirk_table.inc"
});
inline constexpr std::size_t kProfileCount = kProfileTable.size();

enum class Quirk : std::uint8_t {
#define VMBUS_QUIRK(id, ...) id,
#include "emu/protocol/quirk_table.inc"
};

enum class QuirkScope : std::uint8_t { kGuest, kHost, kAny };
enum class QuirkStanding : std::uint8_t { kObeyed, kFixed, kNotYet };

struct QuirkRow {
  std::string_view name;
  std::string_view number;
  QuirkScope scope;
  std::string_view choices;
  std::array<std::string_view, kProfileCount> columns;
  QuirkStanding standing;
  std::string_view meaning;
  std::string_view source;
  std::string_view today;
};

inline constexpr auto kQuirkTable = std::to_array<QuirkRow>({
#define VMBUS_QUIRK(id, name, number, scope, choices, convenience, strict, virtio, freebsd, \
                    windows, standing, meaning, source, today)                              \
  {name,                                                                                    \
   number,                                                                                  \
   QuirkScope::scope,                                                                       \
   choices,                                                                                 \
   {convenience, strict, virtio, freebsd, windows},                                         \
   QuirkStanding::standing,                                                                 \
   meaning,                                                                                 \
   source,                                                                                  \
   today},
#include "emu/protocol/quirk_table.inc"
});
inline constexpr std::size_t kQuirkCount = kQuirkTable.size();

struct VintageRow {
  std::string_view name;
  std::string_view change;  // empty: none that shows here
};

inline constexpr auto kVintageTable = std::to_array<VintageRow>({
#define VMBUS_VINTAGE(name, change) {name, change},
#include "emu/protocol/quirk_table.inc"
});

constexpr const QuirkRow& row_of(Quirk quirk) {
  return kQuirkTable[static_cast<std::size_t>(quirk)];
}

// What comes before the first `separator`, or all; `list` becomes the rest.
constexpr std::string_view take_part(std::string_view& list, char separator) {
  std::size_t length = 0;
  while (length < list.size() && list[length] != separator) ++length;
  std::string_view part = list;  // not substr(): it may throw, and the shim has no libstdc++
  part.remove_suffix(list.size() - length);
  list.remove_prefix(length < list.size() ? length + 1 : length);
  return part;
}

constexpr std::optional<std::uint32_t> parse_number(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  std::uint32_t number = 0;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(digit - '0');
  }
  return number;
}

// The place of `text` among the row's choices, or the number within its range; empty: neither.
constexpr std::optional<std::uint32_t> parse_quirk_value(const QuirkRow& row,
                                                         std::string_view text) {
  std::string_view choices = row.choices;
  std::string_view range = choices;
  const auto least = parse_number(take_part(range, '.'));
  if (least && range.starts_with('.')) {
    range.remove_prefix(1);
    const auto number = parse_number(text);
    const auto most = parse_number(take_part(range, '/'));
    const std::uint32_t step = parse_number(range).value_or(1);
    const bool in_step = number && (step == 0 || *number % step == 0);
    const bool legal = in_step && *number >= *least && *number <= *most;
    return legal ? number : std::nullopt;
  }
  for (std::uint32_t place = 0; !choices.empty(); ++place) {
    if (take_part(choices, '|') == text) return place;
  }
  return std::nullopt;
}

constexpr std::optional<Quirk> find_quirk(std::string_view name) {
  for (std::size_t i = 0; i < kQuirkCount; ++i) {
    if (kQuirkTable[i].name == name) return static_cast<Quirk>(i);
  }
  return std::nullopt;
}

constexpr std::optional<std::size_t> find_profile(std::string_view name) {
  for (std::size_t i = 0; i < kProfileCount; ++i) {
    if (kProfileTable[i].name == name) return i;
  }
  return std::nullopt;
}

// The two parts of "name=value".
constexpr std::string_view name_part(std::string_view setting) { return take_part(setting, '='); }
constexpr std::string_view value_part(std::string_view setting) {
  take_part(setting, '=');
  return setting;
}

// "name=value" of the table, known when the program is compiled: a wrong one does not compile.
struct Setting {
  // NOLINTNEXTLINE(google-explicit-constructor): so that code reads is("peek=off")
  consteval Setting(const char* text)
      : quirk(*find_quirk(name_part(text))),
        value(*parse_quirk_value(row_of(quirk), value_part(text))) {}

  Quirk quirk;
  std::uint32_t value;
};

// A value for every row.
class QuirkValues {
 public:
  constexpr std::uint32_t operator[](Quirk quirk) const {
    return values_[static_cast<std::size_t>(quirk)];
  }
  constexpr bool is(Setting setting) const { return (*this)[setting.quirk] == setting.value; }
  // An earlier choice of the row; for vintages.
  constexpr bool before(Setting setting) const { return (*this)[setting.quirk] < setting.value; }
  constexpr void set(Quirk quirk, std::uint32_t value) {
    values_[static_cast<std::size_t>(quirk)] = value;
  }

  friend constexpr bool operator==(const QuirkValues&, const QuirkValues&) = default;

 private:
  std::array<std::uint32_t, kQuirkCount> values_{};
};

// What is wrong with a list of settings.
struct SettingFault {
  enum class Kind : std::uint8_t {
    kNone,
    kNoSetting,     // `name` is all there is: no '='
    kUnknownQuirk,  // no row is called `name`
    kBadValue,      // `row` does not have `value`
    kNotObeyed,     // nothing obeys another value of `row` than the profile's
  };
  Kind kind = Kind::kNone;
  std::string_view name{};
  std::string_view value{};
  const QuirkRow* row = nullptr;
};

// "NAME=VALUE,..."; the last of several for one row counts. Empty is no setting at all. On a fault
// `values` holds those before it.
SettingFault apply_settings(std::string_view list, QuirkValues* values);

constexpr QuirkValues profile_values(std::size_t profile) {
  QuirkValues values;
  for (std::size_t i = 0; i < kQuirkCount; ++i) {
    values.set(static_cast<Quirk>(i),
               *parse_quirk_value(kQuirkTable[i], kQuirkTable[i].columns[profile]));
  }
  return values;
}

inline constexpr std::array<QuirkValues, kProfileCount> kProfileValues = [] {
  std::array<QuirkValues, kProfileCount> all;
  for (std::size_t i = 0; i < kProfileCount; ++i) all[i] = profile_values(i);
  return all;
}();
inline constexpr const QuirkValues& kDefaultQuirks = kProfileValues[0];
static_assert(kProfileTable[0].name == "default");

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_PROFILE_H_
