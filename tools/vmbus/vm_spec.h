// A guest as the command line names it: NAME[,cid=N][,id=GUID][,flavour=linux|freebsd|wsl].
//
// What no bus would take is refused here, before one is asked or started; what is taken already, the
// daemon says.
#ifndef VMBUS_TOOLS_VMBUS_VM_SPEC_H_
#define VMBUS_TOOLS_VMBUS_VM_SPEC_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "emu/protocol/protobuf/control.pb.h"
#include "tools/vmbus/failure.h"

namespace vmbus::tools {

struct VmSpec {
  std::string name;
  std::uint32_t cid = 0;  // 0: the lowest free one
  std::string vm_id;      // empty: derived from the name
  std::string flavour;    // empty: linux
};

Outcome<VmSpec> parse_vm_spec(std::string_view text);

// A usage error where no bus would take it.
Outcome<void> check_spec(const VmSpec& spec);
Outcome<void> check_name(const std::string& name);

control::Request add_request(const VmSpec& spec);
control::Request remove_request(const std::string& name, bool force = false);

control::Request act_request(const std::string& name, control::VmAct::Action action);

// Whether the guest is what `spec` asks for; what it leaves open may be anything.
bool fits(const control::StatusReport::Guest& guest, const VmSpec& spec);

}  // namespace vmbus::tools

#endif  // VMBUS_TOOLS_VMBUS_VM_SPEC_H_
