// LaneEnd: the daemon's hand on one lane (emu/protocol/lane.h): the gates it takes for the pump, and
// what programs need to know to work the rings themselves.
//
// Threads     The loop thread; programs take the same gates at any time.
// Trust       Programs may store anything in the lane. A gate whose owner is no client that is there,
//             or that claims to be the daemon's, is simply taken over.
// Never       Waits for a gate: who holds it rings when it is free.
// Contract    docs/lanes.md
#ifndef VMBUS_EMU_HVSOCKET_LANE_END_H_
#define VMBUS_EMU_HVSOCKET_LANE_END_H_

#include <cstdint>
#include <functional>

#include "emu/guest_memory.h"
#include "emu/hvsocket/stream.h"
#include "emu/protocol/endpoint_table.h"
#include "emu/protocol/lane.h"

namespace vmbus::emu {

// Is that the number of a client that is there?
using IsClient = std::function<bool(std::uint32_t client)>;

enum class Turn : std::uint8_t {
  kYes,    // the ring is the daemon's until the turn is ended
  kLater,  // a program is at it, and rings when it is done
  kAgain,  // programs are at it, one after another: try again
  kFault,  // the ring is nonsense
};

class LaneEnd {
 public:
  // Opens the gates. `b`: of the carrier, which outlives this. REQUIRES: the rings of `stream` stand in `memory`.
  LaneEnd(GuestMemory& memory, std::uint32_t index, std::uint32_t generation, const Stream& stream,
          int b);

  // Of an end that has no LaneEnd: the programs at the other one, which may have, find nobody asleep here, and
  // tell the daemon of room.
  static void leave_to_pump(proto::Lane& shared);

  GuestMemory& memory() const { return *memory_; }
  std::uint32_t index() const { return index_; }
  std::uint32_t generation() const { return generation_; }
  void describe(proto::Endpoint& image) const;

  // The packet at `position` is in the carrier, too (emu/shown_packet.h). With the in gate held.
  bool shows_packet(ring::ReadPosition position) const {
    return proto::is_shown(*shared_, position);
  }
  void show_packet(ring::ReadPosition position) const {
    ring::SharedCell(shared_->shown).store_seq_cst(proto::shown_at(position.index));
  }
  void hide_packet() const { ring::SharedCell(shared_->shown).store_seq_cst(0); }
  // Programs are shut out of the reading side.
  bool in_closed() const { return in_closed_; }

  // A turn of the pump: its reader or writer goes on where programs stopped.
  Turn begin_in(Stream& stream, const IsClient& is_client);
  void end_in(const Stream& stream, bool gave_to_carrier);
  Turn begin_out(Stream& stream, const IsClient& is_client);
  // `carrier_is_empty`: looks, with a system call. `keeps`: bytes of the program are left in the carrier
  // or the daemon.
  // After FIN it closes the gate.
  void end_out(const Stream& stream, bool keeps, const std::function<bool()>& carrier_is_empty);
  // The out gate for a moment, without a turn: nobody writes meanwhile. Then let_go_of_out(). Never kFault.
  Turn hold_out(const IsClient& is_client) const {
    return take(shared_->out_gate, out_closed_, is_client);
  }
  void let_go_of_out() const {
    if (!out_closed_) give(shared_->out_gate);
  }
  // Unaccounted bytes came through the carrier: from now on senders look there themselves.
  void mark_raw() const;
  bool expects_sends() const { return !sends().none(); }

  // The carrier has news: a reader that sleeps is to look there. Without the gate.
  void wake_sleepers() const;
  // Writers that sleep are to look again.
  void wake_writers() const;
  // The carrier is about to be shut, and says then what there is to say behind its bytes.
  void announce_end() const { ring::SharedCell(shared_->in_flags).fetch_or(proto::kLaneEnded); }
  // Whoever had set about waking may have died between the word and the call.
  void wake_all_sleepers() const;

  // Shuts programs out for good. False: one of them is at it. `forced`: shuts them out all the same; what
  // they may still write to is kept for them (emu/stale_turns.h).
  bool close(Stream& stream, const IsClient& is_client, bool forced);

  // ---- watching, while a program keeps the mask set between its calls
  bool is_watched() const {
    return (ring::SharedCell(shared_->in_flags).load_relaxed() & proto::kLaneWatched) != 0;
  }
  // Has a program had a turn lately? One that has been at it for long is given more time.
  bool is_busy();
  // The next begin_in() ends the watch.
  void stop_watching() { stops_watching_ = true; }

  std::uint64_t bytes_in() const { return ring::SharedCell(shared_->bytes_in).load_relaxed(); }
  std::uint64_t bytes_out() const { return ring::SharedCell(shared_->bytes_out).load_relaxed(); }

 private:
  struct Pages {
    std::uint32_t control;
    std::uint32_t first;  // of the data pages
    std::uint32_t count;
  };
  proto::CarrierSends sends() const {
    return proto::CarrierSends(shared_->carrier_sends, generation_);
  }
  static Pages pages_of(const GuestMemory& memory, const ring::RingMemory& ring);
  // Never kFault.
  Turn take(std::uint64_t& word, bool closed, const IsClient& is_client) const;
  void give(std::uint64_t& word) const;
  // Wakes who waits for it. Who held it.
  std::uint32_t shut(std::uint64_t& word) const;
  void close_gate(std::uint64_t& word, const IsClient& is_client) const;
  void settle_feed(Stream& stream) const;

  GuestMemory* memory_;
  std::uint32_t index_;
  std::uint32_t generation_;
  proto::Lane* shared_;
  Pages in_;
  Pages out_;
  int b_;
  bool in_closed_ = false;
  bool out_closed_ = false;
  bool stops_watching_ = false;
  std::uint32_t turns_seen_ = 0;
  int busy_looks_ = 0;
  int quiet_looks_ = 0;  // in a row
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_LANE_END_H_
