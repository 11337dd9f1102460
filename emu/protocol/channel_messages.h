// Wire structs of the messages about one channel: offer, open, modify, close, reserved channels,
// GPADLs.  messages.h has the rules that all structs follow.
//
// Contract    docs/protocol.md, "Layouts"
#ifndef VMBUS_EMU_PROTOCOL_CHANNEL_MESSAGES_H_
#define VMBUS_EMU_PROTOCOL_CHANNEL_MESSAGES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "emu/protocol/flag_set.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/message_header.h"
#include "emu/protocol/status.h"

namespace vmbus::proto {

// ---- Offers -------------------------------------------------------------------------------------

enum class OfferFlag : std::uint16_t {
  kEnumerateDeviceInterface = 0x0001,
  kConfidentialRingBuffer = 0x0002,      // 0 unless confidential_channels was granted
  kConfidentialExternalMemory = 0x0004,  // likewise
  kRequirePinnedMemory = 0x0008,         // 0 unless gpa_pinning was granted
  kNamedPipeMode = 0x0010,
  kLoopback = 0x0100,
  kParent = 0x0200,
  kRequestMonitoredNotification = 0x0400,
  kTlnpiProvider = 0x2000,  // this is an hvsock channel
};
using OfferFlags = FlagSet<OfferFlag>;

inline constexpr std::size_t kUserDefinedBytes = 120;

// OFFER_CHANNEL
//   offset  size  field
//        8    16  interface_id          kind of device; hvsock: the service
//       24    16  instance_id           which one; hvsock: the endpoint
//       56     2  flags
//       58     2  mmio_megabytes
//       60   120  user_defined          hvsock: hvsock_offer.h
//      180     2  subchannel_index      0: primary
//      182     2  mmio_megabytes_optional
//      184     4  relid
//      188     1  monitor_id            kNoMonitor: none
//      189     1  monitor_allocated     bit 0
//      190     2  dedicated_interrupt   bit 0; from here on read since 1.1
//      192     4  connection_id         what the guest signals
struct OfferChannel {
  MessageHeader header{MessageType::kOfferChannel};
  Guid interface_id{};
  Guid instance_id{};
  std::array<std::uint32_t, 4> reserved_40{};
  OfferFlags flags{};
  std::uint16_t mmio_megabytes{};
  std::array<std::byte, kUserDefinedBytes> user_defined{};
  std::uint16_t subchannel_index{};
  std::uint16_t mmio_megabytes_optional{};
  Relid relid{};
  MonitorId monitor_id{kNoMonitor};
  std::uint8_t monitor_allocated{};
  std::uint16_t dedicated_interrupt{};
  ConnectionId connection_id{};

  friend bool operator==(const OfferChannel&, const OfferChannel&) = default;
};
static_assert(offsetof(OfferChannel, flags) == 56 && offsetof(OfferChannel, user_defined) == 60 &&
              offsetof(OfferChannel, relid) == 184 && offsetof(OfferChannel, connection_id) == 192);

using RescindChannelOffer = RelidMessage<MessageType::kRescindChannelOffer>;
using RelidReleased = RelidMessage<MessageType::kRelidReleased>;

// ---- Channels -----------------------------------------------------------------------------------

// OPEN_CHANNEL
//   offset  size  field
//        8     4  relid
//       12     4  open_id                 any number; the result repeats it
//       16     4  ring_gpadl
//       20     4  target_vp               where the guest wants interrupts, or kInterruptsDisabled
//       24     4  downstream_page_offset  page of the GPADL where the host-to-guest ring starts
//       28   120  user_data
struct OpenChannel {
  MessageHeader header{MessageType::kOpenChannel};
  Relid relid{};
  OpenId open_id{};
  GpadlId ring_gpadl{};
  VpIndex target_vp{};
  std::uint32_t downstream_page_offset{};
  std::array<std::byte, kUserDefinedBytes> user_data{};

  friend bool operator==(const OpenChannel&, const OpenChannel&) = default;
};
static_assert(offsetof(OpenChannel, ring_gpadl) == 16 && offsetof(OpenChannel, user_data) == 28);

inline constexpr std::uint16_t kOpenRedirectInterrupt = 0x0001;

// OPEN_CHANNEL, long.  Each field counts only with the feature behind it.
//      148     4  connection_id  host signals this      guest_specified_signal_parameters
//      152     2  event_flag     and sets this flag     guest_specified_signal_parameters
//      154     2  flags          kOpenRedirectInterrupt channel_interrupt_redirection
struct OpenChannel2 {
  OpenChannel open{};
  ConnectionId connection_id{};
  EventFlag event_flag{};
  std::uint16_t flags{};

  friend bool operator==(const OpenChannel2&, const OpenChannel2&) = default;
};
static_assert(offsetof(OpenChannel2, connection_id) == 148 && offsetof(OpenChannel2, flags) == 154);

// OPEN_CHANNEL_RESULT: 8 relid, 12 open_id, 16 status.
struct OpenChannelResult {
  MessageHeader header{MessageType::kOpenChannelResult};
  Relid relid{};
  OpenId open_id{};
  Status status{};

