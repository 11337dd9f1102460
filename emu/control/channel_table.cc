#include "emu/control/channel_table.h"

#include <algorithm>
#include <optional>

namespace vmbus::emu {

std::size_t ChannelTable::HashDevice::operator()(const Device& device) const noexcept {
  const std::hash<proto::Guid> hash;
  return hash(device.interface_id) * 31 + hash(device.instance_id) + device.subchannel_index;
}

ChannelTable::Device ChannelTable::device_of(const proto::OfferChannel& offer) {
  return {offer.interface_id, offer.instance_id, offer.subchannel_index};
}

BusResult<Channel*> ChannelTable::add(proto::OfferChannel offer) {
  const Device device = device_of(offer);
  std::optional<proto::Relid> predecessor;
  if (const auto newest = newest_of_device_.find(device); newest != newest_of_device_.end()) {
    if (find(newest->second)->state() != Channel::State::kRescinded) {
      return tl::unexpected(BusError::kWrongState);
    }
    predecessor = newest->second;
  }
  while (lowest_free_ < channels_.size() && channels_[lowest_free_] != nullptr) ++lowest_free_;
  if (lowest_free_ == channels_.size()) return tl::unexpected(BusError::kNoRelid);

  offer.relid = proto::Relid{static_cast<std::uint32_t>(lowest_free_)};
  offer.connection_id = proto::event_connection(offer.relid);
  offer.dedicated_interrupt = 1;
  newest_of_device_[device] = offer.relid;
  ++count_;
  auto& slot = channels_[lowest_free_++];
  slot = std::make_unique<Channel>(offer, predecessor);
  return slot.get();
}

Channel* ChannelTable::find(proto::Relid relid) const {
  return relid.value < channels_.size() ? channels_[relid.value].get() : nullptr;
}

Channel* ChannelTable::remove(proto::Relid relid) {
  const std::unique_ptr<Channel> gone = std::move(channels_[relid.value]);
  lowest_free_ = std::min<std::size_t>(lowest_free_, relid.value);
  --count_;

  const auto newest = newest_of_device_.find(device_of(gone->offer()));
  if (newest->second != relid) return find(newest->second);  // a newer one waits for this
  if (gone->predecessor()) {
    newest->second = *gone->predecessor();
  } else {
    newest_of_device_.erase(newest);
  }
  return nullptr;
}

}  // namespace vmbus::emu
