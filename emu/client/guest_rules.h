// How a guest may be described: what the daemon takes, and what a tool checks before it asks.
#ifndef VMBUS_EMU_CLIENT_GUEST_RULES_H_
#define VMBUS_EMU_CLIENT_GUEST_RULES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace vmbus::client {

inline constexpr std::uint32_t kFirstGuestCid = 3;
inline constexpr std::uint32_t kLastGuestCid = 0xFFFFFFFE;  // 0xFFFFFFFF is VMADDR_CID_ANY

// Errors are one line that names the value, fit for a terminal, and the legal ones.
tl::expected<void, std::string> check_guest_name(std::string_view name);
// The parts of a VmAdd request: CID 0, and empty texts other than the name, mean "not given".
tl::expected<void, std::string> check_guest(std::string_view name, std::uint32_t cid,
                                            std::string_view vm_id, std::string_view flavour);

// One such error: "bad CID '2': want ...".
std::string bad_value(std::string_view what, std::string_view value, std::string_view legal);
std::string bad_cid(std::string_view value);

}  // namespace vmbus::client

#endif  // VMBUS_EMU_CLIENT_GUEST_RULES_H_
