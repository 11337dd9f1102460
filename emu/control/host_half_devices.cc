// HostHalf, the devices' side: offers, answers to opens and closes, rescinds.
#include <algorithm>
#include <cassert>

#include "emu/control/host_half.h"

namespace vmbus::emu {

using proto::Feature;

BusResult<proto::Relid> HostHalf::offer(const proto::OfferChannel& offer, HostEffects& effects) {
  if (!offers_requested_) return tl::unexpected(BusError::kNotConnected);
  const auto channel = channels_.add(offer);
  if (!channel) return tl::unexpected(channel.error());
  if ((*channel)->known_to_guest()) send_offer(**channel, effects);
  return (*channel)->relid();
}

BusResult<proto::Relid> HostHalf::offer_hvsock(const proto::Guid& service,
                                               const proto::Guid& endpoint,
                                               proto::HvsockInitiator initiator,
                                               HostEffects& effects) {
  if (!offers_requested_) return tl::unexpected(BusError::kNotConnected);
  const bool guest_dialled = initiator == proto::HvsockInitiator::kGuest;
  const bool has_request =
      std::ranges::find(connect_requests_, ConnectRequest(endpoint, service)) !=
      connect_requests_.end();
  if (guest_dialled && !has_request) return tl::unexpected(BusError::kWrongState);

  proto::HvsockParameters parameters{.initiator = initiator};
  parameters.version = proto::has_silos(connection_.negotiated()->version)
                           ? proto::kHvsockParametersRs5
                           : proto::kHvsockParametersPreRs5;
  const auto relid =
      offer(proto::make_hvsock_offer(proto::Relid{}, service, endpoint, parameters), effects);
  if (relid && guest_dialled) take_connect_request(endpoint, service);
  return relid;
}

void HostHalf::refuse_connect(const proto::Guid& endpoint, const proto::Guid& service,
                              HostEffects& effects) {
  if (!take_connect_request(endpoint, service)) return;  // asked before the guest unloaded
  if (!proto::exists(proto::MessageType::kTlConnectResult, connection_.negotiated())) return;
  send(proto::TlConnectResult{.endpoint_id = endpoint,
                              .service_id = service,
                              .status = proto::kStatusConnectionRefused},
       effects);
}

BusResult<void> HostHalf::complete_open(proto::Relid relid, bool ok, HostEffects& effects) {
  Channel* channel = channels_.find(relid);
  if (channel == nullptr) return tl::unexpected(BusError::kUnknownChannel);
  if (channel->state() != Channel::State::kOpening) return tl::unexpected(BusError::kWrongState);
  if (!ok) let_go_of_rings(relid, channel->request().ring_gpadl, effects);
  finish_open(*channel, ok, effects);
  return {};
}

BusResult<void> HostHalf::complete_close(proto::Relid relid, HostEffects& effects) {
  Channel* channel = channels_.find(relid);
  if (channel == nullptr) return tl::unexpected(BusError::kUnknownChannel);
  if (!channel->holds_rings()) return tl::unexpected(BusError::kWrongState);
  const proto::GpadlId rings = channel->request().ring_gpadl;
  const auto step = channel->device_closed();
  if (!step) return tl::unexpected(step.error());
  let_go_of_rings(relid, rings, effects);
  if (*step == NextStep::kStartOpen) start_open(*channel, effects);
  return {};
}

BusResult<void> HostHalf::rescind(proto::Relid relid, HostEffects& effects) {
  Channel* channel = channels_.find(relid);
  if (channel == nullptr) return tl::unexpected(BusError::kUnknownChannel);
  if (!channel->known_to_guest()) {
    remove(relid, effects);
    return {};
  }
  const bool held_rings = channel->holds_rings();
  const BusResult<void> rescinded = channel->host_rescinds();
  if (!rescinded) return rescinded;
  if (held_rings) let_go_of_rings(relid, channel->request().ring_gpadl, effects);
  send(proto::RescindChannelOffer{.relid = relid}, effects);
  return {};
}

bool HostHalf::is_open(proto::Relid relid) const {
  const Channel* channel = channels_.find(relid);
  return channel != nullptr && channel->state() == Channel::State::kOpen;
}

bool HostHalf::take_connect_request(const proto::Guid& endpoint, const proto::Guid& service) {
  const auto found = std::ranges::find(connect_requests_, ConnectRequest(endpoint, service));
  if (found == connect_requests_.end()) return false;
  connect_requests_.erase(found);
  return true;
}

void HostHalf::finish_open(Channel& channel, bool ok, HostEffects& effects) {
  const OpenRequest& request = channel.request();
  [[maybe_unused]] const auto done = channel.device_opened(ok);
  assert(done.has_value());
  send(proto::OpenChannelResult{.relid = channel.relid(),
                                .open_id = request.open_id,
                                .status = ok ? proto::kStatusSuccess : proto::kStatusUnsuccessful},
       effects);
}

// Order: nobody signals, nobody touches the pages, then the guest may have them.
void HostHalf::let_go_of_rings(proto::Relid relid, proto::GpadlId rings, HostEffects& effects) {
  effects.push_back(DisconnectSignals{.relid = relid});
  effects.push_back(UnmapRings{.relid = relid});
  if (gpadls_.rings_let_go(relid, rings)) send(proto::GpadlTorndown{.gpadl_id = rings}, effects);
}

void HostHalf::send_offer(const Channel& channel, HostEffects& effects) {
  using enum proto::OfferFlag;
  proto::OfferFlags not_granted;
  if (!connection_.has(Feature::kConfidentialChannels)) {
    not_granted = proto::OfferFlags{kConfidentialRingBuffer} | kConfidentialExternalMemory;
  }
  if (!connection_.has(Feature::kGpaPinning)) not_granted = not_granted | kRequirePinnedMemory;
  proto::OfferChannel message = channel.offer();
  message.flags = message.flags.without(not_granted);
  send(message, effects);
}

}  // namespace vmbus::emu
