#include "shim/direct.h"

#include <linux/futex.h>
#include <time.h>

#include <span>

#include "ringbuf/fault_point.h"
#include "ringbuf/schedule_point.h"
#include "shim/daemon_client.h"
#include "shim/direct_cache.h"
#include "shim/environment.h"
#include "shim/feeds.h"
#include "shim/fork.h"
#include "shim/lane_sleep.h"
#include "shim/real.h"
#include "shim/ring_map.h"
#include "shim/sandbox.h"
#include "shim/spin.h"

namespace vmbus::shim {
namespace {

using proto::Gate;
using proto::GateTaken;
using ring::SharedCell;

// For a gate: others hold it for one copy, unless they were stopped in the middle of it.
constexpr int kGatePolls = ring::looks(200);
constexpr int kGateWaits = 10;
constexpr timespec kGateWait{0, 1'000'000};

// What the endpoint says of a ring. Empty: it is not inside of the memory.
struct RingPlace {
  std::uint32_t control_page;
  std::uint32_t first_page;
  std::uint32_t pages;

  ring::RingPages in(const MappedMemory& memory) const {
    const auto bytes = [](std::size_t count) { return count * ring::kPageBytes; };
    const bool is_inside = bytes(std::size_t{control_page} + 1) <= memory.page_bytes &&
                           bytes(std::size_t{first_page} + pages) <= memory.page_bytes;
    if (!is_inside) return {};
    return {memory.base + bytes(control_page), {memory.base + bytes(first_page), bytes(pages)}};
  }
};

bool wake_sleeper(std::uint32_t& sleepers) {
  VMBUS_FAULT(kWakeReaderTaken);
  return wake_from_lane(sleepers) > 0;
}

}  // namespace

DirectEnd DirectEnd::of(int fd, FdEntry entry, const proto::Endpoint& endpoint) {
  if (endpoint.memory == 0 || endpoint.state != proto::EndpointState::kConnected ||
      !environment().works_rings || !is_of_current_bus(entry) || is_sandboxed() ||
      endpoint.lane >= proto::kLanes) {
    return {};
  }
  if (gate_owner() == 0 && connect_to_daemon(Start::kNever) != 0) return {};
  const std::uint32_t client = gate_owner();
  const MappedMemory memory = memory_of(fd, entry, endpoint);
  if (client == 0 || memory.base == nullptr || !is_daemon_alive()) return {};
  find_cpu_word();
  const DirectEnd end = over(memory, endpoint, {fd, entry, client});
  if (end) remember(fd, entry, endpoint, end);
  return end;
}

DirectEnd DirectEnd::over(const MappedMemory& memory, const proto::Endpoint& endpoint,
                          Owner owner) {
  DirectEnd end;
  const RingPlace in_place{endpoint.in_control_page, endpoint.in_first_page, endpoint.in_pages};
  const RingPlace out_place{endpoint.out_control_page, endpoint.out_first_page, endpoint.out_pages};
  const auto in = ring::RingMemory::over(in_place.in(memory));
  const auto out = ring::RingMemory::over(out_place.in(memory));
  if (!in || !out) return end;
  end.fd_ = owner.fd;
  end.entry_ = owner.entry;
  end.client_ = owner.client;
  end.generation_ = endpoint.lane_generation;
  end.index_ = endpoint.lane;
  end.packet_bytes_ = endpoint.packet_bytes;
  end.one_packet_ = (endpoint.quirks & proto::kQuirkReadsStream) == 0;
  end.drains_ = (endpoint.quirks & proto::kQuirkCreditDrained) != 0;
  end.heeds_room_ = (endpoint.quirks & proto::kQuirkRoomOfRing) != 0;
  end.area_ = proto::LaneArea(memory.base + memory.page_bytes);
  end.in_ = *in;
  end.out_ = *out;
  end.lane_ = &end.area_.lane(endpoint.lane);
  return end;
}

// ---- gates --------------------------------------------------------------------------------------

bool DirectEnd::take(std::uint64_t& word, HeldGate* held) const {
  held->signals.block();
  const Gate gate(word);
  const GateTaken taken = gate.take(generation_, client_);
  if (taken == GateTaken::kYes || (taken == GateTaken::kBusy && take_awaited(gate, word))) {
    held->word = &word;
    return true;
  }
  held->signals.restore();
  return false;
}

// Somebody is at it, for one copy.
bool DirectEnd::take_awaited(const Gate& gate, std::uint64_t& word) const {
  for (int waits = 0; waits <= kGateWaits; ++waits) {
    for (int poll = 0; poll < kGatePolls; ++poll) {
      const GateTaken taken = gate.take(generation_, client_);
      if (taken != GateTaken::kBusy) return taken == GateTaken::kYes;
      pause_cpu();
    }
    if (gate.want(generation_, proto::kGateAwaited)) {
      const std::uint32_t seen = gate.low_half();
      if ((seen & proto::kGateAwaited) == 0) continue;
      real::call(SYS_futex, &word, FUTEX_WAIT, seen, &kGateWait);
    }
  }
  return false;
}

void DirectEnd::give(HeldGate& held, InTurn turn) const {
  const std::uint32_t asked = Gate(*held.word).give(generation_, client_);
  VMBUS_FAULT(kGateGiven);
  if ((asked & proto::kGateAwaited) != 0) wake_awaiting(*held.word);
  turn.needs_look |= (asked & proto::kGateWanted) != 0;
  end_turn(held, turn);
}

void DirectEnd::finish_turn(std::uint64_t& word, bool is_given, InTurn turn) const {
  HeldGate held;
  held.word = &word;
  if (is_given) return end_turn(held, turn);
  give(held, turn);
}

// With the gate given up.
void DirectEnd::end_turn(HeldGate& held, InTurn turn) const {
  tell(&turn);
  if (turn.sleeps) held.is_interrupted = held.signals.would_interrupt(turn.restarts);
  held.signals.restore();
  if (turn.feed_is_due) ask_for_feed(fd_, entry_, key());
}

void DirectEnd::wake_awaiting(std::uint64_t& gate) {
  real::call(SYS_futex, &gate, FUTEX_WAKE, 0x7FFFFFFF);
}

void DirectEnd::tell(InTurn* turn) const {
  if (turn->wakes_reader) wake_reader(turn);
  if (turn->wakes_writer) wake_writer_of(proto::opposite_lane(index_));
  if (turn->wakes_sleepers && SharedCell(lane_->sleepers).exchange(0) != 0) {
    wake_from_lane(lane_->sleepers);
  }
  if (turn->needs_look) ring_look(index_);
}

void DirectEnd::ring_look(std::uint32_t lane) const {
  if (area_.ring(lane, proto::Bell::kLook)) ring_daemon(entry_);
}

// Whoever sleeps on the lane is woken, and the daemon watches that it does come: it may have been about
// to leave, for a signal say. Nobody there: the daemon's pump carries on.
// SYNC(lane.sleepers): exchanged after the index was published; pairs with find_nothing().
void DirectEnd::wake_reader(InTurn* turn) const {
  const std::uint32_t opposite = proto::opposite_lane(index_);
  proto::Lane& peer = area_.lane(opposite);
  if (SharedCell(peer.sleepers).exchange(0) != 0 && wake_sleeper(peer.sleepers)) {
    VMBUS_FAULT(kWakeReaderWoken);
    const auto before = SharedCell(peer.in_flags).fetch_or(proto::kLaneWatched);
    VMBUS_FAULT(kWakeReaderWatched);
    if ((before & proto::kLaneWatched) == 0) ring_look(opposite);
    return;
  }
  if (!area_.ring(opposite, proto::Bell::kSignal)) return;
  ring_daemon(entry_);
  turn->feed_is_due = is_feed_due(key());
}

// There is room: for a writer that sleeps, and for the daemon, if it waits for some.
// SYNC(lane.sleepers): as above; pairs with sleep_for_room().
void DirectEnd::wake_writer_of(std::uint32_t lane) const {
  proto::Lane& peer = area_.lane(lane);
  if (SharedCell(peer.out_sleepers).exchange(0) != 0) {
    VMBUS_FAULT(kWakeWriterTaken);
    wake_from_lane(peer.out_sleepers);
    VMBUS_FAULT(kWakeWriterWoken);
  }
  const bool daemon_waits = SharedCell(peer.room_wanted).load_seq_cst() != 0;
  if (daemon_waits && area_.ring(lane, proto::Bell::kSignal)) ring_daemon(entry_);
}

// The daemon ends a connection whose ring is nonsense; what it says then, the kernel will tell.
long DirectEnd::report_error(std::uint32_t& where, InTurn* turn) {
  SharedCell(where).store_seq_cst(1);
  turn->needs_look = true;
  return kThroughCarrier;
}

}  // namespace vmbus::shim
