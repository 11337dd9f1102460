#include "emu/control/host_connection.h"

#include <utility>

namespace vmbus::emu {
namespace {

using enum ProtocolError;

bool page_aligned(proto::Gpa address) { return address.value % proto::kPageBytes == 0; }

}  // namespace

std::optional<proto::ProtocolVersion> HostConnection::supported(std::uint32_t requested) const {
  const auto version = proto::parse_version(requested);
  return version && *version <= config_.newest ? version : std::nullopt;
}

bool HostConnection::is_for_others(proto::ConnectionId via,
                                   const proto::InitiateContact& contact) const {
  const auto version = proto::parse_version(contact.requested_version);
  if (!version || via != proto::kMulticlientMessageConnection) return false;
  const bool other_sint =
      proto::has_message_connection_id(*version) && contact.target_info.sint != proto::kVmbusSint;
  const bool other_vtl = proto::has_target_vtl(*version) && contact.target_info.vtl != 0;
  return other_sint || other_vtl;
}

void HostConnection::refuse_for_others(const proto::InitiateContact& contact,
                                       HostEffects& effects) const {
  if (contact.target_info.sint == proto::kVmbusSint) return;
  const SintTarget target{.vp = contact.target_vp, .sint = contact.target_info.sint};
  effects.push_back(Deliver{
      .target = target, .foreign = true, .message = proto::encode(proto::VersionResponse{})});
}

bool HostConnection::can_be_set_up(proto::ProtocolVersion version,
                                   const proto::InitiateContact& contact) const {
  const bool has_parent_page = contact.parent_to_child_page.value != 0;
  const bool has_child_page = contact.child_to_parent_page.value != 0;
  if (has_parent_page != has_child_page) return false;
  if (proto::honours_target_vp(version) && contact.target_vp.value >= config_.vp_count) {
    return false;
  }
  if (!proto::has_interrupt_page(version)) return true;
  const proto::Gpa page = contact.interrupt_page();
  return page_aligned(page) && page.value / proto::kPageBytes < config_.memory_pages;
}

Checked<void> HostConnection::start(const proto::InitiateContact2& request) {
  end();
  answer_ = proto::VersionResponse{};
  const proto::InitiateContact& contact = request.contact;
  const auto version = supported(contact.requested_version);
  if (!version) return tl::unexpected(kUnsupportedVersion);
  proto::VersionResponse answer;
  if (!can_be_set_up(*version, contact)) {
    if (proto::reports_connection_state(*version)) {
      answer.version_supported = 1;
      answer.connection_state = proto::ConnectionState::kFailedUnknown;
    }
    answer_ = answer;
    return tl::unexpected(kBadContact);
  }

  negotiated_ = proto::Negotiated{.version = *version, .features = {}};
  if (proto::honours_target_vp(*version)) target_.vp = contact.target_vp;
  if (proto::has_interrupt_page(*version)) {
    interrupt_page_ = proto::Pfn{contact.interrupt_page().value / proto::kPageBytes};
  }
  answer.version_supported = 1;
  answer.version_or_connection_id = proto::has_message_connection_id(*version)
                                        ? proto::kMessageConnection.value
                                        : contact.requested_version;
  answer_ = answer;
  if (proto::has_features(*version)) {
    proto::FeatureFlags able = HostConfig::kImplementedFeatures;
    if (config_.pins_memory) able = able | proto::Feature::kGpaPinning;
    negotiated_->features = able & contact.target_info.features;
    answer_ = proto::VersionResponse2{.response = answer, .features = negotiated_->features};
  }
  if (has(proto::Feature::kClientId)) client_id_ = request.client_id;
  return {};
}

void HostConnection::send_answer(HostEffects& effects) { send(answer_, effects); }

void HostConnection::end() {
  negotiated_.reset();
  client_id_.reset();
  interrupt_page_.reset();
  target_ = SintTarget{};
}

void HostConnection::pause(HostEffects& effects) {
  send(proto::PauseResponse{}, effects);
  paused_ = true;
}

void HostConnection::resume(HostEffects& effects) {
  paused_ = false;
  for (Deliver& message : kept_) effects.emplace_back(std::move(message));
  kept_.clear();
}

void HostConnection::send(const proto::Message& message, HostEffects& effects) {
  Deliver deliver{.target = target_, .foreign = false, .message = proto::encode(message)};
  if (paused_) {
    kept_.push_back(deliver);
  } else {
    effects.emplace_back(deliver);
  }
}

}  // namespace vmbus::emu
