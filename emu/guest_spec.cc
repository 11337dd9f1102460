#include "emu/guest_spec.h"

#include <algorithm>
#include <charconv>

#include "emu/client/guest_rules.h"

namespace vmbus::emu {
namespace {

// REQUIRES: it is one, or empty.
Flavour flavour_named(std::string_view text) {
  if (text == "freebsd") return Flavour::kFreeBsd;
  return text == "wsl" ? Flavour::kWsl : Flavour::kLinux;
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
    if (field == nullptr || value.empty() || !field->empty())
      return tl::unexpected(client::bad_value("guest", text, kForm));
    *field = value;
  }
  return fields;
}

}  // namespace

tl::expected<GuestSpec, std::string> make_guest_spec(std::string_view name, std::uint32_t cid,
                                                     std::string_view vm_id,
                                                     std::string_view flavour) {
  if (auto checked = client::check_guest(name, cid, vm_id, flavour); !checked)
    return tl::unexpected(checked.error());
  GuestSpec spec;
  spec.name = name;
  if (cid != 0) spec.cid = cid;
  if (!vm_id.empty()) spec.vm_id = proto::parse_guid(vm_id);
  spec.flavour = flavour_named(flavour);
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
    if (error != std::errc{} || rest != end || cid == 0)
      return tl::unexpected(client::bad_cid(fields->cid));
  }
  return make_guest_spec(fields->name, cid, fields->id, fields->flavour);
}

}  // namespace vmbus::emu
