// GuestSpec: a guest as a user describes it, on vmbusd's command line or with `vmbus vm add`.
#ifndef VMBUS_EMU_GUEST_SPEC_H_
#define VMBUS_EMU_GUEST_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "emu/partition.h"
#include "emu/protocol/guid.h"

namespace vmbus::emu {

struct GuestSpec {
  std::string name;
  std::optional<std::uint32_t> cid;  // none: the lowest free one
  std::optional<proto::Guid> vm_id;  // none: derived from the name
  Flavour flavour = Flavour::kLinux;
};

// Errors are one line that names the value and the legal ones.
// From the parts of a VmAdd request: cid 0, and empty texts, mean "not given".
tl::expected<GuestSpec, std::string> make_guest_spec(std::string_view name, std::uint32_t cid,
                                                     std::string_view vm_id,
                                                     std::string_view flavour);
// From NAME[,cid=N][,id=GUID][,flavour=linux|freebsd|wsl].
tl::expected<GuestSpec, std::string> parse_guest_spec(std::string_view text);

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_GUEST_SPEC_H_
