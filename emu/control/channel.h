// Channel: the life of one channel, seen from the host. Pure: it decides, HostHalf acts on it.
//
//            guest        device       guest     device   host       guest       guest
//            opens        opened       closes    closed   rescinds   releases    modifies
// Withheld   Unknown      bug          Unknown   bug      gone       Unknown     Unknown
// Offered    Opening      bug          NotOpen   bug      Rescinded  gone        WrongState
// Opening    AlreadyOpen  Open|Offered NotOpen   bug      Rescinded  WrongState  WrongState
// Open       AlreadyOpen  bug          Closing   bug      Rescinded  WrongState  done
// Closing    Reopening    bug          NotOpen   Offered  Rescinded  gone        WrongState
// Reopening  AlreadyOpen  bug          NotOpen   Opening  Rescinded  WrongState  WrongState
// Rescinded  ignored      bug          ignored   bug      bug        gone        WrongState
//
// Unknown, NotOpen, AlreadyOpen, WrongState: the guest's error; the state stays.
// ignored: legal, the rescind is on its way.  bug: the device's error, BusError::kWrongState.
// gone: the channel leaves the table. One that is released while the device still closes it goes at
// once, and the device is told.
//
// Withheld: the same device is still on offer under another relid, rescinded but not released. A
// guest refuses a second offer of a device it has, so this one goes out when that is released.
#ifndef VMBUS_EMU_CONTROL_CHANNEL_H_
#define VMBUS_EMU_CONTROL_CHANNEL_H_

#include <cstdint>
#include <optional>

#include "emu/bus_error.h"
#include "emu/control/protocol_error.h"
#include "emu/protocol/channel_messages.h"
#include "emu/protocol/ids.h"

namespace vmbus::emu {

// OPEN_CHANNEL, with everything that the negotiated features leave of it.
struct OpenRequest {
  proto::OpenId open_id{};
  proto::GpadlId ring_gpadl{};
  std::uint32_t downstream_page_offset = 0;
  proto::VpIndex target_vp{};
  proto::ConnectionId from_guest{};
  proto::EventFlag to_guest{};
  bool redirect_interrupt = false;
};

// What is to be done after a message that is no error.
enum class NextStep : std::uint8_t { kNone, kStartOpen, kStartClose };

class Channel {
 public:
  enum class State : std::uint8_t {
    kWithheld,
    kOffered,
    kOpening,
    kOpen,
    kClosing,
    kReopening,
    kRescinded,
  };

  // `predecessor`: the channel that must be released first.
  explicit Channel(const proto::OfferChannel& offer,
                   std::optional<proto::Relid> predecessor = std::nullopt);

  // ---- the guest's messages ---------------------------------------------------------------------
  Checked<NextStep> guest_opens(const OpenRequest& request);
  Checked<NextStep> guest_closes();
  Checked<void> guest_modifies(proto::VpIndex target_vp);
  // OK: the channel is gone.
  Checked<void> guest_releases() const;

  // ---- the device's answers ---------------------------------------------------------------------
  BusResult<void> device_opened(bool ok);
  BusResult<NextStep> device_closed();
  // OK: RESCIND is due, unless the channel was withheld; then it is gone.
  BusResult<void> host_rescinds();

  // The predecessor is gone: OFFER_CHANNEL is due.
  void stop_withholding();

  State state() const { return state_; }
  const proto::OfferChannel& offer() const { return offer_; }
  proto::Relid relid() const { return offer_.relid; }
  std::optional<proto::Relid> predecessor() const { return predecessor_; }
  // The last OPEN_CHANNEL that was started. REQUIRES: there was one.
  const OpenRequest& request() const { return *request_; }
  // The device uses the rings of request(): their GPADL cannot go.
  bool holds_rings() const;
  bool known_to_guest() const { return state_ != State::kWithheld; }

 private:
  proto::OfferChannel offer_;
  std::optional<proto::Relid> predecessor_;
  State state_;
  std::optional<OpenRequest> request_;
  std::optional<OpenRequest> next_request_;  // set exactly in Reopening
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_CHANNEL_H_
