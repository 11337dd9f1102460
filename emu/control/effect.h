// Effects: what the two halves of the bus may ask for. A half decides; its owner carries the
// effects out, in order.
//
// Host half   HostEffect, carried out by emu/host_side.cc
// Guest half  GuestEffect, carried out by emu/guest_side.cc
#ifndef VMBUS_EMU_CONTROL_EFFECT_H_
#define VMBUS_EMU_CONTROL_EFFECT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "emu/control/protocol_error.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/message_codec.h"
#include "emu/protocol/status.h"
#include "emu/sint_target.h"

namespace vmbus::emu {

// ---- host half ----------------------------------------------------------------------------------

// A message to the guest. One to a foreign target (not the connection's) never waits: it is dropped
// when its slot is taken, so that nobody can make the host keep messages that are never read.
struct Deliver {
  SintTarget target{};
  bool foreign = false;
  proto::EncodedMessage message{};
};
// Signals between the ends of a channel are possible from now on. Comes before OpenDevice: the
// guest may be signalled, and may signal, as soon as it knows that the channel is open.
struct ConnectSignals {
  proto::Relid relid{};
  proto::ConnectionId from_guest{};
  std::optional<SintTarget> to_guest{};  // nullopt: the guest wants no interrupts
  proto::EventFlag flag{};
};
struct RetargetSignals {
  proto::Relid relid{};
  proto::VpIndex vp{};
};
struct DisconnectSignals {
  proto::Relid relid{};
};
// Map these pages and tell the device. Answer: HostHalf::complete_open(), with failure if they
// cannot be mapped.
struct OpenDevice {
  proto::Relid relid{};
  std::vector<std::uint64_t> pfns{};  // both rings, guest-to-host first
  std::size_t guest_to_host_pages = 0;
};
// The guest writes no more. Answer: HostHalf::complete_close().
struct CloseDevice {
  proto::Relid relid{};
};
// Comes before GPADL_TORNDOWN and before RESCIND: with either one the guest may reuse the pages.
struct UnmapRings {
  proto::Relid relid{};
};
// The relid is gone; the device forgets it.
struct ReleaseDevice {
  proto::Relid relid{};
};
// TL_CONNECT_REQUEST. Answer: HostHalf::offer_hvsock() or HostHalf::refuse_connect().
struct AskListener {
  proto::Guid endpoint{};
  proto::Guid service{};
};
// Signals use this page of the guest from now on (versions below 2.4), or no page.
struct UseInterruptPage {
  std::optional<proto::Pfn> page{};
};

using HostEffect =
    std::variant<Deliver, ConnectSignals, RetargetSignals, DisconnectSignals, OpenDevice,
                 CloseDevice, UnmapRings, ReleaseDevice, AskListener, UseInterruptPage, Reject>;
using HostEffects = std::deque<HostEffect>;

// ---- guest half ---------------------------------------------------------------------------------

// A message to the host.
struct Post {
  proto::ConnectionId connection{};
  proto::EncodedMessage message{};
};
// The host has let go of the channel's rings.
struct FreeRings {
  proto::Relid relid{};
};
struct ReportContact {
  bool connected = false;
};
struct ReportOffer {
  proto::Relid relid{};
  proto::Guid service{};
  proto::Guid endpoint{};
  bool for_guest_accept = false;
};
struct ReportConnectResult {
  proto::Guid endpoint{};
  proto::Guid service{};
  proto::Status status{};
};
struct ReportOpenResult {
  proto::Relid relid{};
  bool ok = false;
};
struct ReportRescind {
  proto::Relid relid{};
};
struct ReportUnloaded {};

using GuestEffect = std::variant<Post, FreeRings, ReportContact, ReportOffer, ReportConnectResult,
                                 ReportOpenResult, ReportRescind, ReportUnloaded, Reject>;
using GuestEffects = std::deque<GuestEffect>;

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_EFFECT_H_
