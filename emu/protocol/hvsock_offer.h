// The offer of an hvsock channel: its OFFER_CHANNEL and the user_defined area in it, which tells
// the guest who connects.
//
// Contract    docs/protocol.md, "The hvsock offer"
#ifndef VMBUS_EMU_PROTOCOL_HVSOCK_OFFER_H_
#define VMBUS_EMU_PROTOCOL_HVSOCK_OFFER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "emu/protocol/channel_messages.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"

namespace vmbus::proto {

enum class PipeType : std::uint32_t { kByte = 0, kMessage = 4 };

// Who dials?  A guest reads this to know whether to accept or to finish its own connect.
enum class HvsockInitiator : std::uint8_t { kGuest = 0, kHost = 1 };

inline constexpr std::uint32_t kHvsockParametersPreRs5 = 0;
inline constexpr std::uint32_t kHvsockParametersRs5 = 1;  // silo_id counts

// The user_defined area, 120 bytes; two fields are unaligned, so this struct is not its layout.
//   offset  size  field                   message offset
//        0     4  pipe_type                           60
//        4     1  is_for_guest_accept                 64  1: the host dials
//        5     1  is_for_guest_container              65
//        6     4  version                             66
//       10    16  silo_id                             70  zero: none
//       26    94  zero                                86
struct HvsockParameters {
  PipeType pipe_type{PipeType::kByte};
  HvsockInitiator initiator{HvsockInitiator::kGuest};
  bool is_for_guest_container{};
  std::uint32_t version{kHvsockParametersRs5};
  Guid silo_id{};

  friend bool operator==(const HvsockParameters&, const HvsockParameters&) = default;
};

using UserDefined = std::array<std::byte, kUserDefinedBytes>;

[[nodiscard]] UserDefined build_user_defined(const HvsockParameters& parameters);
// Any bytes have a meaning: a flag is set if it is not zero, silo_id is zero below version 1.
[[nodiscard]] HvsockParameters parse_user_defined(
    std::span<const std::byte, kUserDefinedBytes> area);

// The whole offer: channel `relid` for one connection of `service_id`, the guest's end of which is
// `endpoint_id` (guest dials: as it asked; host dials: fresh and random).
[[nodiscard]] OfferChannel make_hvsock_offer(Relid relid, const Guid& service_id,
                                             const Guid& endpoint_id,
                                             const HvsockParameters& parameters);

constexpr bool is_hvsock_offer(const OfferChannel& offer) {
  return offer.flags.contains(OfferFlag::kTlnpiProvider);
}

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_HVSOCK_OFFER_H_
