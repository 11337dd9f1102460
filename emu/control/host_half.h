// HostHalf: the host's end of the VMBus. Takes the guest's messages, byte for byte, and the wishes
// of the host's devices; returns what is to be done. Pure: no I/O, clock, lock or thread.
//
// Its owner (emu/host_side.h) carries the effects out, in order, and passes on devices' answers.
//
// Trust       A message may hold anything. What is wrong with it costs the guest that message
//             (Reject) and gives the answer that docs/protocol.md, "What is refused", names;
//             nothing else changes.
// Memory      Bounded by 2,047 channels and GpadlTable::kMaxWords, whatever the guest sends.
// Left out    Reserved channels (for firmware that must talk after an unload) and subchannels: an
//             hvsocket channel has no use for either. A reserved open is answered with a failure.
#ifndef VMBUS_EMU_CONTROL_HOST_HALF_H_
#define VMBUS_EMU_CONTROL_HOST_HALF_H_

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "emu/bus_error.h"
#include "emu/control/channel.h"
#include "emu/control/channel_table.h"
#include "emu/control/effect.h"
#include "emu/control/gpadl.h"
#include "emu/control/host_connection.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/hvsock_offer.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/messages.h"

namespace vmbus::emu {

class HostHalf {
 public:
  // So many TL_CONNECT_REQUESTs may wait for their answer; then the host reads no more messages.
  static constexpr std::size_t kMaxConnectRequests = 16;

  explicit HostHalf(const HostConfig& config);

  // ---- the guest --------------------------------------------------------------------------------
  // A message, and the connection through which it was posted. REQUIRES: accepts_messages().
  void receive(proto::ConnectionId via, std::span<const std::byte> bytes, HostEffects& effects);
  bool accepts_messages() const { return connect_requests_.size() < kMaxConnectRequests; }

  // ---- the devices ------------------------------------------------------------------------------
  // OFFER_CHANNEL; flags that the connection's features do not cover are cleared.
  BusResult<proto::Relid> offer(const proto::OfferChannel& offer, HostEffects& effects);
  // As `offer`. If the guest dialled (HvsockInitiator::kGuest), this answers its request:
  // kWrongState without one.
  BusResult<proto::Relid> offer_hvsock(const proto::Guid& service, const proto::Guid& endpoint,
                                       proto::HvsockInitiator initiator, HostEffects& effects);
  // TL_CONNECT_RESULT, which exists from 4.1; before, a refused guest is not told.
  void refuse_connect(const proto::Guid& endpoint, const proto::Guid& service,
                      HostEffects& effects);
  BusResult<void> complete_open(proto::Relid relid, bool ok, HostEffects& effects);
  BusResult<void> complete_close(proto::Relid relid, HostEffects& effects);
  // REQUIRES: the device touches the rings no more.
  BusResult<void> rescind(proto::Relid relid, HostEffects& effects);

  bool is_open(proto::Relid relid) const;
  const HostConnection& connection() const { return connection_; }
  const ChannelTable& channels() const { return channels_; }
  const GpadlTable& gpadls() const { return gpadls_; }

 private:
  using ConnectRequest = std::pair<proto::Guid, proto::Guid>;  // endpoint, service

  // One handler a message that a guest may send.
  void on(const proto::InitiateContact& message, HostEffects& effects);
  void on(const proto::InitiateContact2& message, HostEffects& effects);
  void on(const proto::RequestOffers& message, HostEffects& effects);
  void on(const proto::OpenChannel& message, HostEffects& effects);
  void on(const proto::OpenChannel2& message, HostEffects& effects);
  void on(const proto::CloseChannel& message, HostEffects& effects);
  void on(const proto::WithTail<proto::GpadlHeader>& message, HostEffects& effects);
  void on(const proto::WithTail<proto::GpadlBody>& message, HostEffects& effects);
  void on(const proto::GpadlTeardown& message, HostEffects& effects);
  void on(const proto::RelidReleased& message, HostEffects& effects);
  void on(const proto::Unload& message, HostEffects& effects);
  void on(const proto::OpenReservedChannel& message, HostEffects& effects);
  void on(const proto::CloseReservedChannel& message, HostEffects& effects);
  void on(const proto::TlConnectRequest& message, HostEffects& effects);
  void on(const proto::TlConnectRequest2& message, HostEffects& effects);
  void on(const proto::ModifyChannel& message, HostEffects& effects);
  void on(const proto::Pause& message, HostEffects& effects);
  void on(const proto::Resume& message, HostEffects& effects);

  void contact(const proto::InitiateContact2& request, HostEffects& effects);
  void open(Channel& channel, const OpenRequest& request, HostEffects& effects);
  void start_open(Channel& channel, HostEffects& effects);
  std::optional<ProtocolError> open_error(const Channel& channel) const;
  void finish_open(Channel& channel, bool ok, HostEffects& effects);
  void let_go_of_rings(proto::Relid relid, proto::GpadlId rings, HostEffects& effects);
  Checked<void> modify(const proto::ModifyChannel& message, HostEffects& effects);
  void answer_gpadl(proto::Relid relid, proto::GpadlId id, Checked<GpadlTable::Progress> progress,
                    HostEffects& effects);
  void send_offer(const Channel& channel, HostEffects& effects);
  void remove(proto::Relid relid, HostEffects& effects);
  void release_all(HostEffects& effects);
  bool take_connect_request(const proto::Guid& endpoint, const proto::Guid& service);
  // The channel as the guest knows it; null: UnknownChannelId, and Reject has been added.
  Channel* known_channel(proto::Relid relid, HostEffects& effects);
  void send(const proto::Message& message, HostEffects& effects) {
    connection_.send(message, effects);
  }

  HostConfig config_;
  HostConnection connection_;
  ChannelTable channels_;
  GpadlTable gpadls_;
  std::vector<ConnectRequest> connect_requests_;  // neither offered nor refused yet
  bool offers_requested_ = false;
  proto::ConnectionId via_{};  // of the message in hand
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_HOST_HALF_H_
