#include "shim/direct.h"

#include <linux/futex.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "ringbuf/pipe_writer.h"
#include "shim/daemon_client.h"
#include "shim/environment.h"
#include "shim/fork.h"
#include "shim/real.h"
#include "shim/ring_map.h"
#include "shim/sandbox.h"
#include "shim/spin.h"
#include "shim/user_ranges.h"

namespace vmbus::shim {
namespace {

using proto::Gate;
using proto::GateTaken;
using ring::SharedCell;

constexpr std::size_t kTurnBytes = 64 * 1024;  // written with the gate held once
constexpr std::size_t kSpans = 16;

// For a gate: others hold it for one copy, unless they were stopped in the middle of it.
constexpr int kGatePolls = 200;
constexpr int kGateWaits = 10;
constexpr timespec kGateWait{0, 1'000'000};

bool is_inside(std::uint32_t first, std::uint32_t count, std::size_t page_bytes) {
  return (std::size_t{first} + count) * ring::kPageBytes <= page_bytes;
}

// The first `bytes` of the program's buffers.
bool may_touch(const Parts& parts, std::size_t bytes, Access access) {
  for (std::size_t i = 0; i < parts.count && bytes > 0; ++i) {
    const std::size_t length = std::min(parts.parts[i].iov_len, bytes);
    if (!may_touch(parts.parts[i].iov_base, length, access)) return false;
    bytes -= length;
  }
  return true;
}

// Walks a vector of buffers.
class Cursor {
 public:
  Cursor(const Parts& parts, std::size_t skip) : parts_(parts) { advance(skip); }

  // What is left of the part at hand; empty at the end.
  std::span<std::byte> piece() {
    while (part_ < parts_.count && offset_ == parts_.parts[part_].iov_len) next();
    if (part_ == parts_.count) return {};
    auto* base = static_cast<std::byte*>(parts_.parts[part_].iov_base);
    return {base + offset_, parts_.parts[part_].iov_len - offset_};
  }
  // REQUIRES: within what is left altogether.
  void advance(std::size_t bytes) {
    while (bytes > 0) {
      const std::size_t step = std::min(bytes, piece().size());
      offset_ += step;
      bytes -= step;
    }
  }

 private:
  void next() {
    ++part_;
    offset_ = 0;
  }

