// Protocol versions and feature flags: what guest and host agree on with INITIATE_CONTACT.
//
// A version is one of eleven values, not a point in a range: 0x00050004 is unknown although it lies
// between two known ones.  Once parsed, versions compare by age with < and >=.
// Whether a *message* exists in a version is a column of message_table.inc; the predicates below
// are the other differences.
//
// Contract    docs/protocol.md, "Versions" and "Features"
#ifndef VMBUS_EMU_PROTOCOL_VERSION_H_
#define VMBUS_EMU_PROTOCOL_VERSION_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "emu/protocol/flag_set.h"

namespace vmbus::proto {

// major << 16 | minor.
enum class ProtocolVersion : std::uint32_t {
  kV0_13 = 0x0000'000D,  // Server 2008
  kV1_1 = 0x0001'0001,   // Windows 7, Server 2008 R2
  kV2_4 = 0x0002'0004,   // Windows 8
  kV3_0 = 0x0003'0000,   // Windows 8.1
  kV4_0 = 0x0004'0000,   // Windows 10
  kV4_1 = 0x0004'0001,   // Windows 10 RS3
  kV5_0 = 0x0005'0000,   // Windows 10 RS3, second
  kV5_1 = 0x0005'0001,   // Windows 10 RS4
  kV5_2 = 0x0005'0002,   // Windows 10 RS5, Server 2019
  kV5_3 = 0x0005'0003,   // Iron, Server 2022
  kV6_0 = 0x0006'0000,   // Copper
};

// The order in which a guest asks: it takes the first that the host supports.
inline constexpr std::array kVersionsNewestFirst = {
    ProtocolVersion::kV6_0, ProtocolVersion::kV5_3, ProtocolVersion::kV5_2,  ProtocolVersion::kV5_1,
    ProtocolVersion::kV5_0, ProtocolVersion::kV4_1, ProtocolVersion::kV4_0,  ProtocolVersion::kV3_0,
    ProtocolVersion::kV2_4, ProtocolVersion::kV1_1, ProtocolVersion::kV0_13,
};

constexpr std::optional<ProtocolVersion> parse_version(std::uint32_t value) {
  const auto candidate = static_cast<ProtocolVersion>(value);
  const bool known =
      std::ranges::find(kVersionsNewestFirst, candidate) != kVersionsNewestFirst.end();
  return known ? std::optional(candidate) : std::nullopt;
}

constexpr std::string_view version_name(ProtocolVersion version) {
  switch (version) {
    case ProtocolVersion::kV0_13:
      return "0.13";
    case ProtocolVersion::kV1_1:
      return "1.1";
    case ProtocolVersion::kV2_4:
      return "2.4";
    case ProtocolVersion::kV3_0:
      return "3.0";
    case ProtocolVersion::kV4_0:
      return "4.0";
    case ProtocolVersion::kV4_1:
      return "4.1";
    case ProtocolVersion::kV5_0:
      return "5.0";
    case ProtocolVersion::kV5_1:
      return "5.1";
    case ProtocolVersion::kV5_2:
      return "5.2";
    case ProtocolVersion::kV5_3:
      return "5.3";
    case ProtocolVersion::kV6_0:
      return "6.0";
  }
  return "unknown";
}

// Bytes 190..195 of an offer (dedicated interrupt, connection id) count: each channel has its own
// guest-to-host event.  Before, all share kSharedEventConnection.
constexpr bool has_dedicated_guest_to_host_events(ProtocolVersion version) {
  return version >= ProtocolVersion::kV1_1;
}
// Bytes 16..23 of INITIATE_CONTACT are the address of the shared interrupt page.
constexpr bool has_interrupt_page(ProtocolVersion version) {
  return version < ProtocolVersion::kV2_4;
}
// A failure after a supported version is told in VERSION_RESPONSE's connection_state; before, such
// a host answers "not supported".
constexpr bool reports_connection_state(ProtocolVersion version) {
  return version >= ProtocolVersion::kV2_4;
}
// Messages go to the VP that INITIATE_CONTACT names; before, to VP 0.
constexpr bool honours_target_vp(ProtocolVersion version) {
  return version >= ProtocolVersion::kV3_0;
}
// INITIATE_CONTACT goes to kMulticlientMessageConnection and names a SINT; VERSION_RESPONSE names
// the connection for all later messages.  Before, VERSION_RESPONSE repeats the version there.
constexpr bool has_message_connection_id(ProtocolVersion version) {
  return version >= ProtocolVersion::kV5_0;
}
// INITIATE_CONTACT names the VTL whose server is meant.
constexpr bool has_target_vtl(ProtocolVersion version) { return version >= ProtocolVersion::kV5_1; }
// The hvsock offer's parameters carry a silo (parameter version 1).
constexpr bool has_silos(ProtocolVersion version) { return version >= ProtocolVersion::kV5_2; }
// INITIATE_CONTACT requests features, VERSION_RESPONSE grants some.
constexpr bool has_features(ProtocolVersion version) { return version >= ProtocolVersion::kV6_0; }

enum class Feature : std::uint32_t {
  kGuestSpecifiedSignalParameters = 0x01,  // OpenChannel2: connection id and event flag count
  kChannelInterruptRedirection = 0x02,     // OpenChannel2: flags count
  kModifyConnection = 0x04,                // MODIFY_CONNECTION and its response
  kClientId = 0x08,                        // INITIATE_CONTACT carries a client id
  kConfidentialChannels = 0x10,            // offer flags 0x2 and 0x4
  kPauseResume = 0x20,                     // PAUSE, PAUSE_RESPONSE, RESUME
  kServerSpecifiedMonitorPages = 0x40,     // the 40-byte VERSION_RESPONSE
  kGpaPinning = 0x80,                      // offer flag 0x8
};
using FeatureFlags = FlagSet<Feature>;

inline constexpr FeatureFlags kNoFeature{};
inline constexpr FeatureFlags kAllFeatures = FeatureFlags::from_bits(0xFF);
// With either one, OPEN_CHANNEL must come in its long layout.
inline constexpr FeatureFlags kOpenChannel2Features =
    FeatureFlags{Feature::kGuestSpecifiedSignalParameters} | Feature::kChannelInterruptRedirection;

// What a connection runs with, once VERSION_RESPONSE said yes.
struct Negotiated {
  ProtocolVersion version{};
  FeatureFlags features{};

  friend constexpr bool operator==(const Negotiated&, const Negotiated&) = default;
};

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_VERSION_H_
