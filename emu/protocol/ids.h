// Strong ids: numbers that name things on the wire.  A Relid is not a GpadlId, so the compiler
// keeps them apart; in memory each is its bare number and may stand in a wire struct.
//
// Contract    docs/protocol.md
#ifndef VMBUS_EMU_PROTOCOL_IDS_H_
#define VMBUS_EMU_PROTOCOL_IDS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

namespace vmbus::proto {

template <typename Tag, typename Rep>
struct StrongId {
  Rep value{};

  friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;
};

using Relid = StrongId<struct RelidTag, std::uint32_t>;          // a channel, named by the host
using GpadlId = StrongId<struct GpadlIdTag, std::uint32_t>;      // lent memory, named by the guest
using OpenId = StrongId<struct OpenIdTag, std::uint32_t>;        // echoed in OPEN_CHANNEL_RESULT
using EventFlag = StrongId<struct EventFlagTag, std::uint16_t>;  // bit in a SINT's event flags
using ConnectionId = StrongId<struct ConnectionIdTag, std::uint32_t>;  // target of post and signal
using MonitorId = StrongId<struct MonitorIdTag, std::uint8_t>;
using VpIndex = StrongId<struct VpIndexTag, std::uint32_t>;
using Pfn = StrongId<struct PfnTag, std::uint64_t>;  // guest physical address / kPageBytes
using Gpa = StrongId<struct GpaTag, std::uint64_t>;  // guest physical address in bytes
using Cid = StrongId<struct CidTag, std::uint32_t>;
using Port = StrongId<struct PortTag, std::uint32_t>;

inline constexpr std::size_t kPageBytes = 4096;

// Relids run from 1: the event flag of a channel is its relid, a SINT has 2048 flags, and flag 0
// belongs to the shared interrupt page of versions below 2.4.
inline constexpr Relid kMinRelid{1};
inline constexpr Relid kMaxRelid{2047};

inline constexpr MonitorId kNoMonitor{0xFF};

// As target VP of an open channel: the guest wants no interrupts.
inline constexpr VpIndex kInterruptsDisabled{0xFFFF'FFFF};

inline constexpr std::uint8_t kVmbusSint = 2;

// Connection ids with a fixed meaning; a guest posts or signals to them.
inline constexpr ConnectionId kMessageConnection{1};
inline constexpr ConnectionId kSharedEventConnection{2};         // versions below 2.4
inline constexpr ConnectionId kMulticlientMessageConnection{4};  // INITIATE_CONTACT from 5.0

// The connection id a guest signals for a channel, unless the guest chose its own parameters.
constexpr ConnectionId event_connection(Relid relid, std::uint8_t sint = kVmbusSint,
                                        std::uint8_t vtl = 0) {
  return ConnectionId{relid.value + (std::uint32_t{sint} << 12) + (std::uint32_t{vtl} << 16)};
}

static_assert(sizeof(Relid) == 4 && sizeof(EventFlag) == 2 && sizeof(MonitorId) == 1 &&
              sizeof(Pfn) == 8);
static_assert(std::is_trivially_copyable_v<Relid> && std::is_standard_layout_v<Relid>);

}  // namespace vmbus::proto

template <typename Tag, typename Rep>
struct std::hash<vmbus::proto::StrongId<Tag, Rep>> {
  std::size_t operator()(const vmbus::proto::StrongId<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};

#endif  // VMBUS_EMU_PROTOCOL_IDS_H_
