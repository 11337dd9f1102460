// HostSide: carries out what the host half decides. Between the guest's messages and signals
// (Synic), its memory (GuestMemory), and the host's socket service (HostChannelEvents).
//
// Callbacks   Only from handle_messages() and handle_signals(). They may call anything but these.
// Order       Effects in the order of the half's decisions. A message that finds the guest's queue
//             full waits here with all later ones; meanwhile the guest's messages are not read.
#ifndef VMBUS_EMU_HOST_SIDE_H_
#define VMBUS_EMU_HOST_SIDE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <unordered_map>

#include "emu/control/effect.h"
#include "emu/control/host_half.h"
#include "emu/guest_memory.h"
#include "emu/interrupt_page.h"
#include "emu/message_crossing.h"
#include "emu/partition.h"
#include "emu/protocol/ids.h"
#include "emu/synic.h"

namespace vmbus::emu {

class HostSide {
 public:
  // `guest` names the partition in callbacks. All references outlive this object.
  HostSide(const HostConfig& config, Partition& guest, Synic& synic, GuestMemory& memory,
           HostChannelEvents& events, MessageCrossing& crossing);

  BusResult<proto::Relid> offer(const proto::Guid& service, const proto::Guid& endpoint,
                                bool for_guest_accept);
  void refuse_connect(const proto::Guid& endpoint, const proto::Guid& service);
  BusResult<void> complete_open(proto::Relid relid, bool ok);
  BusResult<void> complete_close(proto::Relid relid);
  BusResult<void> rescind(proto::Relid relid);
  void signal(proto::Relid relid);

  bool has_work() const;
  // Effects, and one message of the guest. False: there was nothing to do.
  bool handle_messages();
  // Tells the service of each channel signalled so far, once.
  void handle_signals();

  const HostHalf& half() const { return half_; }

 private:
  // How a channel that the guest opened is connected.
  struct Wiring {
    proto::ConnectionId from_guest{};
    std::optional<SintTarget> to_guest{};
    proto::EventFlag flag{};
    MappedPages guest_to_host{};  // data pages
    MappedPages host_to_guest{};
  };

  bool may_read_messages() const { return unsent_.empty() && half_.accepts_messages(); }
  bool send_unsent();
  bool perform_next();
  void perform(Deliver& effect);
  void perform(ConnectSignals& effect);
  void perform(RetargetSignals& effect);
  void perform(DisconnectSignals& effect);
  void perform(OpenDevice& effect);
  void perform(CloseDevice& effect);
  void perform(UnmapRings& effect);
  void perform(ReleaseDevice& effect);
  void perform(AskListener& effect);
  void perform(UseInterruptPage& effect);
  void perform(Reject& effect);
  // Where the host sees a ring's pages; nullopt: it cannot. `data` keeps what had to be mapped.
  std::optional<ring::RingPages> map_ring(std::span<const std::uint64_t> pfns,
                                          MappedPages* data) const;
  bool try_deliver(const Deliver& message);
  std::optional<Channel::State> state_of(proto::Relid relid) const;
  void tell_signalled(proto::Relid relid);

  HostHalf half_;
  Partition& guest_;
  Synic& synic_;
  GuestMemory& memory_;
  HostChannelEvents& events_;
  MessageCrossing& crossing_;
  HostEffects effects_;         // decided, not carried out yet
  std::deque<Deliver> unsent_;  // the guest's queue is full
  std::unordered_map<proto::Relid, Wiring> wirings_;
  std::optional<InterruptPage> interrupt_page_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HOST_SIDE_H_
