#include "tools/vmbus/message_filter.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <set>

#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/messages.h"

namespace vmbus::tools {
namespace {

using proto::GpadlId;
using proto::Guid;
using proto::MessageType;
using Messages = std::vector<const RecordedMessage*>;

MessageType type_of(const RecordedMessage& message) { return MessageType{message.number()}; }

// Nothing when the payload is too short to hold the field.
template <typename T>
std::optional<T> field_at(const RecordedMessage& message, std::size_t offset) {
  const std::string& payload = message.payload();
  if (payload.size() < offset + sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, payload.data() + offset, sizeof value);
  return value;
}

// The GPADL of messages that name one; most of them name no relid.
std::optional<GpadlId> gpadl_of(const RecordedMessage& message) {
  const MessageType type = type_of(message);
  if (type == MessageType::kGpadlHeader) {
    return field_at<GpadlId>(message, offsetof(proto::GpadlHeader, gpadl_id));
  }
  if (type == MessageType::kGpadlBody) {
    return field_at<GpadlId>(message, offsetof(proto::GpadlBody, gpadl_id));
  }
  if (type == MessageType::kGpadlTorndown) {
    return field_at<GpadlId>(message, offsetof(proto::GpadlTorndown, gpadl_id));
  }
  return std::nullopt;
}

// Any message of a guest's contact with the bus, before its first channel.
bool is_contact(const RecordedMessage& message) {
  const MessageType type = type_of(message);
  return type == MessageType::kInitiateContact || type == MessageType::kVersionResponse ||
         type == MessageType::kRequestOffers || type == MessageType::kAllOffersDelivered;
}

bool is_offer(const RecordedMessage* message) {
  return type_of(*message) == MessageType::kOfferChannel;
}

// The guest's request that `offer` answers; none when the host dialled.
const RecordedMessage* request_before(const Messages& messages, const RecordedMessage& offer) {
  const auto endpoint = field_at<Guid>(offer, offsetof(proto::OfferChannel, instance_id));
  const RecordedMessage* found = nullptr;
  for (const RecordedMessage* message : messages) {
    if (message == &offer) break;
    if (type_of(*message) == MessageType::kTlConnectRequest && endpoint &&
        field_at<Guid>(*message, offsetof(proto::TlConnectRequest, endpoint_id)) == endpoint) {
      found = message;
    }
  }
  return found;
}

// What led to `offer`: the contact, if no other offer came between, and the guest's request.
Messages lead_to(const Messages& messages, const RecordedMessage& offer) {
  Messages selected;
  for (const RecordedMessage* message : messages) {
    if (message == &offer) break;
    if (is_offer(message)) selected.clear();
    if (is_contact(*message)) selected.push_back(message);
  }
  if (const RecordedMessage* request = request_before(messages, offer)) selected.push_back(request);
  return selected;
}

// From `offer` to the release of its relid; the same number may be offered again afterwards.
Messages follow(const Messages& messages, const RecordedMessage& offer) {
  Messages selected;
  std::set<GpadlId> gpadls;
  bool released = false;
  for (auto i = std::find(messages.begin(), messages.end(), &offer); i != messages.end(); ++i) {
    const RecordedMessage& message = **i;
    const bool names_relid = !released && message.relid() == offer.relid();
    const auto gpadl = gpadl_of(message);
    if (names_relid && type_of(message) == MessageType::kGpadlHeader && gpadl) {
      gpadls.insert(*gpadl);
    }
    if (!names_relid && !(gpadl && gpadls.contains(*gpadl))) continue;
    selected.push_back(&message);
    if (type_of(message) == MessageType::kGpadlTorndown && gpadl) gpadls.erase(*gpadl);
    if (type_of(message) == MessageType::kRelidReleased) released = true;
  }
  return selected;
}

Messages of_guest(const control::MessageReport& report, const std::string& guest) {
  Messages messages;
  for (const RecordedMessage& message : report.messages()) {
    if (guest.empty() || message.guest() == guest) messages.push_back(&message);
  }
  return messages;
}

// The first or last offer, or null.
const RecordedMessage* choose_offer(const Messages& messages, ConnectionChoice choice) {
  if (choice == ConnectionChoice::kFirst) {
    const auto first = std::find_if(messages.begin(), messages.end(), is_offer);
    return first == messages.end() ? nullptr : *first;
  }
  const auto last = std::find_if(messages.rbegin(), messages.rend(), is_offer);
  return last == messages.rend() ? nullptr : *last;
}

}  // namespace

Messages select_messages(const control::MessageReport& report, const MessageFilter& filter) {
  Messages messages = of_guest(report, filter.guest);
  if (filter.connection != ConnectionChoice::kAll) {
    const RecordedMessage* offer = choose_offer(messages, filter.connection);
    if (offer == nullptr) return {};
    messages = of_guest(report, offer->guest());
    Messages connection = lead_to(messages, *offer);
    const Messages rest = follow(messages, *offer);
    connection.insert(connection.end(), rest.begin(), rest.end());
    messages = std::move(connection);
  }
  if (filter.relid != 0) {
    std::erase_if(messages, [&](const auto* message) { return message->relid() != filter.relid; });
  }
  return messages;
}

}  // namespace vmbus::tools
