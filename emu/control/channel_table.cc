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
  while (channels_.contains(lowest_free_)) ++lowest_free_.value;
  if (lowest_free_ > proto::kMaxRelid) return tl::unexpected(BusError::kNoRelid);

  offer.relid = lowest_free_;
  offer.connection_id = proto::event_connection(offer.relid);
  offer.dedicated_interrupt = 1;
  newest_of_device_[device] = offer.relid;
  return &channels_.try_emplace(offer.relid, offer, predecessor).first->second;
}

Channel* ChannelTable::find(proto::Relid relid) {
  const auto found = channels_.find(relid);
  return found == channels_.end() ? nullptr : &found->second;
}

const Channel* ChannelTable::find(proto::Relid relid) const {
  const auto found = channels_.find(relid);
  return found == channels_.end() ? nullptr : &found->second;
}

Channel* ChannelTable::remove(proto::Relid relid) {
  const auto gone = channels_.extract(relid);
  const Channel& channel = gone.mapped();
  lowest_free_ = std::min(lowest_free_, relid);
  const auto newest = newest_of_device_.find(device_of(channel.offer()));
  if (newest->second != relid) return find(newest->second);  // a newer one waits for this
  if (channel.predecessor()) {
    newest->second = *channel.predecessor();
  } else {
    newest_of_device_.erase(newest);
  }
  return nullptr;
}

}  // namespace vmbus::emu
