#include "emu/synic.h"

#include <algorithm>
#include <cassert>

namespace vmbus::emu {
namespace {

constexpr std::uint32_t kReservedMessageType =
    0x8000'0000;  // set in types that only a hypervisor sends

bool is_message_connection(proto::ConnectionId connection) {
  return connection == proto::kMessageConnection ||
         connection == proto::kMulticlientMessageConnection;
}

proto::EncodedMessage to_message(std::span<const std::byte> payload) {
  proto::EncodedMessage message;
  std::ranges::copy(payload, message.storage.begin());
  message.size = payload.size();
  return message;
}

}  // namespace

Synic::Synic(std::uint32_t vp_count) {
  for (std::uint32_t i = 0; i < vp_count; ++i) processors_.push_back(std::make_unique<Processor>());
}

// ---- the host's side ----------------------------------------------------------------------------

// SYNC(synic.slot): payload first, type last; pairs with take_message(), which looks at type first.
// A guest that sees the type sees the whole message.
bool Synic::fill_slot(Sint& sint, std::span<const std::byte> payload) {
  MessageSlot& slot = sint.slot;
  if (slot.type.load() != kNoMessage) return false;
  std::ranges::copy(payload, slot.payload.begin());
  slot.payload_size = static_cast<std::uint8_t>(payload.size());
  const bool more = sint.waiting != nullptr && sint.waiting->read_available() > 1;
  slot.flags.store(more ? kMessagePending : 0);
  slot.type.store(kChannelMessage);
  sint.interrupt = true;
  return true;
}

// What EOM triggers: the oldest message that waits moves into the empty slot.
void Synic::refill_slot(Sint& sint) {
  if (!others_wait(sint)) return;
  if (fill_slot(sint, sint.waiting->front().bytes())) sint.waiting->pop();
}

HvStatus Synic::check(SintTarget target, std::span<const std::byte> payload) const {
  if (payload.size() > proto::kMaxMessageBytes || target.sint >= kSintCount) {
    return HvStatus::kInvalidParameter;
  }
  return target.vp.value < vp_count() ? HvStatus::kSuccess : HvStatus::kInvalidVpIndex;
}

bool Synic::others_wait(const Sint& sint) {
  return sint.waiting != nullptr && sint.waiting->read_available() != 0;
}

HvStatus Synic::deliver(SintTarget target, std::span<const std::byte> payload) {
  if (const HvStatus bad = check(target, payload); bad != HvStatus::kSuccess) return bad;
  Sint& receiver = sint(target);
  if (!others_wait(receiver) && fill_slot(receiver, payload)) return HvStatus::kSuccess;

  if (receiver.waiting == nullptr) receiver.waiting = std::make_unique<SintQueue>();
  if (!receiver.waiting->push(to_message(payload))) return HvStatus::kInsufficientBuffers;
  // SYNC(synic.slot): the flag, then the type again; take_message() clears the type, then looks at
  // the flag. Without the second look the guest may have emptied the slot before it could see the
  // flag, and never says EOM.
  receiver.slot.flags.store(kMessagePending);
  refill_slot(receiver);
  return HvStatus::kSuccess;
}

HvStatus Synic::deliver_or_drop(SintTarget target, std::span<const std::byte> payload) {
  if (const HvStatus bad = check(target, payload); bad != HvStatus::kSuccess) return bad;
  Sint& receiver = sint(target);
  const bool taken = others_wait(receiver) || !fill_slot(receiver, payload);
  return taken ? HvStatus::kInsufficientBuffers : HvStatus::kSuccess;
}

bool Synic::has_room(SintTarget target) const {
  const Sint& receiver = sint(target);
  return receiver.waiting == nullptr || receiver.waiting->write_available() != 0;
}

bool Synic::set_event_flag(SintTarget target, proto::EventFlag flag) {
  assert(target.vp.value < vp_count() && target.sint < kSintCount && flag.value < kEventFlagCount);
  Sint& receiver = sint(target);
  if (!set_flag(receiver.flags, flag.value)) return false;
  receiver.interrupt = true;
  return true;
}

std::optional<PostedMessage> Synic::next_posted() {
  PostedMessage message;
  if (!posted_.pop(message)) return std::nullopt;
  return message;
}

bool Synic::connect_event_port(proto::ConnectionId connection, proto::Relid relid) {
  const bool reserved =
      is_message_connection(connection) || connection == proto::kSharedEventConnection;
  return !reserved && event_ports_.emplace(connection, relid).second;
}

void Synic::disconnect_event_port(proto::ConnectionId connection) {
  event_ports_.erase(connection);
}

std::vector<proto::Relid> Synic::take_signals() {
  signalled_ = false;
  std::vector<proto::Relid> relids;
  take_flags(signals_, [&](std::size_t bit) {
    relids.push_back(proto::Relid{static_cast<std::uint32_t>(bit)});
  });
  return relids;
}

// ---- the guest's side ---------------------------------------------------------------------------

HvStatus Synic::post_message(proto::ConnectionId connection, std::uint32_t message_type,
                             std::span<const std::byte> payload) {
  if (message_type == kNoMessage || (message_type & kReservedMessageType) != 0 ||
      payload.size() > proto::kMaxMessageBytes) {
    return HvStatus::kInvalidParameter;
  }
  if (!is_message_connection(connection)) {
    const bool is_event_port =
        connection == proto::kSharedEventConnection || event_ports_.contains(connection);
    return is_event_port ? HvStatus::kInvalidPortId : HvStatus::kInvalidConnectionId;
  }
  const bool queued = posted_.push({.connection = connection, .message = to_message(payload)});
  return queued ? HvStatus::kSuccess : HvStatus::kInsufficientBuffers;
}

HvStatus Synic::signal_event(proto::ConnectionId connection, std::uint16_t flag) {
  if (is_message_connection(connection)) return HvStatus::kInvalidPortId;
  proto::Relid relid{0};
  if (connection != proto::kSharedEventConnection) {
    const auto port = event_ports_.find(connection);
    if (port == event_ports_.end()) return HvStatus::kInvalidConnectionId;
    relid = port->second;
  }
  if (flag != 0) return HvStatus::kInvalidParameter;  // these ports have one flag each
  set_flag(signals_, relid.value);
  signalled_ = true;
  return HvStatus::kSuccess;
}

std::optional<proto::EncodedMessage> Synic::take_message(SintTarget target) {
  Sint& receiver = sint(target);
  MessageSlot& slot = receiver.slot;
  // SYNC(synic.slot): see fill_slot().
  std::uint32_t type = slot.type.load();
  if (type == kNoMessage) return std::nullopt;
  const std::size_t size = std::min<std::size_t>(slot.payload_size, proto::kMaxMessageBytes);
  const proto::EncodedMessage copy = to_message(std::span(slot.payload).first(size));
  // Exchanged, not stored: another processor may have emptied the slot meanwhile, and the host
  // refilled it.
  slot.type.compare_exchange_strong(type, kNoMessage);
  // SYNC(synic.slot): the type, then the flag; see deliver().
  if ((slot.flags.load() & kMessagePending) != 0) refill_slot(receiver);
  return copy;
}

std::vector<proto::EventFlag> Synic::take_event_flags(SintTarget target) {
  Sint& receiver = sint(target);
  receiver.interrupt = false;
  std::vector<proto::EventFlag> flags;
  take_flags(receiver.flags, [&](std::size_t bit) {
    flags.push_back(proto::EventFlag{static_cast<std::uint16_t>(bit)});
  });
  return flags;
}

}  // namespace vmbus::emu
