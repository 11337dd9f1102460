// ChannelTable: the channels of one connection, found by relid and by device. Pure.
//
// A new channel gets the lowest free relid of 1..2047. A device (interface, instance, subchannel)
// is on offer once; a further offer of it is possible when the first one is rescinded, and is
// withheld until that one is released.
#ifndef VMBUS_EMU_CONTROL_CHANNEL_TABLE_H_
#define VMBUS_EMU_CONTROL_CHANNEL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <unordered_map>

#include "emu/bus_error.h"
#include "emu/control/channel.h"
#include "emu/protocol/channel_messages.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"

namespace vmbus::emu {

class ChannelTable {
 public:
  // Adds a channel; its offer gets the relid and the connection that the guest signals.
  // Errors: kNoRelid; kWrongState while the device is on offer.
  BusResult<Channel*> add(proto::OfferChannel offer);
  // Any number may be asked for; null: no such channel.
  Channel* find(proto::Relid relid);
  const Channel* find(proto::Relid relid) const;
  // Frees the relid. Returns the channel that was withheld for this one, which may be offered now,
  // or null. REQUIRES: the channel exists.
  Channel* remove(proto::Relid relid);

  std::size_t size() const { return channels_.size(); }
  template <typename Visit>
  void for_each(Visit visit) const {  // by relid; `visit` changes no table
    for (const auto& [relid, channel] : channels_) visit(channel);
  }

 private:
  struct Device {
    proto::Guid interface_id;
    proto::Guid instance_id;
    std::uint16_t subchannel_index = 0;
    friend bool operator==(const Device&, const Device&) = default;
  };
  struct HashDevice {
    std::size_t operator()(const Device& device) const noexcept;
  };
  static Device device_of(const proto::OfferChannel& offer);

  std::map<proto::Relid, Channel> channels_;
  proto::Relid lowest_free_ = proto::kMinRelid;  // no relid below it is free
  std::unordered_map<Device, proto::Relid, HashDevice> newest_of_device_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_CHANNEL_TABLE_H_
