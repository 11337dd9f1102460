#include "emu/hvsocket/lane_end.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <utility>

#include "emu/hvsocket/carrier_end.h"
#include "emu/shown_packet.h"
#include "ringbuf/fault_point.h"

namespace vmbus::emu {
namespace {

using proto::Gate;
using ring::SharedCell;

constexpr int kTakeAttempts = 16;
// A program that reads and reads may have lost its CPU for a while, and what the pump carries in its place
// costs more than the wait.
constexpr int kLooksToBeTrusted = 16;
constexpr int kTrustedLooks = 8;

void wake_all(const void* word) {
  ::syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void wake_registered(std::uint32_t& sleepers) {
  if (SharedCell(sleepers).exchange(0) != 0) wake_all(&sleepers);
}

}  // namespace

LaneEnd::Pages LaneEnd::pages_of(const GuestMemory& memory, const ring::RingMemory& ring) {
  const auto page = [&memory](const std::byte* at) {
    return static_cast<std::uint32_t>(memory.pfn_of(at).value);
  };
  return {page(ring.control_page()), page(ring.data_pages().data()),
          static_cast<std::uint32_t>(ring.data_bytes() / proto::kPageBytes)};
}

LaneEnd::LaneEnd(GuestMemory& memory, std::uint32_t index, std::uint32_t generation,
                 const Stream& stream, int b)
    : memory_(&memory),
      index_(index),
      generation_(generation),
      shared_(&memory.lanes().lane(index)),
      in_(pages_of(memory, stream.in.memory())),
      out_(pages_of(memory, stream.out.memory())),
      b_(b) {
  // Word by word: programs of an earlier connection may still look at it.
  SharedCell(shared_->in_flags).store_seq_cst(proto::kLaneWatched);
  SharedCell(shared_->in_turns).store_seq_cst(0);
  SharedCell(shared_->in_error).store_seq_cst(0);
  SharedCell(shared_->sleepers).store_seq_cst(0);
  SharedCell(shared_->shown).store_seq_cst(0);
  SharedCell(shared_->fed).store_seq_cst(0);
  SharedCell(shared_->bytes_in).store_seq_cst(0);
  sends().open();
  SharedCell(shared_->raw).store_seq_cst(0);
  SharedCell(shared_->out_error).store_seq_cst(0);
  SharedCell(shared_->out_sleepers).store_seq_cst(0);
  SharedCell(shared_->room_wanted).store_seq_cst(0);
  SharedCell(shared_->bytes_out).store_seq_cst(0);
  SharedCell(shared_->cpu).store_seq_cst(0);
  proto::store_position(*shared_, stream.in.position());
  Gate(shared_->in_gate).open(generation_);
  Gate(shared_->out_gate).open(generation_);
}

void LaneEnd::leave_to_pump(proto::Lane& shared) {
  SharedCell(shared.sleepers).store_seq_cst(0);
  SharedCell(shared.out_sleepers).store_seq_cst(0);
  SharedCell(shared.room_wanted).store_seq_cst(1);
}

void LaneEnd::describe(proto::Endpoint& image) const {
  if (in_closed_) return;
  image.memory = memory_->id();
  image.lane = index_;
  image.lane_generation = generation_;
  image.in_control_page = in_.control;
  image.in_first_page = in_.first;
  image.in_pages = in_.count;
  image.out_control_page = out_.control;
  image.out_first_page = out_.first;
  image.out_pages = out_.count;
}

Turn LaneEnd::take(std::uint64_t& word, bool closed, const IsClient& is_client) const {
  if (closed) return Turn::kYes;
  const Gate gate(word);
  for (int attempt = 0; attempt < kTakeAttempts; ++attempt) {
    const proto::GateTaken taken = gate.take(generation_, proto::kGateDaemon);
    if (taken == proto::GateTaken::kYes) return Turn::kYes;
    const std::uint32_t owner = gate.owner();
    const bool given_up = taken == proto::GateTaken::kBusy && owner == proto::kGateFree;
    if (given_up) continue;
    const bool is_theirs = owner < proto::kGateDaemon && is_client(owner);
    if (taken == proto::GateTaken::kNever || !is_theirs) {
      gate.seize(generation_, proto::kGateDaemon);  // the word is a lie, or its owner dead
      return Turn::kYes;
    }
    if (gate.want(generation_, proto::kGateWanted)) return Turn::kLater;
  }
  return Turn::kAgain;
}

void LaneEnd::give(std::uint64_t& word) const {
  const std::uint32_t asked = Gate(word).give(generation_, proto::kGateDaemon);
  VMBUS_FAULT(kGateGiven);
  if ((asked & proto::kGateAwaited) != 0) wake_all(&word);
}

// Who sleeps on the gate is to see that it never opens again.
std::uint32_t LaneEnd::shut(std::uint64_t& word) const {
  const std::uint32_t before = Gate(word).close(generation_);
  if ((before & proto::kGateAwaited) != 0) wake_all(&word);
  return before & proto::kGateOwner;
}

Turn LaneEnd::begin_in(Stream& stream, const IsClient& is_client) {
  const Turn turn = take(shared_->in_gate, in_closed_, is_client);
  VMBUS_FAULT(kPumpInTaken);
  if (turn != Turn::kYes) return turn;
  if (std::exchange(stops_watching_, false)) {
    SharedCell(shared_->in_flags).fetch_and(~std::uint32_t{proto::kLaneWatched});
  }
  if (in_closed_) return Turn::kYes;
  // SYNC(lane.position): where the last reader stopped, even if it died before it moved read_index. Pairs
  // with DirectEnd::receive_turn().
  const bool fault = SharedCell(shared_->in_error).load_relaxed() != 0 ||
                     !stream.in.resume(proto::load_position(*shared_)).ok();
  if (!fault) settle_feed(stream);
  return fault ? Turn::kFault : Turn::kYes;
}

// A program died while it put a packet into the carrier. Nobody else has taken from ring or carrier by a turn
// since, and the carrier was empty when it began: bytes there are the packet's.
// SYNC(lane.fed): pairs with DirectEnd::feed_turn().
void LaneEnd::settle_feed(Stream& stream) const {
  const std::uint32_t fed = SharedCell(shared_->fed).load_seq_cst();
  if (fed == 0) return;
  const ring::ReadPosition position = stream.in.position();
  const bool is_next = fed == proto::fed_at(position.index) && position.taken_bytes == 0;
  if (is_next && queued_at_a(b_) > 0 && step_over_packet(stream.in)) {
    proto::store_position(*shared_, stream.in.position());
  }
  SharedCell(shared_->fed).store_seq_cst(0);
}

void LaneEnd::end_in(const Stream& stream, bool gave_to_carrier) {
  if (in_closed_) return;
  proto::store_position(*shared_, stream.in.position());
  VMBUS_FAULT(kPumpInPosition);
  if (gave_to_carrier) SharedCell(shared_->in_flags).fetch_or(proto::kLaneCarrierHolds);
  VMBUS_FAULT(kPumpInHolds);
  give(shared_->in_gate);
}

Turn LaneEnd::begin_out(Stream& stream, const IsClient& is_client) {
  const Turn turn = take(shared_->out_gate, out_closed_, is_client);
  VMBUS_FAULT(kPumpOutTaken);
  if (turn != Turn::kYes) return turn;
  if (out_closed_ || stream.fin_sent) return Turn::kYes;
  auto writer = ring::PipeWriter::resume(stream.out.memory());
  const bool fault = SharedCell(shared_->out_error).load_relaxed() != 0 || !writer.ok();
  if (fault) return Turn::kFault;
  stream.out = std::move(writer).value();
  // SYNC(lane.sleepers): before this turn may ask for room; pairs with DirectEnd::wake_writer().
  SharedCell(shared_->room_wanted).store_seq_cst(1);
  // What an earlier turn waited for; this one asks again if it has to.
  stream.out.memory().pending_send_size().store_relaxed(0);
  return Turn::kYes;
}

void LaneEnd::end_out(const Stream& stream, bool keeps,
                      const std::function<bool()>& carrier_is_empty) {
  if (out_closed_) return;
  if (stream.fin_sent) {  // nothing may follow it
    shut(shared_->out_gate);
    out_closed_ = true;
    wake_writers();
    return;
  }
  sends().keep(keeps);
  VMBUS_FAULT(kPumpOutKept);
  if (!keeps) SharedCell(shared_->room_wanted).store_seq_cst(0);
  if (!keeps) sends().clean(carrier_is_empty);
  give(shared_->out_gate);
  wake_writers();
}

// SYNC(lane.sleepers): the exchange comes after what there is to see; pairs with
// DirectEnd::find_nothing(), where the look comes after the store.
void LaneEnd::wake_sleepers() const {
  if (SharedCell(shared_->sleepers).exchange(0) == 0) return;
  VMBUS_FAULT(kPumpWakeTaken);
  wake_all(&shared_->sleepers);
}

// SYNC(lane.sleepers): as above; pairs with DirectEnd::sleep_for_room().
void LaneEnd::wake_writers() const { wake_registered(shared_->out_sleepers); }

void LaneEnd::wake_all_sleepers() const {
  for (std::uint32_t* word : {&shared_->sleepers, &shared_->out_sleepers}) {
    SharedCell(*word).store_seq_cst(0);
    wake_all(word);
  }
}

void LaneEnd::mark_raw() const { SharedCell(shared_->raw).store_seq_cst(1); }

void LaneEnd::close_gate(std::uint64_t& word, const IsClient& is_client) const {
  const std::uint32_t owner = shut(word);
  if (owner == proto::kGateFree || owner >= proto::kGateDaemon || !is_client(owner)) return;
  memory_->keep_for({owner,
                     index_,
                     {proto::Pfn{in_.control}, proto::Pfn{in_.first}, proto::Pfn{out_.control},
                      proto::Pfn{out_.first}}});
}

bool LaneEnd::close(Stream& stream, const IsClient& is_client, bool forced) {
  if (!in_closed_) {
    if (take(shared_->in_gate, false, is_client) != Turn::kYes && !forced) return false;
    if (stream.in.resume(proto::load_position(*shared_)).ok()) settle_feed(stream);
    if (shows_packet(stream.in.position())) step_over_packet(stream.in);
    hide_packet();
    close_gate(shared_->in_gate, is_client);
    in_closed_ = true;
    wake_sleepers();
  }
  if (!out_closed_) {
    if (take(shared_->out_gate, false, is_client) != Turn::kYes && !forced) return false;
    close_gate(shared_->out_gate, is_client);
    out_closed_ = true;
    wake_writers();
  }
  // If the connection goes on, the pump alone waits here.
  SharedCell(shared_->room_wanted).store_seq_cst(1);
  return true;
}

bool LaneEnd::is_busy() {
  const std::uint32_t turns = SharedCell(shared_->in_turns).load_relaxed();
  if (std::exchange(turns_seen_, turns) != turns) {
    quiet_looks_ = 0;
    ++busy_looks_;
    return true;
  }
  if (++quiet_looks_ < (busy_looks_ < kLooksToBeTrusted ? 1 : kTrustedLooks)) return true;
  busy_looks_ = 0;
  return false;
}

}  // namespace vmbus::emu
