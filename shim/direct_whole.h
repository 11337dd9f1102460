// DirectEnd's short way, in one piece: what a call on small messages is made of.
//
// One packet, a gate that nobody has, nobody to be told: some two hundred instructions from the program's call
// to the ring's words and back (docs/performance.md). All that is rarer is done by functions elsewhere.
#ifndef VMBUS_SHIM_DIRECT_WHOLE_H_
#define VMBUS_SHIM_DIRECT_WHOLE_H_

#include <cstddef>
#include <cstdint>

#include "ringbuf/fault_point.h"
#include "ringbuf/whole_packet.h"
#include "shim/asked_ends.h"
#include "shim/copy_pace.h"
#include "shim/direct.h"
#include "shim/direct_cache.h"
#include "shim/real.h"
#include "shim/signals.h"
#include "shim/spin.h"
#include "shim/user_ranges.h"

// One frame for all of it.
#define VMBUS_SHORT [[gnu::always_inline]] inline

namespace vmbus::shim {

VMBUS_SHORT void DirectEnd::count_received(std::size_t bytes) const {
  const ring::SharedCell<std::uint64_t> total(lane_->bytes_in);
  total.store_relaxed(total.load_relaxed() + bytes);
}

VMBUS_SHORT void DirectEnd::count_sent(std::size_t bytes) const {
  const ring::SharedCell<std::uint64_t> total(lane_->bytes_out);
  total.store_relaxed(total.load_relaxed() + bytes);
  note_cpu(*lane_);
}

inline void DirectEnd::count_turn() const {
  const ring::SharedCell<std::uint32_t> turns(lane_->in_turns);
  turns.store_relaxed(turns.load_relaxed() + 1);
}

// The mask is set while nobody tells us: the daemon watches. True: it is to be told.
VMBUS_SHORT bool DirectEnd::stay_warm() const {
  count_turn();
  note_cpu(*lane_);
  const bool watched =
      (ring::SharedCell(lane_->in_flags).load_relaxed() & proto::kLaneWatched) != 0;
  const bool needs_look = !watched && watch();
  if (in_.interrupt_mask().load_relaxed() == 0) in_.interrupt_mask().store_relaxed(1);
  VMBUS_FAULT(kReceiveWarm);
  return needs_look;
}

VMBUS_SHORT bool DirectEnd::may_leave_warm() const {
  return may_block_ || polled_ || !thread_polls();
}

// Having read up to `index`. Whoever waits for the next bytes in a receive, or never waits, or looks in its
// waits, is not told of them; the others are. True: the daemon is to look.
VMBUS_SHORT bool DirectEnd::leave(std::uint32_t index) const {
  if (may_leave_warm()) return stay_warm();
  count_turn();
  return unmask(index);
}

VMBUS_SHORT long DirectEnd::receive_whole(void* buffer, std::size_t bytes) const {
  if (in_.read_index().load_relaxed() == in_.write_index().load_relaxed() || drains_ ||
      handles_signals() || !knows_range(buffer, bytes, Access::kWrite)) {
    return 0;
  }
  real::cancellation_point();
  const proto::Gate gate(lane_->in_gate);
  if (!gate.try_take(generation_, client_)) return 0;
  VMBUS_FAULT(kWholeReceiveGateTaken);
  bool wakes_writer = false;
  bool needs_look = false;
  ring::WholePacket packet;
  if ((ring::SharedCell(lane_->in_flags).load_relaxed() & kAskCarrier) == 0) {
    packet = ring::read_whole_packet(in_, proto::load_position(*lane_),
                                     {static_cast<std::byte*>(buffer), bytes}, one_packet_);
  }
  if (packet.data_bytes != 0) {
    // SYNC(lane.position): as in receive_turn().
    proto::store_position(*lane_, packet.after);
    VMBUS_FAULT(kWholeReceivePosition);
    wakes_writer = ring::release_room(in_, packet.before, packet.after.index);
    VMBUS_FAULT(kWholeReceiveReleased);
    count_received(packet.data_bytes);
    needs_look = leave(packet.after.index);
  }
  const bool is_given = gate.try_give(generation_, client_);
  VMBUS_FAULT(kGateGiven);
  if (wakes_writer || needs_look || !is_given) [[unlikely]] {
    finish_turn(lane_->in_gate, is_given, {.wakes_writer = wakes_writer, .needs_look = needs_look});
  }
  return packet.data_bytes;
}

VMBUS_SHORT bool DirectEnd::send_whole(const void* buffer, std::size_t bytes) const {
  if (bytes > packet_bytes_ || handles_signals() || !knows_range(buffer, bytes, Access::kRead)) {
    return false;
  }
  real::cancellation_point();
  const proto::Gate gate(lane_->out_gate);
  if (!gate.try_take(generation_, client_)) return false;
  VMBUS_FAULT(kWholeSendGateTaken);
  auto written = ring::WholeWrite::kNo;
  if (sends().none() && ring::SharedCell(lane_->raw).load_relaxed() == 0) {
    CopyLap lap(area_.lane(proto::opposite_lane(index_)), bytes);
    written =
        ring::write_whole_packet(out_, {static_cast<const std::byte*>(buffer), bytes}, lap.way());
    if (written != ring::WholeWrite::kNo) lap.end();
  }
  if (written != ring::WholeWrite::kNo) count_sent(bytes);
  VMBUS_FAULT(kWholeSendCounted);
  const bool signal = written == ring::WholeWrite::kYesSignal && !feed_reader();
  const bool is_given = gate.try_give(generation_, client_);
  VMBUS_FAULT(kGateGiven);
  if (signal || !is_given) [[unlikely]] {
    finish_turn(lane_->out_gate, is_given, {.wakes_reader = signal});
  }
  return written != ring::WholeWrite::kNo;
}

// Of a socket that this thread knows: what the short way read. 0: nothing; go the long one.
VMBUS_SHORT long receive_known(int fd, void* buffer, std::size_t length) {
  KnownEnd& known = known_end(fd);
  if (length == 0 || !known.begin_use(fd)) return 0;
  const long count = known.receives ? known.end.receive_whole(buffer, length) : 0;
  known.end_use();
  return count;
}

// Did it send all of it?
VMBUS_SHORT bool send_known(int fd, const void* buffer, std::size_t length) {
  KnownEnd& known = known_end(fd);
  if (length == 0 || !known.begin_use(fd)) return false;
  const bool sent = known.sends && known.end.send_whole(buffer, length);
  known.end_use();
  return sent;
}

}  // namespace vmbus::shim

#undef VMBUS_SHORT

#endif  // VMBUS_SHIM_DIRECT_WHOLE_H_
