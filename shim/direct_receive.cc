// DirectEnd: the receiving half.
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <span>
#include <utility>

#include "ringbuf/fault_point.h"
#include "shim/asked_ends.h"
#include "shim/direct_whole.h"
#include "shim/lane_sleep.h"
#include "shim/real.h"
#include "shim/spin.h"

namespace vmbus::shim {
namespace {

using ring::SharedCell;

constexpr int kReadsPerQuestion = 16;  // of reads from the carrier
// Longer than a tick of any kernel's: a timer that is due before the next one costs 2 us to set and to take back.
constexpr std::int64_t kUnaskedSleepNs = 20'000'000;

std::uint32_t used_bytes(const ring::RingMemory& ring) {
  const auto indices = ring::load_indices(ring);
  return indices ? ring::distance(indices->read_index, indices->write_index, ring.data_bytes()) : 0;
}

}  // namespace

long DirectEnd::receive(const Parts& to, int flags, Wait wait) {
  real::cancellation_point();
  const bool peeks = (flags & MSG_PEEK) != 0;
  // All or nothing: what has to wait for more in the middle, a signal and a time limit must be able to
  // end as the kernel does.
  const bool insists = (flags & MSG_WAITALL) != 0 && wait != Wait::kNo;
  if (insists && !heeds_room_ && (peeks || !holds_all(to.bytes))) {
    cool();
    return kThroughCarrier;
  }
  if (peeks) wait = Wait::kNo;
  // A peer that makes the ring look full and empty by turns, or wakes for nothing, is left to the kernel,
  // which a signal interrupts. Who sleeps in earnest gets there after minutes, and loses nothing.
  for (int look = 0; look < kVainLooks; ++look) {
    // Judged before the gate is taken: the kernel may have to fetch the buffers' pages.
    const std::size_t there = std::min<std::size_t>(to.bytes, used_bytes(in_));
    if (!may_touch(to, there, Access::kWrite)) {
      cool();
      return kThroughCarrier;
    }
    HeldGate held;
    if (!take(lane_->in_gate, &held)) return kThroughCarrier;
    InTurn turn;
    turn.restarts = wait == Wait::kSleep;
    const long count = receive_turn(to, there, flags, wait, &turn);
    give(held, turn);
    if (count != 0) return count;
    if (turn.spins && !spin_for_data()) return kWouldWait;
    if (!turn.sleeps) continue;
    if (held.is_interrupted) return -EINTR;
    if (const long ended = sleep_for_data(wait); ended != 0) return ended;
  }
  cool();
  return kThroughCarrier;
}

// With the gate held: a result; or 0, and `turn` says what comes next.
long DirectEnd::receive_turn(const Parts& to, std::size_t limit, int flags, Wait wait,
                             InTurn* turn) {
  VMBUS_FAULT(kReceiveGateTaken);
  if (const long count = receive_from_carrier(to, flags, turn); count != 0) {
    const bool took = count > 0 && (flags & MSG_PEEK) == 0;
    if (took && !heeds_room_ && may_leave_warm() && reads_without_waiting()) {
      turn->needs_look |= stay_warm();
    }
    return count;
  }
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  if (!reader) return report_error(lane_->in_error, turn);
  const auto count = read_parts(*reader, to, limit, flags);
  if (!count) return report_error(lane_->in_error, turn);
  if (*count != 0 && (flags & MSG_PEEK) != 0) return static_cast<long>(*count);
  if (*count != 0) {
    // SYNC(lane.position): before read_index moves; pairs with LaneEnd::catch_up().
    VMBUS_FAULT(kReceiveCopied);
    proto::store_position(*lane_, reader->position());
    VMBUS_FAULT(kReceivePosition);
    turn->wakes_writer |= give_room_back(*reader);
    VMBUS_FAULT(kReceiveReleased);
    count_received(*count);
    VMBUS_FAULT(kReceiveCounted);
    turn->needs_look |= leave(reader->position().index);
    return static_cast<long>(*count);
  }
  if (reader->at_fin()) {  // the daemon's to consume
    in_.interrupt_mask().store_seq_cst(0);
    VMBUS_FAULT(kReceiveAtFin);
    turn->needs_look = true;
    return kThroughCarrier;
  }
  const auto has_data = reader->has_data();
  if (has_data && *has_data) {  // came after the buffers were judged
    turn->again = true;
    return 0;
  }
  return find_nothing(*reader, wait, turn);
}

long DirectEnd::find_nothing(ring::ReadTurn& reader, Wait wait, InTurn* turn) {
  if (wait == Wait::kSpin) {
    if (!is_spin_worth_it()) return kWouldWait;
    if (!may_block_ && real::is_nonblocking(fd_)) return kWouldWait;
    may_block_ = true;
    turn->needs_look |= stay_warm();
    turn->spins = true;
    return 0;
  }
  return lie_down(reader, wait == Wait::kSleep || wait == Wait::kSleepOn, turn);
}

// The next bytes are announced; if it `sleeps`, to a sleeper. 0: turn->sleeps, or turn->again.
// SYNC(lane.sleepers): stored before the last look; pairs with wake_reader() and
// LaneEnd::wake_sleepers().
long DirectEnd::lie_down(ring::ReadTurn& reader, bool sleeps, InTurn* turn) const {
  // Somebody may have died between the position and read_index.
  turn->wakes_writer |= reader.commit();
  if (sleeps) SharedCell(lane_->sleepers).store_seq_cst(generation_);
  VMBUS_FAULT(kReceiveSleeper);
  const auto asleep = reader.prepare_to_sleep();
  VMBUS_FAULT(kReceiveUnmasked);
  if (!asleep) return report_error(lane_->in_error, turn);
  turn->again = !*asleep;
  if (!*asleep) return 0;
  // The end is said without the gate: it must be looked for again, too. Whoever registered meanwhile is
  // woken in the place of those who said it.
  const bool ended = (SharedCell(lane_->in_flags).load_seq_cst() & proto::kLaneEnded) != 0;
  turn->sleeps = sleeps && !ended;
  turn->wakes_sleepers = sleeps && ended;
  return turn->sleeps ? 0 : kThroughCarrier;
}

bool DirectEnd::holds_all(std::size_t bytes) const {
  return (SharedCell(lane_->in_flags).load_relaxed() & kAskCarrier) == 0 &&
         static_cast<std::size_t>(readable_bytes()) >= bytes;
}

// What the pump put there comes first. 0: it is empty.
long DirectEnd::receive_from_carrier(const Parts& to, int flags, InTurn* turn) const {
  const SharedCell<std::uint32_t> in_flags(lane_->in_flags);
  if ((in_flags.load_relaxed() & kAskCarrier) == 0) return 0;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(to.parts);
  message.msg_iovlen = to.count;
  const bool peeks = (flags & MSG_PEEK) != 0;
  const long count = real::call(SYS_recvmsg, fd_, &message, MSG_DONTWAIT | (peeks ? MSG_PEEK : 0));
  // Less than was asked for proves nothing: a bad buffer behind a good one ends a receive early, too.
  if (count == -EAGAIN) in_flags.fetch_and(~std::uint32_t{proto::kLaneCarrierHolds});
  if (count == -EAGAIN) VMBUS_FAULT(kReceiveCarrierEmpty);
  if (count > 0) VMBUS_FAULT(kReceiveCarrierRead);
  if (count == -EAGAIN || (count > 0 && !peeks)) {
    if (!step_over_shown(turn)) return report_error(lane_->in_error, turn);
  }
  if (count > 0) return count;
  return count == -EAGAIN ? 0 : kThroughCarrier;  // the end, or a bad buffer: the kernel says it
}

// A thread that takes from the carrier again and again either waits for it where no hook sees that, and must be told
// of each packet; or never waits, and would find the next in the ring, were it not put into the carrier. Asked
// now and then: the kernel counts waits.
bool DirectEnd::reads_without_waiting() {
  if (++carrier_reads_ % kReadsPerQuestion != 0) return false;
  rusage usage{};
  if (real::call(SYS_getrusage, RUSAGE_THREAD, &usage) != 0) return false;
  const long before = std::exchange(waits_seen_, usage.ru_nvcsw);
  return usage.ru_nvcsw - before < kReadsPerQuestion / 4;
}

// The packet that the carrier shows is read once the carrier is empty. False: the ring is nonsense.
bool DirectEnd::step_over_shown(InTurn* turn) const {
  const ring::ReadPosition position = proto::load_position(*lane_);
  if (!proto::is_shown(*lane_, position) || !is_carrier_empty()) return true;
  auto reader = ring::ReadTurn::begin(in_, position);
  if (!reader || !reader->skip_packet()) return false;
  // SYNC(lane.position): as in receive_turn(); from here on `shown` means nothing.
  proto::store_position(*lane_, reader->position());
  VMBUS_FAULT(kReceiveShownPosition);
  SharedCell(lane_->shown).store_seq_cst(0);
  VMBUS_FAULT(kReceiveShownCleared);
  turn->wakes_writer |= give_room_back(*reader);
  // SYNC(ring.wake): as in RingReader::prepare_to_sleep(). The next packet is to be shown.
  turn->needs_look = in_.write_index().load_seq_cst() != reader->position().index;
  return true;
}

bool DirectEnd::give_room_back(ring::ReadTurn& reader) const {
  return drains_ ? reader.commit_if_drained() : reader.commit();
}

void DirectEnd::settle() const {
  HeldGate held;
  if (SharedCell(lane_->shown).load_seq_cst() == 0 || !take(lane_->in_gate, &held)) return;
  InTurn turn;
  if (!step_over_shown(&turn)) report_error(lane_->in_error, &turn);
  give(held, turn);
}

Result<std::size_t, ring::RingError> DirectEnd::read_parts(ring::ReadTurn& reader, const Parts& to,
                                                           std::size_t limit, int flags) const {
  const bool one_packet = one_packet_ && (flags & MSG_WAITALL) == 0;
  Cursor cursor(to, 0);
  std::size_t done = 0;
  while (done < limit) {
    const std::span<std::byte> piece = cursor.piece();
    const auto count = reader.read(piece.first(std::min(piece.size(), limit - done)), one_packet);
    if (!count && done == 0) return count;
    if (!count || *count == 0) break;
    cursor.advance(*count);
    done += *count;
    if (one_packet && reader.position().taken_bytes == 0) break;
  }
  return done;
}

// SYNC(ring.wake): as in RingReader::prepare_to_sleep(). The next bytes behind `index` are announced. True: they
// are there already, and the daemon is to look.
bool DirectEnd::unmask(std::uint32_t index) const {
  in_.interrupt_mask().store_seq_cst(0);
  return in_.write_index().load_seq_cst() != index;
}

// True: it was not, so the daemon is to be told.
bool DirectEnd::watch() const {
  SharedCell(lane_->in_flags).fetch_or(proto::kLaneWatched);
  VMBUS_FAULT(kReceiveWatched);
  return true;
}

// Until there is something in the ring or the carrier, or nobody may work the ring any more. A
// descriptor that became O_NONBLOCK since it was last asked costs its caller the first looks.
bool DirectEnd::spin_for_data() {
  const std::uint32_t seen = in_.read_index().load_relaxed();
  const auto is_ready = [&] {
    return in_.write_index().load_acquire() != seen ||
           (SharedCell(lane_->in_flags).load_relaxed() & kAskCarrier) != 0 ||
           (proto::Gate(lane_->in_gate).low_half() & proto::kGateClosed) != 0;
  };
  bool found = spin_until(is_ready, 0);
  if (!found) {
    may_block_ = !real::is_nonblocking(fd_);
    found = may_block_ && spin_until(is_ready, spin_limit_ns());
  }
  note_spin(found);
  return found;
}

// What the kernel said holds until a hook sees it changed, or, changed past all hooks, for kUnaskedSleepNs: asking is two
// calls, a sixth of a round trip on one CPU.
bool DirectEnd::may_sleep() {
  const std::uint32_t epoch = waits_epoch();
  waits_change_ = last_waits_change(entry_.endpoint);
  const KnownEndUse known(fd_);
  is_unasked_ = known.receives() && known.end().may_sleep_epoch_ == epoch;
  may_block_ |= is_unasked_;
  const bool may = is_unasked_ || ask_may_sleep();
  if (may && known.receives()) known.end().may_sleep_epoch_ = epoch;
  return may;
}

bool DirectEnd::ask_may_sleep() {
  may_block_ = !real::is_nonblocking(fd_);
  return may_block_ && may_sleep_on_lane(fd_, SO_RCVTIMEO);
}

// After a sleep that nobody was asked about. What a hook saw change since the call began is for the next call.
bool DirectEnd::may_go_on_sleeping() {
  is_unasked_ = false;
  const std::uint64_t change = last_waits_change(entry_.endpoint);
  if (change != 0 && change != waits_change_) return true;
  const bool may = ask_may_sleep();
  if (!may) note_waits_changed();
  return may;
}

// 0: look again.
long DirectEnd::sleep_for_data(Wait wait) {
  const LaneSleep how{is_unasked_ ? kUnaskedSleepNs : kReaderSleepNs, wait == Wait::kSleep};
  switch (sleep_on_lane(lane_->sleepers, generation_, how)) {
    case Slept::kWoken:
      return 0;
    case Slept::kInterrupted:
      return -EINTR;
    case Slept::kNever:
      return kThroughCarrier;
    case Slept::kLongEnough:
      break;
  }
  if (is_unasked_) return may_go_on_sleeping() ? 0 : kThroughCarrier;
  char byte = 0;
  const long result =
      real::call(SYS_recvfrom, fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT, nullptr, nullptr);
  return result == -EAGAIN ? 0 : kThroughCarrier;
}

void DirectEnd::cool() const {
  HeldGate held;
  if (in_.interrupt_mask().load_relaxed() == 0 || !take(lane_->in_gate, &held)) return;
  InTurn turn;
  turn.needs_look = unmask(proto::load_position(*lane_).index);
  give(held, turn);
}

long DirectEnd::packet_bytes() const {
  int in_carrier = 0;
  if (real::call(SYS_ioctl, fd_, FIONREAD, &in_carrier) == 0 && in_carrier != 0) return in_carrier;
  HeldGate held;
  if (!take(lane_->in_gate, &held)) return 0;
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  const long bytes = reader.ok() ? static_cast<long>(reader->packet_bytes_left()) : 0;
  give(held, {});
  return bytes;
}

long DirectEnd::readable_bytes() const {
  HeldGate held;
  if (!take(lane_->in_gate, &held)) return 0;
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  long bytes = reader.ok() ? static_cast<long>(reader->readable_bytes()) : 0;
  if (reader.ok() && proto::is_shown(*lane_, reader->position())) {
    bytes -= static_cast<long>(reader->packet_bytes_left());  // the carrier has it
  }
  give(held, {});
  return bytes;
}

}  // namespace vmbus::shim