  const Parts& parts_;
  std::size_t part_ = 0;
  std::size_t offset_ = 0;
};

void copy_out_of(Cursor& from, std::span<const ring::Span> to) {
  for (ring::Span span : to) {
    while (span.size > 0) {
      const std::span<std::byte> piece = from.piece();
      const std::size_t length = std::min(piece.size(), span.size);
      std::memcpy(span.data, piece.data(), length);
      from.advance(length);
      span.data += length;
      span.size -= length;
    }
  }
}

std::uint32_t used_bytes(const ring::RingMemory& ring) {
  const auto indices = ring::load_indices(ring);
  return indices ? ring::distance(indices->read_index, indices->write_index, ring.data_bytes()) : 0;
}

bool is_queue_empty(int fd) {
  int queued = 0;
  return real::call(SYS_ioctl, fd, SIOCOUTQ, &queued) == 0 && queued == 0;
}

}  // namespace

DirectEnd DirectEnd::of(int fd, FdEntry entry, const proto::Endpoint& endpoint) {
  DirectEnd end;
  if (endpoint.memory == 0 || endpoint.state != proto::EndpointState::kConnected ||
      !environment().works_rings || !is_of_current_bus(entry) || is_sandboxed() ||
      endpoint.lane >= proto::kLanes) {
    return end;
  }
  if (gate_owner() == 0 && connect_to_daemon(Start::kNever) != 0) return end;
  const std::uint32_t client = gate_owner();
  const MappedMemory memory = memory_of(fd, entry, endpoint);
  if (client == 0 || memory.base == nullptr || !is_daemon_alive() ||
      !is_inside(endpoint.in_first_page, endpoint.in_pages, memory.page_bytes) ||
      !is_inside(endpoint.out_first_page, endpoint.out_pages, memory.page_bytes)) {
    return end;
  }
  const auto pages = [&memory](std::uint32_t first, std::uint32_t count) {
    return std::span(memory.base + std::size_t{first} * ring::kPageBytes,
                     std::size_t{count} * ring::kPageBytes);
  };
  const auto in = ring::RingMemory::over(pages(endpoint.in_first_page, endpoint.in_pages));
  const auto out = ring::RingMemory::over(pages(endpoint.out_first_page, endpoint.out_pages));
  if (!in || !out) return end;
  end.fd_ = fd;
  end.entry_ = entry;
  end.client_ = client;
  end.generation_ = endpoint.lane_generation;
  end.index_ = endpoint.lane;
  end.packet_bytes_ = endpoint.packet_bytes;
  end.one_packet_ = (endpoint.quirks & proto::kQuirkReadsStream) == 0;
  end.area_ = proto::LaneArea(memory.base + memory.page_bytes);
  end.in_ = *in;
  end.out_ = *out;
  end.lane_ = &end.area_.lane(endpoint.lane);
  return end;
}

// ---- gates --------------------------------------------------------------------------------------

bool DirectEnd::take(std::uint64_t& word) {
  signals_.block();
  const Gate gate(word);
  for (int waits = 0; waits <= kGateWaits; ++waits) {
    for (int poll = 0; poll < kGatePolls; ++poll) {
      const GateTaken taken = gate.take(generation_, client_);
      if (taken == GateTaken::kYes) return true;
      if (taken == GateTaken::kNever) {
        signals_.restore();
        return false;
      }
      pause_cpu();
    }
    if (gate.want(generation_, proto::kGateAwaited)) {
      const std::uint32_t seen = gate.low_half();
      if ((seen & proto::kGateAwaited) == 0) continue;
      real::call(SYS_futex, &word, FUTEX_WAIT, seen, &kGateWait);
    }
  }
  signals_.restore();
  return false;
}

void DirectEnd::give(std::uint64_t& word, const InTurn& turn) {
  const std::uint32_t asked = Gate(word).give(generation_, client_);
  if ((asked & proto::kGateAwaited) != 0) real::call(SYS_futex, &word, FUTEX_WAKE, 0x7FFFFFFF);
  if (turn.signals_peer) ring_peer();
  if (turn.needs_look || (asked & proto::kGateWanted) != 0) ring_look();
  signals_.restore();
}

void DirectEnd::ring_look() const {
  if (area_.ring(index_, proto::Bell::kLook)) ring_daemon(entry_);
}

void DirectEnd::ring_peer() const {
  if (area_.ring(proto::opposite_lane(index_), proto::Bell::kSignal)) ring_daemon(entry_);
}

// ---- receiving ----------------------------------------------------------------------------------

long DirectEnd::receive(const Parts& to, int flags, bool may_wait) {
  real::cancellation_point();
  const bool peeks = (flags & MSG_PEEK) != 0;
  // All or nothing: what has to wait for more in the middle, a signal and a time limit must be able to
  // end as the kernel does.
  if ((flags & MSG_WAITALL) != 0 && may_wait && (peeks || !holds_all(to.bytes))) {
    cool();
    return kThroughCarrier;
  }
  bool may_spin = may_wait && !peeks;
  for (;;) {
    // Judged before the gate is taken: the kernel may have to fetch the buffers' pages.
    const std::size_t there = std::min<std::size_t>(to.bytes, used_bytes(in_));
    if (!may_touch(to, there, Access::kWrite)) {
      cool();
      return kThroughCarrier;
    }
    if (!take(lane_->in_gate)) return kThroughCarrier;
    InTurn turn;
    const long count = receive_turn(to, there, flags, may_spin, &turn);
    give(lane_->in_gate, turn);
    if (count != 0) return count;
    // A spin may end without data; then one more look, and the kernel.
    if (turn.spins) {
      may_spin = false;
      const std::uint32_t seen = in_.read_index().load_relaxed();
      note_spin(spin_past(in_.write_index(), seen, lane_->in_gate));
    } else if (!turn.again) {
      return kThroughCarrier;
    }
  }
}

// With the gate held: a count; kThroughCarrier; or 0, and `turn` says what comes next.
long DirectEnd::receive_turn(const Parts& to, std::size_t limit, int flags, bool may_spin,
                             InTurn* turn) {
  if (const long count = receive_from_carrier(to, flags); count != 0) return count;
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  if (!reader) return report_error(lane_->in_error, turn);
  const auto count = read_parts(*reader, to, limit, flags);
  if (!count) return report_error(lane_->in_error, turn);
  if (*count != 0 && (flags & MSG_PEEK) != 0) return static_cast<long>(*count);
  if (*count != 0) {
    // SYNC(lane.position): before read_index moves; pairs with LaneEnd::catch_up().
    proto::store_position(*lane_, reader->position());
    turn->signals_peer = reader->commit();
    SharedCell<std::uint64_t> bytes(lane_->bytes_in);
    bytes.store_relaxed(bytes.load_relaxed() + *count);
    stay_warm(turn);
    return static_cast<long>(*count);
  }
  if (reader->at_fin()) {  // the daemon's to consume
    in_.interrupt_mask().store_seq_cst(0);
    turn->needs_look = true;
    return kThroughCarrier;
  }
  const auto has_data = reader->has_data();
  if (has_data && *has_data) {  // came after the buffers were judged
    turn->again = true;
    return 0;
  }
  if (may_spin && !real::is_nonblocking(fd_) && is_spin_worth_it(area_, index_)) {
    stay_warm(turn);
    turn->spins = true;
    return 0;
  }
  const auto asleep = reader->prepare_to_sleep();
  if (!asleep) return report_error(lane_->in_error, turn);
  turn->again = !*asleep;
  return *asleep ? kThroughCarrier : 0;
}

bool DirectEnd::holds_all(std::size_t bytes) {
  const auto in_flags = SharedCell(lane_->in_flags).load_relaxed();
  return (in_flags & proto::kLaneCarrierHolds) == 0 &&
         static_cast<std::size_t>(readable_bytes()) >= bytes;
}

// What the pump put there comes first. 0: it is empty.
long DirectEnd::receive_from_carrier(const Parts& to, int flags) const {
  const SharedCell<std::uint32_t> in_flags(lane_->in_flags);
  if ((in_flags.load_relaxed() & proto::kLaneCarrierHolds) == 0) return 0;
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(to.parts);
  message.msg_iovlen = to.count;
  const bool peeks = (flags & MSG_PEEK) != 0;
  const long count = real::call(SYS_recvmsg, fd_, &message, MSG_DONTWAIT | (peeks ? MSG_PEEK : 0));
  // Less than was asked for proves nothing: a bad buffer behind a good one ends a receive early, too.
  if (count == -EAGAIN) in_flags.fetch_and(~std::uint32_t{proto::kLaneCarrierHolds});
  if (count > 0) return count;
  return count == -EAGAIN ? 0 : kThroughCarrier;  // the end, or a bad buffer: the kernel says it
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

// The mask is set while nobody tells us: the daemon watches.
void DirectEnd::stay_warm(InTurn* turn) {
  const SharedCell<std::uint32_t> turns(lane_->in_turns);
  turns.store_relaxed(turns.load_relaxed() + 1);
  note_cpu(*lane_);
  const SharedCell<std::uint32_t> in_flags(lane_->in_flags);
  if ((in_flags.load_relaxed() & proto::kLaneWatched) == 0) {
    in_flags.fetch_or(proto::kLaneWatched);
    turn->needs_look = true;
  }
  if (in_.interrupt_mask().load_relaxed() == 0) in_.interrupt_mask().store_relaxed(1);
}

// The daemon ends a connection whose ring is nonsense; what it says then, the kernel will tell.
long DirectEnd::report_error(std::uint32_t& where, InTurn* turn) {
  SharedCell(where).store_seq_cst(1);
  turn->needs_look = true;
  return kThroughCarrier;
}

// Until the peer's index is another than `seen`, or nobody may work the ring any more.
bool DirectEnd::spin_past(ring::SharedWord index, std::uint32_t seen, std::uint64_t& gate) {
  return spin_until([&] {
    return index.load_acquire() != seen || (Gate(gate).low_half() & proto::kGateClosed) != 0;
  });
}

void DirectEnd::cool() {
  if (in_.interrupt_mask().load_relaxed() == 0 || !take(lane_->in_gate)) return;
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  InTurn turn{.needs_look = !reader.ok()};
  if (reader.ok()) {
    const auto asleep = reader->prepare_to_sleep();
    turn.needs_look = !asleep.ok() || !*asleep;
  }
  give(lane_->in_gate, turn);
}

long DirectEnd::readable_bytes() {
  if (!take(lane_->in_gate)) return 0;
  auto reader = ring::ReadTurn::begin(in_, proto::load_position(*lane_));
  const long bytes = reader.ok() ? static_cast<long>(reader->readable_bytes()) : 0;
  give(lane_->in_gate, {});
  return bytes;
}

// ---- sending ------------------------------------------------------------------------------------

long DirectEnd::send(const Parts& from, bool may_wait) {
  real::cancellation_point();
  note_send();
  std::size_t sent = 0;
  while (sent < from.bytes) {
    const long count = write_turn(from, sent);
    if (count > 0) sent += static_cast<std::size_t>(count);
    if (count > 0) continue;
    const bool full = count == 0;
    if (!full || !may_wait || !is_spin_worth_it(area_, index_) || real::is_nonblocking(fd_)) {
      break;
    }
    const std::uint32_t seen = out_.read_index().load_relaxed();
    const bool has_room = spin_past(out_.read_index(), seen, lane_->out_gate);
    note_spin(has_room);
    if (!has_room) break;
  }
  return sent > 0 ? static_cast<long>(sent) : kThroughCarrier;
}

// Nothing of this end is on its way in the carrier. With the out gate held.
bool DirectEnd::may_write() const {
  const auto is_empty = [this] { return is_queue_empty(fd_); };
  if (!sends().none()) sends().clean(is_empty);
  return sends().none() && (SharedCell(lane_->raw).load_relaxed() == 0 || is_empty());
}

// A count; 0: the ring is full; kThroughCarrier: it must not be written now.
long DirectEnd::write_turn(const Parts& from, std::size_t skip) {
  const std::size_t wanted = std::min(from.bytes - skip, kTurnBytes);
  if (!may_touch(from, skip + wanted, Access::kRead)) return kThroughCarrier;
  if (!take(lane_->out_gate)) return kThroughCarrier;
  InTurn turn;
  const long count = may_write() ? write_packets(from, skip, wanted, &turn) : kThroughCarrier;
  give(lane_->out_gate, turn);
  return count;
}

long DirectEnd::write_packets(const Parts& from, std::size_t skip, std::size_t wanted,
                              InTurn* turn) {
  auto writer = ring::PipeWriter::resume(out_);
  if (!writer) return report_error(lane_->out_error, turn);
  std::array<ring::Span, kSpans> spans;
  const auto batch = writer->prepare_batch(packet_bytes_, wanted, spans);
  if (!batch) return report_error(lane_->out_error, turn);
  Cursor cursor(from, skip);
  copy_out_of(cursor, std::span(spans).first(batch->span_count));
  writer->finish_batch(batch->bytes);
  turn->signals_peer = writer->commit();
  const SharedCell<std::uint64_t> bytes(lane_->bytes_out);
  bytes.store_relaxed(bytes.load_relaxed() + batch->bytes);
  note_cpu(*lane_);
  return static_cast<long>(batch->bytes);
}

}  // namespace vmbus::shim
