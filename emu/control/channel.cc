#include "emu/control/channel.h"

#include <utility>

namespace vmbus::emu {

using enum ProtocolError;

Channel::Channel(const proto::OfferChannel& offer, std::optional<proto::Relid> predecessor)
    : offer_(offer),
      predecessor_(predecessor),
      state_(predecessor ? State::kWithheld : State::kOffered) {}

Checked<NextStep> Channel::guest_opens(const OpenRequest& request) {
  switch (state_) {
    case State::kWithheld:
      return tl::unexpected(kUnknownChannelId);
    case State::kOffered:
      request_ = request;
      state_ = State::kOpening;
      return NextStep::kStartOpen;
    case State::kClosing:
      next_request_ = request;
      state_ = State::kReopening;
      return NextStep::kNone;
    case State::kOpening:
    case State::kOpen:
    case State::kReopening:
      return tl::unexpected(kChannelAlreadyOpen);
    case State::kRescinded:
      return NextStep::kNone;
  }
  return tl::unexpected(kInvalidChannelState);
}

Checked<NextStep> Channel::guest_closes() {
  switch (state_) {
    case State::kWithheld:
      return tl::unexpected(kUnknownChannelId);
    case State::kOpen:
      state_ = State::kClosing;
      return NextStep::kStartClose;
    case State::kOffered:
    case State::kOpening:
    case State::kClosing:
    case State::kReopening:
      return tl::unexpected(kChannelNotOpen);
    case State::kRescinded:
      return NextStep::kNone;
  }
  return tl::unexpected(kInvalidChannelState);
}

Checked<void> Channel::guest_modifies(proto::VpIndex target_vp) {
  if (!known_to_guest()) return tl::unexpected(kUnknownChannelId);
  if (state_ != State::kOpen) return tl::unexpected(kInvalidChannelState);
  if (request_->target_vp == proto::kInterruptsDisabled) return tl::unexpected(kInterruptsDisabled);
  request_->target_vp = target_vp;
  return {};
}

Checked<void> Channel::guest_releases() const {
  switch (state_) {
    case State::kWithheld:
      return tl::unexpected(kUnknownChannelId);
    case State::kOffered:
    case State::kClosing:
    case State::kRescinded:
      return {};
    case State::kOpening:
    case State::kOpen:
    case State::kReopening:
      return tl::unexpected(kInvalidChannelState);
  }
  return tl::unexpected(kInvalidChannelState);
}

BusResult<void> Channel::device_opened(bool ok) {
  if (state_ != State::kOpening) return tl::unexpected(BusError::kWrongState);
  state_ = ok ? State::kOpen : State::kOffered;
  return {};
}

BusResult<NextStep> Channel::device_closed() {
  switch (state_) {
    case State::kClosing:
      state_ = State::kOffered;
      return NextStep::kNone;
    case State::kReopening:
      request_ = std::exchange(next_request_, std::nullopt);
      state_ = State::kOpening;
      return NextStep::kStartOpen;
    case State::kWithheld:
    case State::kOffered:
    case State::kOpening:
    case State::kOpen:
    case State::kRescinded:
      return tl::unexpected(BusError::kWrongState);
  }
  return tl::unexpected(BusError::kWrongState);
}

BusResult<void> Channel::host_rescinds() {
  if (state_ == State::kRescinded) return tl::unexpected(BusError::kWrongState);
  next_request_.reset();
  state_ = State::kRescinded;
  return {};
}

void Channel::stop_withholding() {
  predecessor_.reset();
  state_ = State::kOffered;
}

bool Channel::holds_rings() const {
  switch (state_) {
    case State::kOpening:
    case State::kOpen:
    case State::kClosing:
    case State::kReopening:
      return true;
    case State::kWithheld:
    case State::kOffered:
    case State::kRescinded:
      return false;
  }
  return false;
}

}  // namespace vmbus::emu