  friend bool operator==(const OpenChannelResult&, const OpenChannelResult&) = default;
};
static_assert(offsetof(OpenChannelResult, status) == 16);

using CloseChannel = RelidMessage<MessageType::kCloseChannel>;

// MODIFY_CHANNEL: 8 relid, 12 target_vp.
struct ModifyChannel {
  MessageHeader header{MessageType::kModifyChannel};
  Relid relid{};
  VpIndex target_vp{};

  friend bool operator==(const ModifyChannel&, const ModifyChannel&) = default;
};
static_assert(offsetof(ModifyChannel, target_vp) == 12);

// MODIFY_CHANNEL_RESPONSE: 8 relid, 12 status.
struct ModifyChannelResponse {
  MessageHeader header{MessageType::kModifyChannelResponse};
  Relid relid{};
  Status status{};

  friend bool operator==(const ModifyChannelResponse&, const ModifyChannelResponse&) = default;
};
static_assert(offsetof(ModifyChannelResponse, status) == 12);

// OPEN_RESERVED_CHANNEL: 8 relid, 12 target_vp, 16 target_sint, 20 ring_gpadl,
// 24 downstream_page_offset.  VP and SINT are where the answers go.
struct OpenReservedChannel {
  MessageHeader header{MessageType::kOpenReservedChannel};
  Relid relid{};
  VpIndex target_vp{};
  std::uint32_t target_sint{};
  GpadlId ring_gpadl{};
  std::uint32_t downstream_page_offset{};

  friend bool operator==(const OpenReservedChannel&, const OpenReservedChannel&) = default;
};
static_assert(offsetof(OpenReservedChannel, target_sint) == 16 &&
              offsetof(OpenReservedChannel, downstream_page_offset) == 24);

// CLOSE_RESERVED_CHANNEL: 8 relid, 12 target_vp, 16 target_sint.
struct CloseReservedChannel {
  MessageHeader header{MessageType::kCloseReservedChannel};
  Relid relid{};
  VpIndex target_vp{};
  std::uint32_t target_sint{};

  friend bool operator==(const CloseReservedChannel&, const CloseReservedChannel&) = default;
};
static_assert(offsetof(CloseReservedChannel, target_sint) == 16);

using CloseReservedResponse = RelidMessage<MessageType::kCloseReservedResponse>;

// ---- GPADLs -------------------------------------------------------------------------------------

// GPADL_HEADER, then the first bytes of the range buffer (gpa_range.h) at 20.
//        8     4  relid
//       12     4  gpadl_id            chosen by the guest
//       16     2  range_buffer_bytes  of the whole buffer, bodies included
//       18     2  range_count
struct GpadlHeader {
  MessageHeader header{MessageType::kGpadlHeader};
  Relid relid{};
  GpadlId gpadl_id{};
  std::uint16_t range_buffer_bytes{};
  std::uint16_t range_count{};

  friend bool operator==(const GpadlHeader&, const GpadlHeader&) = default;
};
static_assert(offsetof(GpadlHeader, range_buffer_bytes) == 16 && sizeof(GpadlHeader) == 20);

// GPADL_BODY: 8 reserved, 12 gpadl_id, then more of the buffer at 16.  It has no relid: the host
// finds the GPADL under construction by its id alone.
struct GpadlBody {
  MessageHeader header{MessageType::kGpadlBody};
  std::uint32_t reserved_8{};
  GpadlId gpadl_id{};

  friend bool operator==(const GpadlBody&, const GpadlBody&) = default;
};
static_assert(offsetof(GpadlBody, gpadl_id) == 12 && sizeof(GpadlBody) == 16);

// GPADL_CREATED: 8 relid, 12 gpadl_id, 16 status.
struct GpadlCreated {
  MessageHeader header{MessageType::kGpadlCreated};
  Relid relid{};
  GpadlId gpadl_id{};
  Status status{};

  friend bool operator==(const GpadlCreated&, const GpadlCreated&) = default;
};
static_assert(offsetof(GpadlCreated, status) == 16);

// GPADL_TEARDOWN: 8 relid, 12 gpadl_id.
struct GpadlTeardown {
  MessageHeader header{MessageType::kGpadlTeardown};
  Relid relid{};
  GpadlId gpadl_id{};

  friend bool operator==(const GpadlTeardown&, const GpadlTeardown&) = default;
};
static_assert(offsetof(GpadlTeardown, gpadl_id) == 12);

// GPADL_TORNDOWN: 8 gpadl_id; the host has let go of the pages.
struct GpadlTorndown {
  MessageHeader header{MessageType::kGpadlTorndown};
  GpadlId gpadl_id{};

  friend bool operator==(const GpadlTorndown&, const GpadlTorndown&) = default;
};
static_assert(offsetof(GpadlTorndown, gpadl_id) == 8);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_CHANNEL_MESSAGES_H_
