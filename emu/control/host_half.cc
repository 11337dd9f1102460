#include "emu/control/host_half.h"

#include <algorithm>
#include <cassert>
#include <utility>
#include <variant>
#include <vector>

#include "emu/event_flags.h"
#include "emu/protocol/gpa_range.h"

namespace vmbus::emu {
namespace {

using enum ProtocolError;
using proto::Feature;
using proto::ProtocolVersion;

void reject(ProtocolError error, std::optional<proto::Relid> relid, HostEffects& effects) {
  effects.push_back(Reject{.error = error, .relid = relid});
}

// A paused guest may wake up, leave or start afresh.
bool legal_while_paused(proto::MessageType type) {
  return type == proto::MessageType::kResume || type == proto::MessageType::kUnload ||
         type == proto::MessageType::kInitiateContact;
}

// What every open says, whatever was negotiated.
OpenRequest request_of(const proto::OpenChannel& message, const proto::OfferChannel& offer) {
  return {.open_id = message.open_id,
          .ring_gpadl = message.ring_gpadl,
          .downstream_page_offset = message.downstream_page_offset,
          .target_vp = message.target_vp,
          .from_guest = offer.connection_id,
          .to_guest = proto::EventFlag{static_cast<std::uint16_t>(offer.relid.value)},
          .redirect_interrupt = false};
}

}  // namespace

HostHalf::HostHalf(const HostConfig& config)
    : config_(config), connection_(config), gpadls_(config.memory_pages) {}

// ---- the guest ----------------------------------------------------------------------------------

void HostHalf::receive(proto::ConnectionId via, std::span<const std::byte> bytes,
                       HostEffects& effects) {
  via_ = via;
  const proto::DecodeResult decoded =
      proto::decode(bytes, proto::Direction::kGuestToHost, connection_.negotiated());
  if (const auto* error = std::get_if<proto::ParseError>(&decoded)) {
    reject(protocol_error(error->kind), std::nullopt, effects);
    return;
  }
  const auto& message = std::get<proto::Message>(decoded);
  if (connection_.paused() && !legal_while_paused(proto::type_of(message))) {
    reject(kPaused, proto::relid_of(message), effects);
    return;
  }
  std::visit(
      [&](const auto& typed) {
        if constexpr (requires { this->on(typed, effects); }) {
          this->on(typed, effects);
        } else {
          assert(false && "decode() lets no message of the host pass as the guest's");
        }
      },
      message);
}

void HostHalf::on(const proto::InitiateContact& message, HostEffects& effects) {
  const auto version = proto::parse_version(message.requested_version);
  if (version && proto::has_features(*version) &&
      message.target_info.features.contains(Feature::kClientId)) {
    reject(kMessageTooSmall, std::nullopt, effects);
    return;
  }
  contact({.contact = message, .client_id = {}}, effects);
}

void HostHalf::on(const proto::InitiateContact2& message, HostEffects& effects) {
  contact(message, effects);
}

void HostHalf::contact(const proto::InitiateContact2& request, HostEffects& effects) {
  if (connection_.is_for_others(via_, request.contact)) {
    connection_.refuse_for_others(request.contact, effects);
    reject(kForeignTarget, std::nullopt, effects);
    return;
  }
  connection_.resume(effects);
  release_all(effects);
  const Checked<void> started = connection_.start(request);
  if (connection_.interrupt_page()) {
    effects.push_back(UseInterruptPage{.page = connection_.interrupt_page()});
  }
  connection_.send_answer(effects);
  if (!started) reject(started.error(), std::nullopt, effects);
}

void HostHalf::on(const proto::RequestOffers&, HostEffects& effects) {
  if (offers_requested_) {
    reject(kOffersAlreadySent, std::nullopt, effects);
    return;
  }
  // Nothing is on offer yet: every channel here is made for one dial, and offer() waits for this
  // message.
  offers_requested_ = true;
  send(proto::AllOffersDelivered{}, effects);
}

void HostHalf::on(const proto::Unload&, HostEffects& effects) {
  connection_.resume(effects);
  release_all(effects);
  if (proto::exists(proto::MessageType::kUnloadComplete, connection_.negotiated())) {
    send(proto::UnloadComplete{}, effects);
  }
  connection_.end();
}

void HostHalf::on(const proto::Pause&, HostEffects& effects) { connection_.pause(effects); }
void HostHalf::on(const proto::Resume&, HostEffects& effects) { connection_.resume(effects); }

void HostHalf::on(const proto::OpenChannel& message, HostEffects& effects) {
  Channel* channel = known_channel(message.relid, effects);
  if (channel != nullptr) open(*channel, request_of(message, channel->offer()), effects);
}

void HostHalf::on(const proto::OpenChannel2& message, HostEffects& effects) {
  Channel* channel = known_channel(message.open.relid, effects);
  if (channel == nullptr) return;
  OpenRequest request = request_of(message.open, channel->offer());
  if (connection_.has(Feature::kGuestSpecifiedSignalParameters)) {
    request.from_guest = message.connection_id;
    request.to_guest = message.event_flag;
  }
  if (connection_.has(Feature::kChannelInterruptRedirection)) {
    request.redirect_interrupt = (message.flags & proto::kOpenRedirectInterrupt) != 0;
  }
  open(*channel, request, effects);
}

void HostHalf::open(Channel& channel, const OpenRequest& request, HostEffects& effects) {
  const auto step = channel.guest_opens(request);
  if (!step) {
    reject(step.error(), channel.relid(), effects);
  } else if (*step == NextStep::kStartOpen) {
    start_open(channel, effects);
  }
}

void HostHalf::start_open(Channel& channel, HostEffects& effects) {
  if (const auto error = open_error(channel)) {
    reject(*error, channel.relid(), effects);
    finish_open(channel, false, effects);
    return;
  }
  const OpenRequest& request = channel.request();
  std::optional<SintTarget> to_guest;
  if (request.target_vp != proto::kInterruptsDisabled) {
    to_guest = SintTarget{.vp = request.target_vp,
                          .sint = request.redirect_interrupt ? kRedirectedSint : proto::kVmbusSint};
  }
  effects.push_back(ConnectSignals{.relid = channel.relid(),
                                   .from_guest = request.from_guest,
                                   .to_guest = to_guest,
                                   .flag = request.to_guest});
  const Gpadl& gpadl = *gpadls_.find_accepted(channel.relid(), request.ring_gpadl);
  std::vector<std::uint64_t> words = gpadl.words();
  words.erase(words.begin());  // the range's head; its page numbers follow
  effects.push_back(OpenDevice{.relid = channel.relid(),
                               .pfns = std::move(words),
                               .guest_to_host_pages = request.downstream_page_offset});
}

std::optional<ProtocolError> HostHalf::open_error(const Channel& channel) const {
  const OpenRequest& request = channel.request();
  const Gpadl* gpadl = gpadls_.find_accepted(channel.relid(), request.ring_gpadl);
  if (gpadl == nullptr ||
      !proto::ring_pages(gpadl->words(), gpadl->range_count(), request.downstream_page_offset)) {
    return kBadRings;
  }
  if (request.target_vp != proto::kInterruptsDisabled &&
      request.target_vp.value >= config_.vp_count) {
    return kBadSignalParameters;
  }
  if (!connection_.has(Feature::kGuestSpecifiedSignalParameters)) return std::nullopt;
  bool taken = request.from_guest == proto::kMessageConnection ||
               request.from_guest == proto::kMulticlientMessageConnection ||
               request.from_guest == proto::kSharedEventConnection;
  channels_.for_each([&](const Channel& other) {
    taken = taken || (&other != &channel && other.holds_rings() &&
                      other.request().from_guest == request.from_guest);
  });
  // Flag 0 stands for the shared interrupt page.
  const bool bad_flag = request.to_guest.value == 0 || request.to_guest.value >= kEventFlagCount;
  return taken || bad_flag ? std::optional(kBadSignalParameters) : std::nullopt;
}

void HostHalf::on(const proto::CloseChannel& message, HostEffects& effects) {
  Channel* channel = known_channel(message.relid, effects);
  if (channel == nullptr) return;
  const auto step = channel->guest_closes();
  if (!step) {
    reject(step.error(), message.relid, effects);
  } else if (*step == NextStep::kStartClose) {
    effects.push_back(CloseDevice{.relid = message.relid});
  }
}

void HostHalf::on(const proto::RelidReleased& message, HostEffects& effects) {
  Channel* channel = known_channel(message.relid, effects);
  if (channel == nullptr) return;
  const auto released = channel->guest_releases();
  if (!released) {
    reject(released.error(), message.relid, effects);
    return;
  }
  remove(message.relid, effects);
}

void HostHalf::on(const proto::ModifyChannel& message, HostEffects& effects) {
  const Checked<void> modified = modify(message, effects);
  if (!modified) reject(modified.error(), message.relid, effects);
  if (!connection_.at_least(ProtocolVersion::kV5_3)) return;
  // Behind RetargetSignals: after this answer nothing reaches the old processor.
  send(proto::ModifyChannelResponse{.relid = message.relid,
                                    .status = modified ? proto::kStatusSuccess
                                                       : proto::kStatusUnsuccessful},
       effects);
}

Checked<void> HostHalf::modify(const proto::ModifyChannel& message, HostEffects& effects) {
  Channel* channel = channels_.find(message.relid);
  if (channel == nullptr) return tl::unexpected(kUnknownChannelId);
  if (message.target_vp.value >= config_.vp_count) return tl::unexpected(kInvalidTargetVp);
  const Checked<void> modified = channel->guest_modifies(message.target_vp);
  if (!modified) return modified;
  effects.push_back(RetargetSignals{.relid = message.relid, .vp = message.target_vp});
  return {};
}

void HostHalf::on(const proto::OpenReservedChannel& message, HostEffects& effects) {
  if (known_channel(message.relid, effects) == nullptr) return;
  reject(kChannelNotReserved, message.relid, effects);
  effects.push_back(
      Deliver{.target = {.vp = message.target_vp,
                         .sint = static_cast<std::uint8_t>(std::min(message.target_sint, 0xFFU))},
              .foreign = true,
              .message = proto::encode(proto::OpenChannelResult{
                  .relid = message.relid, .open_id = {}, .status = proto::kStatusUnsuccessful})});
}

void HostHalf::on(const proto::CloseReservedChannel& message, HostEffects& effects) {
  if (known_channel(message.relid, effects) == nullptr) return;
  reject(kChannelNotReserved, message.relid, effects);
}

// ---- GPADLs -------------------------------------------------------------------------------------

void HostHalf::on(const proto::WithTail<proto::GpadlHeader>& message, HostEffects& effects) {
  const proto::GpadlHeader& header = message.fixed;
  const Channel* channel = channels_.find(header.relid);
  const bool known = channel != nullptr && channel->known_to_guest();
  const Checked<GpadlTable::Progress> progress =
      known ? gpadls_.add(header, message.tail) : tl::unexpected(kUnknownChannelId);
  answer_gpadl(header.relid, header.gpadl_id, progress, effects);
}

void HostHalf::on(const proto::WithTail<proto::GpadlBody>& message, HostEffects& effects) {
  const proto::GpadlId id = message.fixed.gpadl_id;
  const Checked<proto::Relid> relid = gpadls_.channel_of_incomplete(id);
  if (!relid) {
    reject(relid.error(), std::nullopt, effects);  // no answer: its channel is not known
    return;
  }
  answer_gpadl(*relid, id, gpadls_.extend(id, message.tail), effects);
}

// Exactly one GPADL_CREATED a GPADL_HEADER: with its last byte, or with the first mistake.
void HostHalf::answer_gpadl(proto::Relid relid, proto::GpadlId id,
                            Checked<GpadlTable::Progress> progress, HostEffects& effects) {
  if (progress && *progress == GpadlTable::Progress::kNeedsMore) return;
  if (!progress) reject(progress.error(), relid, effects);
  send(proto::GpadlCreated{.relid = relid,
                           .gpadl_id = id,
                           .status = progress ? proto::kStatusSuccess : proto::kStatusUnsuccessful},
       effects);
}

void HostHalf::on(const proto::GpadlTeardown& message, HostEffects& effects) {
  Channel* channel = known_channel(message.relid, effects);
  if (channel == nullptr) return;
  const bool holds_rings =
      channel->holds_rings() && channel->request().ring_gpadl == message.gpadl_id;
  const auto teardown = gpadls_.tear_down(message.relid, message.gpadl_id, holds_rings);
  if (!teardown) {
    reject(teardown.error(), message.relid, effects);
  } else if (*teardown == GpadlTable::Teardown::kDone) {
    send(proto::GpadlTorndown{.gpadl_id = message.gpadl_id}, effects);
  }
}

// ---- hvsocket -----------------------------------------------------------------------------------

void HostHalf::on(const proto::TlConnectRequest& message, HostEffects& effects) {
  connect_requests_.emplace_back(message.endpoint_id, message.service_id);
  effects.push_back(AskListener{.endpoint = message.endpoint_id, .service = message.service_id});
}

// The silo of the long layout names a container in the guest's world; there are none here.
void HostHalf::on(const proto::TlConnectRequest2& message, HostEffects& effects) {
  on(message.request, effects);
}

// ---- ends of channels ---------------------------------------------------------------------------

void HostHalf::remove(proto::Relid relid, HostEffects& effects) {
  if (channels_.find(relid)->holds_rings()) effects.push_back(DisconnectSignals{.relid = relid});
  effects.push_back(ReleaseDevice{.relid = relid});
  effects.push_back(UnmapRings{.relid = relid});
  gpadls_.remove_channel(relid);
  Channel* successor = channels_.remove(relid);
  if (successor == nullptr) return;
  successor->stop_withholding();
  send_offer(*successor, effects);
}

void HostHalf::release_all(HostEffects& effects) {
  channels_.for_each([&](const Channel& channel) {
    if (channel.holds_rings()) effects.push_back(DisconnectSignals{.relid = channel.relid()});
    effects.push_back(ReleaseDevice{.relid = channel.relid()});
    effects.push_back(UnmapRings{.relid = channel.relid()});
  });
  if (connection_.interrupt_page()) effects.push_back(UseInterruptPage{.page = std::nullopt});
  channels_ = ChannelTable{};
  gpadls_.clear();
  connect_requests_.clear();
  offers_requested_ = false;
}

Channel* HostHalf::known_channel(proto::Relid relid, HostEffects& effects) {
  Channel* channel = channels_.find(relid);
  if (channel != nullptr && channel->known_to_guest()) return channel;
  reject(kUnknownChannelId, relid, effects);
  return nullptr;
}

}  // namespace vmbus::emu
