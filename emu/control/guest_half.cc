#include "emu/control/guest_half.h"

#include <algorithm>
#include <variant>

#include "emu/protocol/hvsock_offer.h"

namespace vmbus::emu {
namespace {

using enum ProtocolError;
using proto::Feature;
using proto::ProtocolVersion;

constexpr ProtocolVersion kOldestAskedFor = ProtocolVersion::kV2_4;

void reject(ProtocolError error, std::optional<proto::Relid> relid, GuestEffects& effects) {
  effects.push_back(Reject{.error = error, .relid = relid});
}

std::optional<ProtocolVersion> newest_below(ProtocolVersion bound) {
  const auto next = std::ranges::find_if(proto::kVersionsNewestFirst,
                                         [&](ProtocolVersion version) { return version < bound; });
  const bool found = next != proto::kVersionsNewestFirst.end() && *next >= kOldestAskedFor;
  return found ? std::optional(*next) : std::nullopt;
}

}  // namespace

const char* GuestHalf::state_name(State state) {
  switch (state) {
    case State::kDisconnected:
      return "disconnected";
    case State::kConnecting:
      return "connecting";
    case State::kRequestingOffers:
      return "requesting offers";
    case State::kConnected:
      return "connected";
    case State::kDisconnecting:
      return "disconnecting";
  }
  return "unknown";
}

// ---- contact ------------------------------------------------------------------------------------

void GuestHalf::contact(GuestEffects& effects) {
  switch (state_) {
    case State::kDisconnected:
      if (config_.newest < kOldestAskedFor) {
        refused(effects);
      } else {
        ask_for(config_.newest, effects);
      }
      break;
    case State::kDisconnecting:
      effects.push_back(ReportContact{.connected = false});
      break;
    case State::kConnecting:
    case State::kRequestingOffers:
    case State::kConnected:
      break;
  }
}

void GuestHalf::ask_for(ProtocolVersion version, GuestEffects& effects) {
  state_ = State::kConnecting;
  asked_ = version;
  proto::InitiateContact contact{.requested_version = static_cast<std::uint32_t>(version)};
  const bool names_sint = proto::has_message_connection_id(version);
  if (names_sint) contact.target_info.sint = proto::kVmbusSint;
  message_connection_ =
      names_sint ? proto::kMulticlientMessageConnection : proto::kMessageConnection;
  if (proto::has_features(version)) {
    contact.target_info.features = GuestConfig::kWantedFeatures;
    output(effects).send(
        proto::InitiateContact2{.contact = contact, .client_id = config_.client_id});
  } else {
    output(effects).send(contact);
  }
}

void GuestHalf::on(const proto::VersionResponse& message, GuestEffects& effects) {
  answered(message, {}, effects);
}
void GuestHalf::on(const proto::VersionResponse2& message, GuestEffects& effects) {
  answered(message.response, message.features, effects);
}
void GuestHalf::on(const proto::VersionResponse3& message, GuestEffects& effects) {
  on(message.response, effects);
}

void GuestHalf::answered(const proto::VersionResponse& response, proto::FeatureFlags granted,
                         GuestEffects& effects) {
  if (state_ != State::kConnecting) {
    reject(kUnexpectedMessage, std::nullopt, effects);
    return;
  }
  if (response.version_supported == 0 ||
      response.connection_state != proto::ConnectionState::kSuccessful) {
    const auto next = newest_below(asked_);
    if (next && !unload_wanted_) {
      ask_for(*next, effects);
    } else {
      refused(effects);
    }
    return;
  }
  // What was not asked for is not used, whatever the host says.
  const proto::FeatureFlags wanted =
      proto::has_features(asked_) ? GuestConfig::kWantedFeatures : proto::kNoFeature;
  negotiated_ = proto::Negotiated{.version = asked_, .features = wanted & granted};
  message_connection_ = proto::has_message_connection_id(asked_)
                            ? proto::ConnectionId{response.version_or_connection_id}
                            : proto::kMessageConnection;
  state_ = State::kRequestingOffers;
  if (unload_wanted_) {
    unload(effects);
  } else {
    output(effects).send(proto::RequestOffers{});
  }
}

void GuestHalf::refused(GuestEffects& effects) {
  effects.push_back(ReportContact{.connected = false});
  const bool unload_wanted = unload_wanted_;
  state_ = State::kDisconnected;
  unload_wanted_ = false;
  if (unload_wanted) effects.push_back(ReportUnloaded{});
}

void GuestHalf::on(const proto::AllOffersDelivered&, GuestEffects& effects) {
  if (state_ != State::kRequestingOffers) {
    reject(kUnexpectedMessage, std::nullopt, effects);
    return;
  }
  state_ = State::kConnected;
  effects.push_back(ReportContact{.connected = true});
}

void GuestHalf::unload(GuestEffects& effects) {
  switch (state_) {
    case State::kDisconnected:
      effects.push_back(ReportUnloaded{});
      break;
    case State::kConnecting:
      unload_wanted_ = true;
      break;
    case State::kRequestingOffers:
    case State::kConnected:
      output(effects).send(proto::Unload{});
      state_ = State::kDisconnecting;
      break;
    case State::kDisconnecting:
      break;
  }
}

void GuestHalf::on(const proto::UnloadComplete&, GuestEffects& effects) {
  if (state_ != State::kDisconnecting) {
    reject(kUnexpectedMessage, std::nullopt, effects);
    return;
  }
  disconnected(effects);
  effects.push_back(ReportUnloaded{});
}

// The host has let go of everything.
void GuestHalf::disconnected(GuestEffects& effects) {
  for (const auto& [relid, channel] : channels_) {
    if (channel.rings()) effects.push_back(FreeRings{.relid = relid});
  }
  channels_.clear();
  refused_.clear();
  gpadls_.clear();
  flag_owners_.clear();
  negotiated_.reset();
  unload_wanted_ = false;
  state_ = State::kDisconnected;
}

// ---- the host -----------------------------------------------------------------------------------

void GuestHalf::receive(std::span<const std::byte> bytes, GuestEffects& effects) {
  const proto::DecodeResult decoded =
      proto::decode(bytes, proto::Direction::kHostToGuest, negotiated_);
  if (const auto* error = std::get_if<proto::ParseError>(&decoded)) {
    reject(protocol_error(error->kind), std::nullopt, effects);
    return;
  }
  const auto& message = std::get<proto::Message>(decoded);
  const bool leaving = state_ == State::kDisconnecting;
  if (leaving && proto::type_of(message) != proto::MessageType::kUnloadComplete) return;
  std::visit(
      [&](const auto& typed) {
        if constexpr (requires { this->on(typed, effects); }) {
          this->on(typed, effects);
        } else {  // answers to questions that this guest never asks
          reject(kUnexpectedMessage, proto::relid_of(message), effects);
        }
      },
      message);
}

void GuestHalf::on(const proto::OfferChannel& message, GuestEffects& effects) {
  if (const auto error = offer_error(message)) {
    reject(*error, message.relid, effects);
    return;
  }
  refused_.erase(message.relid);
  const auto same_device = [&](const auto& entry) {
    const GuestChannel::Offer& other = entry.second.offer();
    return other.interface_id == message.interface_id && other.instance_id == message.instance_id;
  };
  if (message.subchannel_index == 0 && std::ranges::any_of(channels_, same_device)) {
    reject(kDuplicateOffer, message.relid, effects);
    output(effects).send(proto::RelidReleased{.relid = message.relid});
    refused_.insert(message.relid);
    return;
  }
  const bool has_driver = proto::is_hvsock_offer(message);
  channels_.try_emplace(message.relid, message, has_driver);
  if (!has_driver) return;
  const proto::HvsockParameters parameters = proto::parse_user_defined(message.user_defined);
  effects.push_back(
      ReportOffer{.relid = message.relid,
                  .service = message.interface_id,
                  .endpoint = message.instance_id,
                  .for_guest_accept = parameters.initiator == proto::HvsockInitiator::kHost});
}

std::optional<ProtocolError> GuestHalf::offer_error(const proto::OfferChannel& offer) const {
  if (offer.relid < proto::kMinRelid || offer.relid > proto::kMaxRelid) return kUnknownChannelId;
  if (channels_.contains(offer.relid)) return kDuplicateOffer;
  return std::nullopt;
}

template <typename Handler>
void GuestHalf::pass_on(proto::Relid relid, GuestEffects& effects, Handler handle) {
  GuestChannel* named = channel(relid);
  if (named == nullptr) {
    reject(kUnknownChannelId, relid, effects);
    return;
  }
  const auto rings_before = named->rings();
  const Checked<void> handled = handle(*named);
  if (!handled) reject(handled.error(), relid, effects);
  settle(*named, rings_before);
}

void GuestHalf::on(const proto::RescindChannelOffer& message, GuestEffects& effects) {
  if (refused_.erase(message.relid) != 0) return;
  pass_on(message.relid, effects,
          [&](GuestChannel& named) { return named.on_rescind(output(effects)); });
}

void GuestHalf::on(const proto::OpenChannelResult& message, GuestEffects& effects) {
  pass_on(message.relid, effects,
          [&](GuestChannel& named) { return named.on_open_result(message, output(effects)); });
}

void GuestHalf::on(const proto::GpadlCreated& message, GuestEffects& effects) {
  const auto gpadl = gpadls_.find(message.gpadl_id);
  if (gpadl == gpadls_.end() || gpadl->second != message.relid) {
    reject(kUnknownGpadlId, message.relid, effects);
    return;
  }
  pass_on(message.relid, effects, [&](GuestChannel& named) {
    return named.on_created(message.status, *negotiated_, output(effects));
  });
}

void GuestHalf::on(const proto::GpadlTorndown& message, GuestEffects& effects) {
  const auto gpadl = gpadls_.find(message.gpadl_id);
  if (gpadl == gpadls_.end()) {
    reject(kUnknownGpadlId, std::nullopt, effects);
    return;
  }
  pass_on(gpadl->second, effects,
          [&](GuestChannel& named) { return named.on_torndown(output(effects)); });
}

void GuestHalf::on(const proto::TlConnectResult& message, GuestEffects& effects) {
  if (message.status.ok()) {  // success is an offer, never a result
    reject(kUnexpectedMessage, std::nullopt, effects);
    return;
  }
  effects.push_back(ReportConnectResult{
      .endpoint = message.endpoint_id, .service = message.service_id, .status = message.status});
}

std::optional<proto::Relid> GuestHalf::open_channel_of(proto::EventFlag flag) const {
  const auto named = flag_owners_.find(flag);
  const GuestChannel* owner = named == flag_owners_.end() ? nullptr : find(named->second);
  if (owner == nullptr || owner->state() != GuestChannel::State::kOpen) return std::nullopt;
  return owner->relid();
}

// ---- the driver ---------------------------------------------------------------------------------

BusResult<void> GuestHalf::tl_connect(const proto::Guid& endpoint, const proto::Guid& service,
                                      GuestEffects& effects) {
  if (!usable()) return tl::unexpected(BusError::kNotConnected);
  if (!proto::exists(proto::MessageType::kTlConnectRequest, negotiated_)) {
    return tl::unexpected(BusError::kWrongState);
  }
  // The short layout, whatever the version: Linux knows no other, and has no silo to name.
  output(effects).send(proto::TlConnectRequest{.endpoint_id = endpoint, .service_id = service});
  return {};
}

template <typename Handler>
BusResult<void> GuestHalf::with_channel(proto::Relid relid, Handler handle) {
  if (!usable()) return tl::unexpected(BusError::kNotConnected);
  GuestChannel* named = channel(relid);
  if (named == nullptr) return tl::unexpected(BusError::kUnknownChannel);
  const auto rings_before = named->rings();
  const BusResult<void> handled = handle(*named);
  settle(*named, rings_before);
  return handled;
}

BusResult<void> GuestHalf::open(proto::Relid relid, std::span<const proto::Pfn> pages,
                                std::uint32_t guest_to_host_pages, GuestEffects& effects) {
  return with_channel(relid, [&](GuestChannel& named) {
    const GuestChannel::Rings rings{.gpadl = choose_gpadl(),
                                    .guest_to_host_pages = guest_to_host_pages,
                                    .flag = choose_flag(relid)};
    const BusResult<void> opened = named.open(rings, pages, output(effects));
    if (!opened) return opened;
    gpadls_.emplace(rings.gpadl, relid);
    flag_owners_.emplace(rings.flag, relid);
    return opened;
  });
}

BusResult<void> GuestHalf::close(proto::Relid relid, GuestEffects& effects) {
  return with_channel(relid, [&](GuestChannel& named) { return named.close(output(effects)); });
}

BusResult<void> GuestHalf::refuse(proto::Relid relid, GuestEffects& effects) {
  const BusResult<void> refused =
      with_channel(relid, [&](GuestChannel& named) { return named.refuse(output(effects)); });
  if (refused) refused_.insert(relid);
  return refused;
}

// The relid, unless the guest may choose; then the lowest that is free.
proto::EventFlag GuestHalf::choose_flag(proto::Relid relid) const {
  if (!negotiated_->features.contains(Feature::kGuestSpecifiedSignalParameters)) {
    return proto::EventFlag{static_cast<std::uint16_t>(relid.value)};
  }
  proto::EventFlag flag{1};  // there are as many flags as relids
  while (flag_owners_.contains(flag)) ++flag.value;
  return flag;
}

proto::GpadlId GuestHalf::choose_gpadl() {
  while (gpadls_.contains(next_gpadl_)) ++next_gpadl_.value;
  return proto::GpadlId{next_gpadl_.value++};
}

std::optional<proto::ConnectionId> GuestHalf::signal_connection(proto::Relid relid) const {
  const GuestChannel* named = find(relid);
  if (named == nullptr || named->state() != GuestChannel::State::kOpen) return std::nullopt;
  return named->offer().connection_id;
}

const GuestChannel* GuestHalf::find(proto::Relid relid) const {
  const auto found = channels_.find(relid);
  return found == channels_.end() ? nullptr : &found->second;
}

GuestChannel* GuestHalf::channel(proto::Relid relid) {
  const auto found = channels_.find(relid);
  return found == channels_.end() ? nullptr : &found->second;
}

void GuestHalf::settle(GuestChannel& named,
                       const std::optional<GuestChannel::Rings>& rings_before) {
  if (rings_before && !named.rings()) {
    gpadls_.erase(rings_before->gpadl);
    flag_owners_.erase(rings_before->flag);
  }
  if (named.state() == GuestChannel::State::kGone) channels_.erase(named.relid());
}

}  // namespace vmbus::emu
