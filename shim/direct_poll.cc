// DirectEnd: what a wait in poll, select or epoll asks of a ring.
#include <sys/ioctl.h>

#include "ringbuf/fault_point.h"
#include "shim/direct_whole.h"
#include "shim/real.h"
#include "shim/spin.h"

namespace vmbus::shim {

using ring::SharedCell;

bool DirectEnd::has_stirred() const {
  return in_.write_index().load_acquire() != proto::load_position(*lane_).index ||
         (SharedCell(lane_->in_flags).load_relaxed() & kAskCarrier) != 0 ||
         (proto::Gate(lane_->in_gate).low_half() & proto::kGateClosed) != 0;
}

DirectEnd::News DirectEnd::news() const {
  if (!has_stirred()) return News::kNone;
  HeldGate held;
  if (!take(lane_->in_gate, &held)) return News::kCarrier;
  InTurn turn;
  const News found = news_in_turn(&turn);
  give(held, turn);
  return found;
}

// With the gate held.
DirectEnd::News DirectEnd::news_in_turn(InTurn* turn) const {
  const SharedCell<std::uint32_t> in_flags(lane_->in_flags);
  const std::uint32_t flags = in_flags.load_seq_cst();
  if ((flags & proto::kLaneEnded) != 0) return News::kCarrier;
  if ((flags & proto::kLaneCarrierHolds) != 0) {
    if (!is_carrier_empty()) return News::kCarrier;
    in_flags.fetch_and(~std::uint32_t{proto::kLaneCarrierHolds});
    VMBUS_FAULT(kReceiveCarrierEmpty);
    if (!step_over_shown(turn)) {
      report_error(lane_->in_error, turn);
      return News::kCarrier;
    }
  }
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  const auto has_data =
      reader ? reader->has_data() : Result<bool, ring::RingError>(Failure{reader.error()});
  if (!has_data) {
    report_error(lane_->in_error, turn);
    return News::kCarrier;
  }
  if (!*has_data) return News::kNone;
  if (reader->packet_bytes_left() != 0) return News::kRing;
  // The stream's end, or nothing that a receive would give: the daemon's to consume.
  in_.interrupt_mask().store_seq_cst(0);
  VMBUS_FAULT(kReceiveAtFin);
  turn->needs_look = true;
  return News::kCarrier;
}

bool DirectEnd::is_carrier_empty() const {
  int unread = 0;
  return real::call(SYS_ioctl, fd_, FIONREAD, &unread) == 0 && unread == 0;
}

bool DirectEnd::is_spin_worth_it() const { return shim::is_spin_worth_it(area_, index_); }

void DirectEnd::warm() const {
  HeldGate held;
  if (in_.interrupt_mask().load_relaxed() != 0 || !take(lane_->in_gate, &held)) return;
  InTurn turn;
  turn.needs_look = stay_warm();
  give(held, turn);
}

// kLongEnough: this thread is registered as a sleeper. kWoken: there is no reason to sleep. kInterrupted: a signal came.
Slept DirectEnd::prepare_to_sleep() const {
  HeldGate held;
  if (!take(lane_->in_gate, &held)) return Slept::kNever;
  InTurn turn;
  Slept ready = Slept::kWoken;
  if (!asks_carrier()) {
    auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
    const long result =
        reader ? lie_down(*reader, true, &turn) : report_error(lane_->in_error, &turn);
    if (result != 0) ready = Slept::kNever;  // the end, or nonsense: the kernel says it
    if (turn.sleeps) ready = Slept::kLongEnough;
  }
  give(held, turn);
  return held.is_interrupted ? Slept::kInterrupted : ready;
}

}  // namespace vmbus::shim
