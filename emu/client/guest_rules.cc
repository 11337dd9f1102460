#include "emu/client/guest_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "emu/client/printable.h"
#include "emu/protocol/guid.h"

namespace vmbus::client {
namespace {

constexpr std::size_t kMaxNameBytes = 31;  // what a record of the message log holds
constexpr std::array<std::string_view, 3> kFlavours = {"linux", "freebsd", "wsl"};

// They mean something of their own in an address.
constexpr std::array kReservedVmIds = {proto::kHvGuidZero,     proto::kHvGuidBroadcast,
                                       proto::kHvGuidChildren, proto::kHvGuidLoopback,
                                       proto::kHvGuidParent,   proto::kHvGuidSiloHost};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes &&
         std::all_of(text.begin(), text.end(), is_name_character) && text != "host" &&
         text != "auto";
}

template <typename List, typename Value>
bool contains(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

tl::expected<void, std::string> check_vm_id(std::string_view text) {
  const auto vm_id = proto::parse_guid(text);
  if (!vm_id) {
    return tl::unexpected(
        bad_value("VM id", text, "a GUID like 12345678-9abc-def0-1122-334455667788"));
  }
  if (contains(kReservedVmIds, *vm_id))
    return tl::unexpected(bad_value("VM id", text, "a GUID that is no HV_GUID_ constant"));
  return {};
}

}  // namespace

std::string bad_value(std::string_view what, std::string_view value, std::string_view legal) {
  return fmt::format("bad {} '{}': want {}", what, printable(value), legal);
}

std::string bad_cid(std::string_view value) {
  return bad_value("CID", value,
                   fmt::format("a number from {} to {}", kFirstGuestCid, kLastGuestCid));
}

tl::expected<void, std::string> check_guest_name(std::string_view name) {
  if (is_name(name)) return {};
  return tl::unexpected(
      bad_value("guest name", name,
                "1 to 31 letters, digits, '-', '_' or '.', other than 'host' and 'auto'"));
}

tl::expected<void, std::string> check_guest(std::string_view name, std::uint32_t cid,
                                            std::string_view vm_id, std::string_view flavour) {
  if (auto checked = check_guest_name(name); !checked) return checked;
  if (cid != 0 && (cid < kFirstGuestCid || cid > kLastGuestCid))
    return tl::unexpected(bad_cid(std::to_string(cid)));
  if (!vm_id.empty()) {
    if (auto checked = check_vm_id(vm_id); !checked) return checked;
  }
  if (!flavour.empty() && !contains(kFlavours, flavour))
    return tl::unexpected(bad_value("flavour", flavour, "linux, freebsd or wsl"));
  return {};
}

}  // namespace vmbus::client
