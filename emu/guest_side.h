// GuestSide: carries out what the guest half decides. Between the host's messages and event flags
// (Synic), the guest's memory, and its socket driver (GuestChannelEvents).
//
// Callbacks   Only from handle_messages() and handle_signals(). They may call anything but these.
// Order       Effects in the order of the half's decisions. A message that finds the host's queue
//             full waits here with all later ones, and is tried again when there is room.
#ifndef VMBUS_EMU_GUEST_SIDE_H_
#define VMBUS_EMU_GUEST_SIDE_H_

#include <cstddef>
#include <deque>
#include <unordered_map>

#include "emu/control/effect.h"
#include "emu/control/guest_half.h"
#include "emu/guest_memory.h"
#include "emu/message_crossing.h"
#include "emu/partition.h"
#include "emu/protocol/ids.h"
#include "emu/ring_pair.h"
#include "emu/synic.h"

namespace vmbus::emu {

class GuestSide {
 public:
  // `guest` names the partition in callbacks. All references outlive this object.
  GuestSide(const GuestConfig& config, Partition& guest, Synic& synic, GuestMemory& memory,
            GuestChannelEvents& events, MessageCrossing& crossing);

  void contact() { half_.contact(effects_); }
  void unload() { half_.unload(effects_); }
  BusResult<void> tl_connect(const proto::Guid& endpoint, const proto::Guid& service);
  BusResult<void> open(proto::Relid relid, std::size_t guest_to_host_bytes,
                       std::size_t host_to_guest_bytes);
  BusResult<void> close(proto::Relid relid) { return half_.close(relid, effects_); }
  BusResult<void> refuse(proto::Relid relid) { return half_.refuse(relid, effects_); }
  void signal(proto::Relid relid);

  bool has_work() const;
  // Effects, and one message of the host. False: there was nothing to do.
  bool handle_messages();
  // Tells the driver of each channel flagged so far, once.
  void handle_signals();

  const GuestHalf& half() const { return half_; }

 private:
  bool send_unsent();
  bool try_post(const Post& message);
  bool perform_next();
  void perform(const Post& effect);
  void perform(const FreeRings& effect);
  void perform(const ReportContact& effect);
  void perform(const ReportOffer& effect);
  void perform(const ReportConnectResult& effect);
  void perform(const ReportOpenResult& effect);
  void perform(const ReportRescind& effect);
  void perform(const ReportUnloaded& effect);
  void perform(const Reject& effect);

  GuestHalf half_;
  Partition& guest_;
  Synic& synic_;
  GuestMemory& memory_;
  GuestChannelEvents& events_;
  MessageCrossing& crossing_;
  GuestEffects effects_;     // decided, not carried out yet
  std::deque<Post> unsent_;  // the host's queue is full
  std::unordered_map<proto::Relid, RingPair> rings_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_GUEST_SIDE_H_
