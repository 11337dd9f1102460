#include "emu/guest_side.h"

#include <variant>

namespace vmbus::emu {
namespace {

constexpr SintTarget kBootProcessor{};  // where this guest asked for its messages and interrupts

}  // namespace

GuestSide::GuestSide(const GuestConfig& config, Partition& guest, Synic& synic, GuestMemory& memory,
                     GuestChannelEvents& events, MessageCrossing& crossing)
    : half_(config),
      guest_(guest),
      synic_(synic),
      memory_(memory),
      events_(events),
      crossing_(crossing) {}

// ---- the driver's calls -------------------------------------------------------------------------

BusResult<void> GuestSide::tl_connect(const proto::Guid& endpoint, const proto::Guid& service) {
  return half_.tl_connect(endpoint, service, effects_);
}

BusResult<void> GuestSide::open(proto::Relid relid, std::size_t guest_to_host_bytes,
                                std::size_t host_to_guest_bytes) {
  // With clear control pages, before the GPADL goes out: the host reads them at open.
  const auto rings = allocate_ring_pair(memory_, guest_to_host_bytes, host_to_guest_bytes);
  if (!rings) return tl::unexpected(rings.error());
  const auto split = static_cast<std::uint32_t>(rings->guest_to_host_pages());
  const BusResult<void> opened = half_.open(relid, rings->pages(), split, effects_);
  if (opened) {
    rings_.insert_or_assign(relid, *rings);
  } else {
    free_ring_pair(memory_, *rings);
  }
  return opened;
}

void GuestSide::signal(proto::Relid relid) {
  const auto connection = half_.signal_connection(relid);
  if (!connection) return;
  if (synic_.signal_event(*connection, 0) != HvStatus::kSuccess) {
    crossing_.count(Counter::kSignalsRefused);
  }
}

// ---- the loop -----------------------------------------------------------------------------------

bool GuestSide::has_work() const {
  const bool can_send = !unsent_.empty() && synic_.has_post_room();
  return !effects_.empty() || can_send || synic_.has_message(kBootProcessor) ||
         synic_.interrupt_raised(kBootProcessor);
}

bool GuestSide::handle_messages() {
  bool worked = send_unsent();
  while (perform_next()) worked = true;
  const auto message = synic_.take_message(kBootProcessor);
  if (!message) return worked;
  half_.receive(message->bytes(), effects_);
  return true;
}

void GuestSide::handle_signals() {
  for (const proto::EventFlag flag : synic_.take_event_flags(kBootProcessor)) {
    if (const auto relid = half_.open_channel_of(flag)) events_.on_guest_signal(guest_, *relid);
  }
}

bool GuestSide::send_unsent() {
  bool sent = false;
  while (!unsent_.empty() && try_post(unsent_.front())) {
    unsent_.pop_front();
    sent = true;
  }
  return sent;
}

// False: the host's queue is full.
bool GuestSide::try_post(const Post& message) {
  const auto payload = message.message.bytes();
  const HvStatus status = synic_.post_message(message.connection, kChannelMessage, payload);
  if (status == HvStatus::kInsufficientBuffers) return false;
  if (status == HvStatus::kSuccess) {
    crossing_.crossed(Direction::kGuestToHost, payload);
  } else {
    crossing_.count(Counter::kPostsRefused);  // the host gave a connection that does not exist
  }
  return true;
}

// ---- effects ------------------------------------------------------------------------------------

// Takes the effect off the queue first: a callback may add more.
bool GuestSide::perform_next() {
  if (effects_.empty()) return false;
  const GuestEffect effect = effects_.front();
  effects_.pop_front();
  std::visit([this](const auto& typed) { perform(typed); }, effect);
  return true;
}

void GuestSide::perform(const Post& effect) {
  if (unsent_.empty() && try_post(effect)) return;
  crossing_.count(Counter::kPostRetries);
  unsent_.push_back(effect);
}

void GuestSide::perform(const FreeRings& effect) {
  const auto rings = rings_.find(effect.relid);
  free_ring_pair(memory_, rings->second);
  rings_.erase(rings);
}

void GuestSide::perform(const ReportContact& effect) {
  events_.on_contact(guest_, effect.connected);
}

void GuestSide::perform(const ReportOffer& effect) {
  events_.on_offer(guest_, {.relid = effect.relid,
                            .service = effect.service,
                            .endpoint = effect.endpoint,
                            .for_guest_accept = effect.for_guest_accept});
}

void GuestSide::perform(const ReportConnectResult& effect) {
  events_.on_tl_connect_result(guest_, effect.endpoint, effect.service,
                               static_cast<std::int32_t>(effect.status.value));
}

void GuestSide::perform(const ReportOpenResult& effect) {
  if (!effect.ok) {
    events_.on_open_result(guest_, effect.relid, false, {});
    return;
  }
  events_.on_open_result(guest_, effect.relid, true, rings_.at(effect.relid).addresses(memory_));
}

void GuestSide::perform(const ReportRescind& effect) { events_.on_rescind(guest_, effect.relid); }
void GuestSide::perform(const ReportUnloaded&) { events_.on_unloaded(guest_); }
void GuestSide::perform(const Reject& effect) { crossing_.count(effect); }

}  // namespace vmbus::emu
