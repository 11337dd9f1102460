#include "emu/control/guest_channel.h"

#include <array>

#include "emu/protocol/gpa_range.h"

namespace vmbus::emu {
namespace {

using enum ProtocolError;

}  // namespace

GuestChannel::GuestChannel(const proto::OfferChannel& offer, bool has_driver)
    : offer_{.interface_id = offer.interface_id,
             .instance_id = offer.instance_id,
             .relid = offer.relid,
             .connection_id = offer.connection_id},
      state_(has_driver ? State::kOffered : State::kDropped),
      dropped_(!has_driver) {}

// ---- the driver ---------------------------------------------------------------------------------

BusResult<void> GuestChannel::open(const Rings& rings, std::span<const proto::Pfn> pages,
                                   const GuestOutput& out) {
  if (state_ != State::kOffered) return tl::unexpected(BusError::kWrongState);
  rings_ = rings;
  state_ = State::kCreating;
  std::array<std::uint64_t, proto::kMaxRangeBufferWords> buffer;
  proto::GpadlMessages messages(relid(), rings.gpadl, proto::build_page_range(pages, buffer), 1);
  while (const auto message = messages.next()) out.post(*message);
  return {};
}

BusResult<void> GuestChannel::close(const GuestOutput& out) {
  if (dropped_) return tl::unexpected(BusError::kUnknownChannel);
  dropped_ = true;
  switch (state_) {
    case State::kOffered:
      state_ = State::kDropped;
      break;
    case State::kOpen:
      out.send(proto::CloseChannel{.relid = relid()});
      if (rescinded_) {
        release(out);
      } else {
        tear_down(out);
      }
      break;
    case State::kCreating:
    case State::kOpening:
    case State::kTearingDown:
    case State::kDropped:
    case State::kGone:
      break;
  }
  return {};
}

BusResult<void> GuestChannel::refuse(const GuestOutput& out) {
  if (state_ != State::kOffered) return tl::unexpected(BusError::kWrongState);
  release(out);
  return {};
}

// ---- the host's messages ------------------------------------------------------------------------

Checked<void> GuestChannel::on_created(proto::Status status, const proto::Negotiated& negotiated,
                                       const GuestOutput& out) {
  if (state_ != State::kCreating) return tl::unexpected(kUnexpectedMessage);
  if (rescinded_) {
    release(out);
  } else if (!status.ok()) {
    free_rings(out);
    fail_open(out);
    state_ = dropped_ ? State::kDropped : State::kOffered;
  } else if (dropped_) {
    tear_down(out);
  } else {
    send_open(negotiated, out);
    state_ = State::kOpening;
  }
  return {};
}

Checked<void> GuestChannel::on_open_result(const proto::OpenChannelResult& result,
                                           const GuestOutput& out) {
  if (state_ != State::kOpening || result.open_id.value != relid().value) {
    return tl::unexpected(kUnexpectedMessage);
  }
  if (!result.status.ok()) {
    fail_open(out);
    tear_down(out);
  } else if (dropped_) {
    out.send(proto::CloseChannel{.relid = relid()});
    tear_down(out);
  } else {
    state_ = State::kOpen;
    out.add(ReportOpenResult{.relid = relid(), .ok = true});
  }
  return {};
}

Checked<void> GuestChannel::on_torndown(const GuestOutput& out) {
  if (state_ != State::kTearingDown) return tl::unexpected(kUnexpectedMessage);
  if (rescinded_) {
    release(out);
    return {};
  }
  free_rings(out);
  state_ = dropped_ ? State::kDropped : State::kOffered;
  return {};
}

Checked<void> GuestChannel::on_rescind(const GuestOutput& out) {
  if (rescinded_) return tl::unexpected(kUnexpectedMessage);
  rescinded_ = true;
  switch (state_) {
    case State::kOffered:
      out.add(ReportRescind{.relid = relid()});
      release(out);
      break;
    case State::kCreating:
      fail_open(out);
      dropped_ = true;
      break;
    case State::kOpening:  // its result will never come
      fail_open(out);
      release(out);
      break;
    case State::kOpen:
      out.add(ReportRescind{.relid = relid()});
      break;
    case State::kTearingDown:
      if (!dropped_) out.add(ReportRescind{.relid = relid()});
      dropped_ = true;
      break;
    case State::kDropped:
    case State::kGone:
      release(out);
      break;
  }
  return {};
}

// ---- steps --------------------------------------------------------------------------------------

void GuestChannel::send_open(const proto::Negotiated& negotiated, const GuestOutput& out) const {
  const proto::OpenChannel open{.relid = relid(),
                                .open_id = proto::OpenId{relid().value},
                                .ring_gpadl = rings_->gpadl,
                                .target_vp = proto::VpIndex{0},
                                .downstream_page_offset = rings_->guest_to_host_pages,
                                .user_data = {}};
  if (negotiated.features.intersects(proto::kOpenChannel2Features)) {
    out.send(proto::OpenChannel2{.open = open,
                                 .connection_id = offer_.connection_id,
                                 .event_flag = rings_->flag,
                                 .flags = 0});
  } else {
    out.send(open);
  }
}

void GuestChannel::tear_down(const GuestOutput& out) {
  out.send(proto::GpadlTeardown{.relid = relid(), .gpadl_id = rings_->gpadl});
  state_ = State::kTearingDown;
}

void GuestChannel::fail_open(const GuestOutput& out) const {
  if (!dropped_) out.add(ReportOpenResult{.relid = relid(), .ok = false});
}

void GuestChannel::free_rings(const GuestOutput& out) {
  if (!rings_) return;
  rings_.reset();
  out.add(FreeRings{.relid = relid()});
}

// Order: the pages are the guest's own again before the relid is given back, and with it the host's
// last hold.
void GuestChannel::release(const GuestOutput& out) {
  free_rings(out);
  out.send(proto::RelidReleased{.relid = relid()});
  state_ = State::kGone;
}

}  // namespace vmbus::emu
