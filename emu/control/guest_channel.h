// GuestChannel: the life of one channel, seen from the guest. Pure: speaks through GuestOutput.
//
//              driver      GPADL_CREATED  OPEN_RESULT     driver         TORNDOWN    RESCIND
//              opens       ok | failed    ok | failed     closes
// Offered      Creating    unexpected     unexpected      Dropped        unexpected  gone
// Creating     WrongState  Opening|back   unexpected      (dropped)      unexpected  (rescinded)
// Opening      WrongState  unexpected     Open|Tearing    (dropped)      unexpected  gone
// Open         WrongState  unexpected     unexpected      Tearing|gone   unexpected  (rescinded)
// Tearing      WrongState  unexpected     unexpected      (dropped)      back        (rescinded)
// Dropped      WrongState  unexpected     unexpected      Unknown        unexpected  gone
//
// back: Offered; a channel that could not be opened may be tried again.
// (dropped): the state stays until the answer that is due has come. Then Tearing, or Dropped.
// (rescinded): likewise, then gone. An open channel waits for its driver to close it.
// gone: RELID_RELEASED goes out, and the channel leaves the table.
// unexpected: the host's error; the state stays. So is a second RESCIND.
//
// When do the pages return? With GPADL_TORNDOWN, or after a RESCIND: a host stops touching the
// rings before it sends that, so no teardown follows.
#ifndef VMBUS_EMU_CONTROL_GUEST_CHANNEL_H_
#define VMBUS_EMU_CONTROL_GUEST_CHANNEL_H_

#include <cstdint>
#include <optional>
#include <span>

#include "emu/bus_error.h"
#include "emu/control/effect.h"
#include "emu/protocol/channel_messages.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/messages.h"
#include "emu/protocol/version.h"

namespace vmbus::emu {

// Where a guest's messages and reports go.
class GuestOutput {
 public:
  GuestOutput(proto::ConnectionId connection, GuestEffects& effects)
      : connection_(connection), effects_(effects) {}

  void send(const proto::Message& message) const { post(proto::encode(message)); }
  void post(const proto::EncodedMessage& message) const {
    effects_.push_back(Post{.connection = connection_, .message = message});
  }
  void add(const GuestEffect& effect) const { effects_.push_back(effect); }

 private:
  proto::ConnectionId connection_;
  GuestEffects& effects_;
};

class GuestChannel {
 public:
  enum class State : std::uint8_t {
    kOffered,
    kCreating,
    kOpening,
    kOpen,
    kTearingDown,
    kDropped,
    kGone
  };

  // A ring pair in the guest's memory, and how the host is to signal it.
  struct Rings {
    proto::GpadlId gpadl{};
    std::uint32_t guest_to_host_pages = 0;
    proto::EventFlag flag{};
  };

  // What is still needed of an OFFER_CHANNEL.
  struct Offer {
    proto::Guid interface_id{};
    proto::Guid instance_id{};
    proto::Relid relid{};
    proto::ConnectionId connection_id{};
  };

  // `has_driver`: false for a device that nobody here drives; it is dropped at once.
  GuestChannel(const proto::OfferChannel& offer, bool has_driver);

  // ---- the driver -------------------------------------------------------------------------------
  BusResult<void> open(const Rings& rings, std::span<const proto::Pfn> pages,
                       const GuestOutput& out);
  BusResult<void> close(const GuestOutput& out);
  BusResult<void> refuse(const GuestOutput& out);

  // ---- the host's messages ----------------------------------------------------------------------
  Checked<void> on_created(proto::Status status, const proto::Negotiated& negotiated,
                           const GuestOutput& out);
  Checked<void> on_open_result(const proto::OpenChannelResult& result, const GuestOutput& out);
  Checked<void> on_torndown(const GuestOutput& out);
  Checked<void> on_rescind(const GuestOutput& out);

  State state() const { return state_; }
  const Offer& offer() const { return offer_; }
  proto::Relid relid() const { return offer_.relid; }
  // Set while the pages are in use.
  const std::optional<Rings>& rings() const { return rings_; }

 private:
  void send_open(const proto::Negotiated& negotiated, const GuestOutput& out) const;
  void tear_down(const GuestOutput& out);
  void fail_open(const GuestOutput& out) const;
  void free_rings(const GuestOutput& out);
  void release(const GuestOutput& out);

  Offer offer_;
  State state_;
  std::optional<Rings> rings_;
  bool dropped_;  // the driver has let go: it hears no more
  bool rescinded_ = false;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_GUEST_CHANNEL_H_
