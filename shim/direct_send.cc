// DirectEnd: the sending half.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <span>

#include "ringbuf/fault_point.h"
#include "ringbuf/pipe_writer.h"
#include "shim/copy_pace.h"
#include "shim/direct_whole.h"
#include "shim/real.h"
#include "shim/spin.h"

namespace vmbus::shim {
namespace {

using ring::SharedCell;

constexpr std::size_t kTurnBytes = 64 * 1024;  // written with the gate held once
constexpr std::size_t kSpans = 17;  // a lap of the largest packets, one of them in two parts
// A send of no more waits until there is room for all of it, so that two threads' do not mix.
constexpr std::size_t kWholeBytes = 4096;

}  // namespace

DirectEnd::Sent DirectEnd::send(const Parts& from, std::size_t sent, Wait wait) {
  real::cancellation_point();
  note_send();
  bool whole = wait != Wait::kNo && sent == 0 && from.bytes <= kWholeBytes;
  // A liar who makes it look as if there were room, or wakes for nothing, is left to the kernel, which a signal
  // or a shutdown ends.
  int vain_looks = 0;
  while (sent < from.bytes) {
    long count = write_turn(from, sent, whole);
    // Plugged: the ring was full, and what the carrier has room for is not the ring's.
    if (count == kThroughCarrier && heeds_room_ && sends().only_kept()) count = 0;
    if (count == 0 && whole && real::is_nonblocking(fd_)) {
      whole = false;
      continue;
    }
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
      vain_looks = 0;
      continue;
    }
    if (++vain_looks == kVainLooks) return {sent, count == 0, Slept::kNever};
    const Slept slept = count == 0 ? wait_for_room(wait, sent > 0) : Slept::kNever;
    if (slept != Slept::kWoken) return {sent, count == 0, slept};
  }
  return {sent};
}

// kWoken: there is room, or there may be.
Slept DirectEnd::wait_for_room(Wait wait, bool is_begun) {
  if (wait == Wait::kNo) return Slept::kNever;
  if (is_spin_worth_it() && !real::is_nonblocking(fd_) && spin_for_room()) {
    return Slept::kWoken;
  }
  return wait == Wait::kSleep ? sleep_for_room(!is_begun) : Slept::kNever;
}

// SYNC(lane.sleepers): stored before the last look; pairs with wake_writer() and
// LaneEnd::wake_writers().
Slept DirectEnd::sleep_for_room(bool restarts) {
  if (!may_sleep_on_lane(fd_, SO_SNDTIMEO)) return Slept::kNever;
  HeldGate held;
  if (!take(lane_->out_gate, &held)) return Slept::kNever;
  const std::uint32_t seen = out_.read_index().load_relaxed();
  SharedCell(lane_->out_sleepers).store_seq_cst(generation_);
  VMBUS_FAULT(kSendRoomSleeper);
  auto writer = ring::PipeWriter::resume(out_);
  const auto has_room = writer ? writer->request_room(out_.data_bytes() / 2)
                               : Result<bool, ring::RingError>(Failure{writer.error()});
  VMBUS_FAULT(kSendRoomRequested);
  // What the daemon had asked for is forgotten, and there is room: nobody else tells it.
  InTurn turn;
  turn.needs_look = has_room && *has_room && SharedCell(lane_->room_wanted).load_seq_cst() != 0;
  // There may be room, and the carrier still plugged: the daemon takes the plug away, and wakes.
  const bool is_plugged = heeds_room_ && sends().only_kept();
  turn.needs_look |= is_plugged;
  turn.sleeps = has_room && (!*has_room || is_plugged);
  turn.restarts = restarts;
  give(held, turn);
  if (!has_room) return Slept::kNever;  // the next turn reports it
  if (held.is_interrupted) return Slept::kInterrupted;
  if (*has_room && !is_plugged) return Slept::kWoken;
  const Slept slept = sleep_on_lane(lane_->out_sleepers, generation_,
                                    {heeds_room_ ? kReaderSleepNs : kWriterSleepNs, restarts});
  const bool moves = out_.read_index().load_relaxed() != seen;
  return slept == Slept::kLongEnough && moves ? Slept::kWoken : slept;
}

// Until the peer has read something, or nobody may work the ring any more.
bool DirectEnd::spin_for_room() const {
  const std::uint32_t seen = out_.read_index().load_relaxed();
  const bool has_room = spin_until(
      [&] {
        return out_.read_index().load_acquire() != seen ||
               (proto::Gate(lane_->out_gate).low_half() & proto::kGateClosed) != 0;
      },
      spin_limit_ns());
  note_spin(has_room);
  return has_room;
}

// Nothing of this end is on its way in the carrier. With the out gate held.
bool DirectEnd::may_write() const {
  // What a daemon that died had not read, the kernel throws away with its end B: the queue is empty then, and those bytes
  // are lost; so none may follow. HUP is there before the queue is emptied, so it is asked for after.
  const auto is_empty = [this] { return real::is_queue_empty(fd_) && !real::has_hung_up(fd_); };
  if (!sends().none()) sends().clean(is_empty);
  return sends().none() && (SharedCell(lane_->raw).load_relaxed() == 0 || is_empty());
}

// A reader on another CPU is to begin early. One on ours takes the CPU away when it is woken, so the ring is to be
// full by then.
std::size_t DirectEnd::turn_bytes() const {
  const bool shares_cpu = last_seen(area_.lane(proto::opposite_lane(index_))) == SeenOn::kOurCpu;
  return shares_cpu ? out_.data_bytes() : kTurnBytes;
}

// A count; 0: the ring is full; kThroughCarrier: it must not be written now.
long DirectEnd::write_turn(const Parts& from, std::size_t skip, bool whole) {
  std::size_t wanted = from.bytes - skip;
  if (wanted > kTurnBytes) [[unlikely]]
    wanted = std::min(wanted, turn_bytes());
  if (!may_touch(from, skip + wanted, Access::kRead)) return kThroughCarrier;
  HeldGate held;
  if (!take(lane_->out_gate, &held)) return kThroughCarrier;
  VMBUS_FAULT(kSendGateTaken);
  InTurn turn;
  const long count =
      may_write() ? write_packets(from, skip, wanted, whole, &turn) : kThroughCarrier;
  if (turn.wakes_reader) turn.wakes_reader = !feed_reader();
  give(held, turn);
  return count;
}

long DirectEnd::write_packets(const Parts& from, std::size_t skip, std::size_t wanted, bool whole,
                              InTurn* turn) const {
  auto writer = ring::PipeWriter::resume(out_);
  if (!writer) return report_error(lane_->out_error, turn);
  std::array<ring::Span, kSpans> spans;
  const auto batch = writer->prepare_batch(packet_bytes_, wanted, spans);
  if (!batch) return report_error(lane_->out_error, turn);
  if (whole && batch->bytes < wanted) return 0;
  CopyLap lap(area_.lane(proto::opposite_lane(index_)), batch->bytes);
  Cursor(from, skip).copy_into(std::span(spans).first(batch->span_count), lap.way());
  lap.end();
  VMBUS_FAULT(kSendCopied);
  writer->finish_batch(batch->bytes);
  VMBUS_FAULT(kSendStaged);
  turn->wakes_reader = writer->commit();
  VMBUS_FAULT(kSendPublished);
  count_sent(batch->bytes);
  VMBUS_FAULT(kSendCounted);
  return static_cast<long>(batch->bytes);
}

}  // namespace vmbus::shim
