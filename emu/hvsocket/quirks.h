// Quirks: where the real systems surprise, one row each (quirks.inc), with a column for each
// profile.
//
// `strict` is a Linux 6.18 guest on Hyper-V to the letter; `default` is what developers expect. A
// socket keeps the profile of its process at socket(); accepted sockets have their listener's.
#ifndef VMBUS_EMU_HVSOCKET_QUIRKS_H_
#define VMBUS_EMU_HVSOCKET_QUIRKS_H_

#include <optional>
#include <string_view>

namespace vmbus::emu {

struct Quirks {
#define VMBUS_QUIRK(field, strict, convenience, quirk, meaning) bool field;
#include "emu/hvsocket/quirks.inc"
#undef VMBUS_QUIRK
};

inline constexpr Quirks kStrictQuirks{
#define VMBUS_QUIRK(field, strict, convenience, quirk, meaning) strict,
#include "emu/hvsocket/quirks.inc"
#undef VMBUS_QUIRK
};

inline constexpr Quirks kDefaultQuirks{
#define VMBUS_QUIRK(field, strict, convenience, quirk, meaning) convenience,
#include "emu/hvsocket/quirks.inc"
#undef VMBUS_QUIRK
};

struct Profile {
  std::string_view name;
  const Quirks* quirks;
};

inline constexpr Profile kDefaultProfile{"default", &kDefaultQuirks};
inline constexpr Profile kStrictProfile{"strict", &kStrictQuirks};

// Empty for a name that is no profile.
constexpr std::optional<Profile> find_profile(std::string_view name) {
  if (name == kDefaultProfile.name) return kDefaultProfile;
  if (name == kStrictProfile.name) return kStrictProfile;
  return std::nullopt;
}

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_QUIRKS_H_
