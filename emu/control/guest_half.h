// GuestHalf: the guest's end of the VMBus, as a Linux kernel plays it. Takes the host's messages,
// byte for byte, and the wishes of the guest's socket driver; returns what is to be done. Pure: no
// I/O, clock, lock or thread.
//
// Its owner (emu/guest_side.h) carries the effects out, in order.
//
//                   contact     VERSION_RESPONSE    ALL_OFFERS_  unload         UNLOAD_
//                               yes | no            DELIVERED                   COMPLETE
// Disconnected      Connecting  unexpected          unexpected   reported       unexpected
// Connecting        -           RequestingOffers |  unexpected   once answered  unexpected
//                               next, Disconnected
// RequestingOffers  -           unexpected          Connected    Disconnecting  unexpected
// Connected         -           unexpected          unexpected   Disconnecting  unexpected
// Disconnecting     refused     ignored             ignored      -              Disconnected
//
// Trust       The host may send anything. What is wrong is refused (Reject) and changes nothing.
// Versions    As in Linux: from the newest asked for down to 2.4, one INITIATE_CONTACT each.
#ifndef VMBUS_EMU_CONTROL_GUEST_HALF_H_
#define VMBUS_EMU_CONTROL_GUEST_HALF_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>

#include "emu/bus_error.h"
#include "emu/control/effect.h"
#include "emu/control/guest_channel.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/messages.h"
#include "emu/protocol/version.h"

namespace vmbus::emu {

struct GuestConfig {
  // What this guest makes use of; asked for where the version has features.
  static constexpr proto::FeatureFlags kWantedFeatures =
      proto::FeatureFlags{proto::Feature::kGuestSpecifiedSignalParameters} |
      proto::Feature::kClientId;

  proto::ProtocolVersion newest = proto::ProtocolVersion::kV5_3;
  proto::Guid client_id{};
};

class GuestHalf {
 public:
  enum class State : std::uint8_t {
    kDisconnected,
    kConnecting,
    kRequestingOffers,
    kConnected,
    kDisconnecting,
  };

  explicit GuestHalf(const GuestConfig& config) : config_(config) {}

  // ---- the host ---------------------------------------------------------------------------------
  void receive(std::span<const std::byte> bytes, GuestEffects& effects);
  // The channel that an event flag stands for; nullopt: none that is open.
  std::optional<proto::Relid> open_channel_of(proto::EventFlag flag) const;

  // ---- the driver -------------------------------------------------------------------------------
  void contact(GuestEffects& effects);
  void unload(GuestEffects& effects);
  BusResult<void> tl_connect(const proto::Guid& endpoint, const proto::Guid& service,
                             GuestEffects& effects);
  // `pages`: both rings, guest-to-host first. FreeRings returns them. After an error they are the
  // caller's.
  BusResult<void> open(proto::Relid relid, std::span<const proto::Pfn> pages,
                       std::uint32_t guest_to_host_pages, GuestEffects& effects);
  BusResult<void> close(proto::Relid relid, GuestEffects& effects);
  BusResult<void> refuse(proto::Relid relid, GuestEffects& effects);
  // Where the guest signals the channel; nullopt: it is not open.
  std::optional<proto::ConnectionId> signal_connection(proto::Relid relid) const;

  State state() const { return state_; }
  static const char* state_name(State state);
  // Valid from VERSION_RESPONSE to UNLOAD_COMPLETE.
  const std::optional<proto::Negotiated>& negotiated() const { return negotiated_; }
  const GuestChannel* find(proto::Relid relid) const;
  std::size_t channel_count() const { return channels_.size(); }

 private:
  void on(const proto::VersionResponse& message, GuestEffects& effects);
  void on(const proto::VersionResponse2& message, GuestEffects& effects);
  void on(const proto::VersionResponse3& message, GuestEffects& effects);
  void on(const proto::OfferChannel& message, GuestEffects& effects);
  void on(const proto::AllOffersDelivered& message, GuestEffects& effects);
  void on(const proto::RescindChannelOffer& message, GuestEffects& effects);
  void on(const proto::OpenChannelResult& message, GuestEffects& effects);
  void on(const proto::GpadlCreated& message, GuestEffects& effects);
  void on(const proto::GpadlTorndown& message, GuestEffects& effects);
  void on(const proto::TlConnectResult& message, GuestEffects& effects);
  void on(const proto::UnloadComplete& message, GuestEffects& effects);

  void ask_for(proto::ProtocolVersion version, GuestEffects& effects);
  void answered(const proto::VersionResponse& response, proto::FeatureFlags granted,
                GuestEffects& effects);
  void refused(GuestEffects& effects);
  void disconnected(GuestEffects& effects);
  std::optional<ProtocolError> offer_error(const proto::OfferChannel& offer) const;
  proto::EventFlag choose_flag(proto::Relid relid) const;
  proto::GpadlId choose_gpadl();

  bool usable() const { return state_ == State::kRequestingOffers || state_ == State::kConnected; }
  GuestOutput output(GuestEffects& effects) const { return {message_connection_, effects}; }
  GuestChannel* channel(proto::Relid relid);
  // After whatever happened to a channel: forgets the ids it has no use for any more, and itself
  // when it is gone.
  void settle(GuestChannel& named, const std::optional<GuestChannel::Rings>& rings_before);
  // Gives a message to the channel it names.
  template <typename Handler>
  void pass_on(proto::Relid relid, GuestEffects& effects, Handler handle);
  template <typename Handler>
  BusResult<void> with_channel(proto::Relid relid, Handler handle);

  GuestConfig config_;
  State state_ = State::kDisconnected;
  proto::ProtocolVersion asked_{};  // in Connecting
  std::optional<proto::Negotiated> negotiated_;
  proto::ConnectionId message_connection_ = proto::kMessageConnection;
  bool unload_wanted_ = false;  // in Connecting
  std::map<proto::Relid, GuestChannel> channels_;
  // Offers given back unopened: a rescind may have been on its way, and is no mistake of the host.
  std::unordered_set<proto::Relid> refused_;
  std::unordered_map<proto::GpadlId, proto::Relid> gpadls_;
  std::map<proto::EventFlag, proto::Relid> flag_owners_;
  proto::GpadlId next_gpadl_{0xE1E10};  // where Linux starts
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_GUEST_HALF_H_
