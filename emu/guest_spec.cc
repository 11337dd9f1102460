#include "emu/guest_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace vmbus::emu {
namespace {

constexpr std::size_t kMaxNameBytes = 31;  // what a record of the message log holds
constexpr std::uint32_t kFirstGuestCid = 3;
constexpr std::uint32_t kLastGuestCid = 0xFFFFFFFE;  // 0xFFFFFFFF is VMADDR_CID_ANY

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

tl::unexpected<std::string> bad(std::string_view what, std::string_view value,
                                std::string_view legal) {
  return tl::unexpected(fmt::format("bad {} '{}': want {}", what, value, legal));
}

tl::unexpected<std::string> bad_cid(std::string_view value) {
  return bad("CID", value, fmt::format("a number from {} to {}", kFirstGuestCid, kLastGuestCid));
}

std::optional<Flavour> parse_flavour(std::string_view text) {
  if (text.empty() || text == "linux") return Flavour::kLinux;
  if (text == "freebsd") return Flavour::kFreeBsd;
  if (text == "wsl") return Flavour::kWsl;
  return std::nullopt;
}

// The fields of a text spec; what is absent stays empty.
struct Fields {
  std::string_view name;
  std::string_view cid;
  std::string_view id;
  std::string_view flavour;
};

std::string_view* field_named(Fields& fields, std::string_view key) {
  if (key == "cid") return &fields.cid;
  if (key == "id") return &fields.id;
  if (key == "flavour") return &fields.flavour;
  return nullptr;
}

tl::expected<Fields, std::string> split(std::string_view text) {
  constexpr std::string_view kForm = "NAME[,cid=N][,id=GUID][,flavour=linux|freebsd|wsl]";
  Fields fields;
  std::size_t comma = std::min(text.find(','), text.size());
  fields.name = text.substr(0, comma);
  while (comma < text.size()) {
    const std::string_view rest = text.substr(comma + 1);
    const std::string_view part = rest.substr(0, rest.find(','));
    comma += 1 + part.size();
    const std::size_t equals = std::min(part.find('='), part.size());
    std::string_view* field = field_named(fields, part.substr(0, equals));
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    if (field == nullptr || value.empty() || !field->empty()) return bad("guest", text, kForm);
    *field = value;
  }
  return fields;
}

}  // namespace

tl::expected<GuestSpec, std::string> make_guest_spec(std::string_view name, std::uint32_t cid,
                                                     std::string_view vm_id,
                                                     std::string_view flavour) {
  GuestSpec spec;
  if (!is_name(name)) {
    return bad("guest name", name,
               "1 to 31 letters, digits, '-', '_' or '.', other than 'host' and 'auto'");
  }
  spec.name = name;
  if (cid != 0) {
    if (cid < kFirstGuestCid || cid > kLastGuestCid) return bad_cid(std::to_string(cid));
    spec.cid = cid;
  }
  if (!vm_id.empty()) {
    spec.vm_id = proto::parse_guid(vm_id);
    if (!spec.vm_id) return bad("VM id", vm_id, "a GUID like 12345678-9abc-def0-1122-334455667788");
    if (std::find(kReservedVmIds.begin(), kReservedVmIds.end(), *spec.vm_id) !=
        kReservedVmIds.end())
      return bad("VM id", vm_id, "a GUID that is no HV_GUID_ constant");
  }
  const auto parsed_flavour = parse_flavour(flavour);
  if (!parsed_flavour) return bad("flavour", flavour, "linux, freebsd or wsl");
  spec.flavour = *parsed_flavour;
  return spec;
}

tl::expected<GuestSpec, std::string> parse_guest_spec(std::string_view text) {
  const auto fields = split(text);
  if (!fields) return tl::unexpected(fields.error());
  std::uint32_t cid = 0;
  if (!fields->cid.empty()) {
    const char* const first = &fields->cid.front();
    const char* const end = first + fields->cid.size();
    const auto [rest, error] = std::from_chars(first, end, cid);
    if (error != std::errc{} || rest != end || cid == 0) return bad_cid(fields->cid);
  }
  return make_guest_spec(fields->name, cid, fields->id, fields->flavour);
}

}  // namespace vmbus::emu
