#include "tools/vmbus/vm_spec.h"

#include <fmt/format.h>

#include <charconv>

#include "emu/client/guest_rules.h"
#include "emu/client/printable.h"
#include "emu/protocol/guid.h"

namespace vmbus::tools {
namespace {

bool parse_cid(std::string_view text, std::uint32_t* cid) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *cid);
  return error == std::errc{} && stop == end && *cid != 0;
}

bool set_part(std::string_view part, VmSpec* spec) {
  const std::size_t equals = part.find('=');
  if (equals == std::string_view::npos || equals + 1 == part.size()) return false;
  const std::string_view key = part.substr(0, equals);
  const std::string_view value = part.substr(equals + 1);
  if (key == "cid") return parse_cid(value, &spec->cid);
  if (key == "id") spec->vm_id = value;
  if (key == "flavour") spec->flavour = value;
  return key == "id" || key == "flavour";
}

}  // namespace

Outcome<VmSpec> parse_vm_spec(std::string_view text) {
  VmSpec spec;
  std::string_view rest = text;
  std::size_t comma = rest.find(',');
  spec.name = rest.substr(0, comma);
  bool good = !spec.name.empty();
  while (good && comma != std::string_view::npos) {
    rest.remove_prefix(comma + 1);
    comma = rest.find(',');
    good = set_part(rest.substr(0, comma), &spec);
  }
  if (!good) {
    return fail(kExitUsage,
                fmt::format("--vm '{}': want NAME[,cid=N][,id=GUID][,flavour=linux|freebsd|wsl]",
                            client::printable(text)));
  }
  if (const auto checked = check_spec(spec); !checked) return tl::make_unexpected(checked.error());
  return spec;
}

Outcome<void> check_spec(const VmSpec& spec) {
  const auto checked = client::check_guest(spec.name, spec.cid, spec.vm_id, spec.flavour);
  if (!checked) return fail(kExitUsage, checked.error());
  return {};
}

Outcome<void> check_name(const std::string& name) {
  const auto checked = client::check_guest_name(name);
  if (!checked) return fail(kExitUsage, checked.error());
  return {};
}

control::Request add_request(const VmSpec& spec) {
  control::Request request;
  control::VmAdd& add = *request.mutable_vm_add();
  add.set_name(spec.name);
  add.set_cid(spec.cid);
  add.set_vm_id(spec.vm_id);
  add.set_flavour(spec.flavour);
  return request;
}

control::Request remove_request(const std::string& name, bool force) {
  control::Request request;
  request.mutable_vm_remove()->set_name(name);
  request.mutable_vm_remove()->set_force(force);
  return request;
}

control::Request act_request(const std::string& name, control::VmAct::Action action) {
  control::Request request;
  request.mutable_vm_act()->set_name(name);
  request.mutable_vm_act()->set_action(action);
  return request;
}

bool fits(const control::StatusReport::Guest& guest, const VmSpec& spec) {
  return guest.name() == spec.name && (spec.cid == 0 || guest.cid() == spec.cid) &&
         (spec.vm_id.empty() ||
          proto::parse_guid(guest.vm_id()) == proto::parse_guid(spec.vm_id)) &&
         (spec.flavour.empty() || guest.flavour() == spec.flavour);
}

}  // namespace vmbus::tools
