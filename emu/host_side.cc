#include "emu/host_side.h"

#include <cassert>
#include <utility>
#include <variant>

namespace vmbus::emu {

HostSide::HostSide(const HostConfig& config, Partition& guest, Synic& synic, GuestMemory& memory,
                   HostChannelEvents& events, MessageCrossing& crossing)
    : half_(config),
      guest_(guest),
      synic_(synic),
      memory_(memory),
      events_(events),
      crossing_(crossing) {}

// ---- the service's calls ------------------------------------------------------------------------

BusResult<proto::Relid> HostSide::offer(const proto::Guid& service, const proto::Guid& endpoint,
                                        bool for_guest_accept) {
  const auto initiator =
      for_guest_accept ? proto::HvsockInitiator::kHost : proto::HvsockInitiator::kGuest;
  return half_.offer_hvsock(service, endpoint, initiator, effects_);
}

void HostSide::refuse_connect(const proto::Guid& endpoint, const proto::Guid& service) {
  half_.refuse_connect(endpoint, service, effects_);
}

BusResult<void> HostSide::complete_open(proto::Relid relid, bool ok) {
  return half_.complete_open(relid, ok, effects_);
}

BusResult<void> HostSide::complete_close(proto::Relid relid) {
  return half_.complete_close(relid, effects_);
}

BusResult<void> HostSide::rescind(proto::Relid relid) { return half_.rescind(relid, effects_); }

void HostSide::signal(proto::Relid relid) {
  if (!half_.is_open(relid)) return;
  const Wiring& wiring = wirings_.at(relid);
  if (!wiring.to_guest) return;  // it wants no interrupts
  if (interrupt_page_) {
    interrupt_page_->set_for_guest(relid);
    synic_.set_event_flag(SintTarget{}, proto::EventFlag{0});
  } else {
    synic_.set_event_flag(*wiring.to_guest, wiring.flag);
  }
}

// ---- the loop -----------------------------------------------------------------------------------

bool HostSide::has_work() const {
  const bool can_send = !unsent_.empty() && synic_.has_room(unsent_.front().target);
  const bool can_read = synic_.has_posted() && may_read_messages();
  return !effects_.empty() || can_send || can_read || synic_.has_signals();
}

bool HostSide::handle_messages() {
  bool worked = send_unsent();
  while (perform_next()) worked = true;
  if (!may_read_messages()) return worked;
  const std::optional<PostedMessage> posted = synic_.next_posted();
  if (!posted) return worked;
  half_.receive(posted->connection, posted->message.bytes(), effects_);
  return true;
}

void HostSide::handle_signals() {
  for (const proto::Relid relid : synic_.take_signals()) {
    if (relid.value != 0) {
      tell_signalled(relid);
    } else if (interrupt_page_) {
      for (const proto::Relid sharing : interrupt_page_->take_for_host()) tell_signalled(sharing);
    }
  }
}

void HostSide::tell_signalled(proto::Relid relid) {
  if (half_.is_open(relid)) events_.on_host_signal(guest_, relid);
}

bool HostSide::send_unsent() {
  bool sent = false;
  while (!unsent_.empty() && try_deliver(unsent_.front())) {
    unsent_.pop_front();
    sent = true;
  }
  return sent;
}

// ---- effects ------------------------------------------------------------------------------------

// Takes the effect off the queue first: a callback may add more.
bool HostSide::perform_next() {
  if (effects_.empty()) return false;
  HostEffect effect = std::move(effects_.front());
  effects_.pop_front();
  std::visit([this](auto& typed) { perform(typed); }, effect);
  return true;
}

void HostSide::perform(Deliver& effect) {
  if (effect.foreign) {
    const HvStatus status = synic_.deliver_or_drop(effect.target, effect.message.bytes());
    if (status == HvStatus::kSuccess) {
      crossing_.crossed(Direction::kHostToGuest, effect.message.bytes());
    } else {
      crossing_.count(Counter::kMessagesDropped);
    }
  } else if (!unsent_.empty() || !try_deliver(effect)) {
    crossing_.count(Counter::kDeliverRetries);
    unsent_.push_back(effect);
  }
}

bool HostSide::try_deliver(const Deliver& message) {
  const HvStatus status = synic_.deliver(message.target, message.message.bytes());
  if (status == HvStatus::kInsufficientBuffers) return false;
  assert(status == HvStatus::kSuccess && "the half names no processor that is not there");
  crossing_.crossed(Direction::kHostToGuest, message.message.bytes());
  return true;
}

void HostSide::perform(ConnectSignals& effect) {
  [[maybe_unused]] const bool connected =
      synic_.connect_event_port(effect.from_guest, effect.relid);
  assert(connected && "the half lets no channel have another one's connection");
  Wiring& wiring = wirings_[effect.relid];
  wiring.from_guest = effect.from_guest;
  wiring.to_guest = effect.to_guest;
  wiring.flag = effect.flag;
}

void HostSide::perform(RetargetSignals& effect) {
  wirings_.at(effect.relid).to_guest->vp = effect.vp;
}

void HostSide::perform(DisconnectSignals& effect) {
  synic_.disconnect_event_port(wirings_.at(effect.relid).from_guest);
}

std::optional<Channel::State> HostSide::state_of(proto::Relid relid) const {
  const Channel* channel = half_.channels().find(relid);
  return channel == nullptr ? std::nullopt : std::optional(channel->state());
}

// Between the decision and now, a callback may have rescinded the channel.
void HostSide::perform(OpenDevice& effect) {
  if (state_of(effect.relid) != Channel::State::kOpening) return;
  const std::span<const std::uint64_t> pfns(effect.pfns);
  Wiring& wiring = wirings_.at(effect.relid);
  const auto sent = map_ring(pfns.first(effect.guest_to_host_pages), &wiring.guest_to_host);
  const auto received = map_ring(pfns.subspan(effect.guest_to_host_pages), &wiring.host_to_guest);
  if (!sent || !received) {
    static_cast<void>(half_.complete_open(effect.relid, false, effects_));
    return;
  }
  events_.on_channel_open(guest_, effect.relid,
                          {.guest_to_host = *sent, .host_to_guest = *received});
}

// The control page and the data pages stand wherever the guest has put them.
std::optional<ring::RingPages> HostSide::map_ring(std::span<const std::uint64_t> pfns,
                                                  MappedPages* data) const {
  if (pfns.empty()) return std::nullopt;
  std::byte* const control = memory_.page_at(pfns.front());
  auto mapped = memory_.map_pages(pfns.subspan(1));
  if (control == nullptr || !mapped) return std::nullopt;
  *data = std::move(*mapped);
  return ring::RingPages{control, data->bytes()};
}

void HostSide::perform(CloseDevice& effect) {
  const auto state = state_of(effect.relid);
  if (state != Channel::State::kClosing && state != Channel::State::kReopening) return;
  events_.on_channel_close(guest_, effect.relid);
}

void HostSide::perform(UnmapRings& effect) { wirings_.erase(effect.relid); }

void HostSide::perform(ReleaseDevice& effect) { events_.on_channel_released(guest_, effect.relid); }

void HostSide::perform(AskListener& effect) {
  events_.on_tl_connect(guest_, effect.endpoint, effect.service);
}

void HostSide::perform(UseInterruptPage& effect) {
  interrupt_page_.reset();
  if (!effect.page) return;
  const std::uint64_t pfn = effect.page->value;
  auto mapped = memory_.map_pages({&pfn, 1});
  assert(mapped.has_value() && "one page inside of the memory is a window into its mapping");
  interrupt_page_.emplace(std::move(*mapped));
}

void HostSide::perform(Reject& effect) { crossing_.count(effect); }

}  // namespace vmbus::emu
