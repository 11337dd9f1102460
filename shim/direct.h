// DirectEnd: a program's turns at the rings of one connected socket, past the daemon's pump.
//
// A data call (transfer.cc) makes it, or finds one made before (direct_cache.h). It moves what can be
// moved at once, within a spin, or after a sleep on the lane; or it lets the call go on in the kernel,
// on the carrier, where waiting is exactly what it is for any socket. Nothing it does has to be undone
// by anybody who uses the descriptor in another way.
//
// Trust       The peer, and every program of the partition, may write anything into rings and lanes:
//             ringbuf judges each word. A nonsensical ring is left to the daemon, which ends the
//             connection.
// Gates       Held for one copy, with signals blocked if the program handles any, never across a
//             call that waits. One that stays taken sends the call through the carrier.
// Contract    docs/lanes.md
#ifndef VMBUS_SHIM_DIRECT_H_
#define VMBUS_SHIM_DIRECT_H_

#include <cstddef>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "emu/protocol/lane.h"
#include "ringbuf/read_turn.h"
#include "ringbuf/ring_memory.h"
#include "shim/fd_table.h"
#include "shim/lane_sleep.h"
#include "shim/parts.h"
#include "shim/ring_map.h"
#include "shim/signals.h"

namespace vmbus::shim {

// Flags of a lane that send a receiver to the carrier first.
inline constexpr std::uint32_t kAskCarrier = proto::kLaneCarrierHolds | proto::kLaneEnded;

// So often in a row a call looks for nothing, which only a liar brings about; then it is the kernel's.
inline constexpr int kVainLooks = 1000;

// Outside of every result. Nothing was moved: the call goes on in the kernel; or, nothing is there, and
// the call may wait in any way.
inline constexpr long kThroughCarrier = -5001;
inline constexpr long kWouldWait = -5002;

class DirectEnd {
 public:
  // How a call waits that finds nothing, or no room. A receive ends
  enum class Wait : unsigned char {
    kNo,       // at once, and the next bytes go to the carrier: kThroughCarrier
    kSpin,     // after a spin, if one is worth it: kWouldWait
    kSleep,    // when it has an answer: it sleeps on the lane
    kSleepOn,  // the same, for the rest of a call: any signal ends it
  };

  DirectEnd() = default;
  // Empty: not connected, no lane, or this process may not or cannot work rings.
  static DirectEnd of(int fd, FdEntry entry, const proto::Endpoint& endpoint);
  struct Owner {
    int fd;
    FdEntry entry;
    std::uint32_t client;  // its number as an owner of gates
  };
  // The same over memory that is mapped. Empty: the rings do not lie in it.  REQUIRES: a lane below kLanes.
  static DirectEnd over(const MappedMemory& memory, const proto::Endpoint& endpoint, Owner owner);
  explicit operator bool() const { return lane_ != nullptr; }
  // Other calls of the kernel's are made with `fd`, a duplicate.
  void use_descriptor(int fd) { fd_ = fd; }
  // This process's number as an owner of gates, when it was made.
  std::uint32_t client() const { return client_; }

  // A count above 0, or kThroughCarrier, or as `wait` says; a sleep may end with -EINTR.
  long receive(const Parts& to, int flags, Wait wait);
  // May a receive that found nothing sleep on the lane?
  bool may_sleep();
  struct Sent {
    std::size_t bytes;            // in the ring now
    bool full = false;            // it has no room for more
    Slept slept = Slept::kNever;  // how the wait for room ended
  };
  // Goes on behind `sent`. What is then left goes through the carrier. kSpin and kSleep: it waits a while
  // for room, a sleep after the spin.
  Sent send(const Parts& from, std::size_t sent, Wait wait);

  // The short way (direct_whole.h), for one packet of a program that handles no signals. 0, false: nothing was
  // done; go the long one.
  long receive_whole(void* buffer, std::size_t bytes) const;
  bool send_whole(const void* buffer, std::size_t bytes) const;

  // Around what the program sends in the kernel.
  void begin_carrier_send() const { sends().begin(); }
  void end_carrier_send() const { sends().end(); }

  // Before somebody looks for bytes in the carrier alone: the pump brings what is there.
  void cool() const;
  // Bytes in the ring that a receive would find.
  long readable_bytes() const;
  // What the next receive of one packet would find, in the carrier or the ring.
  long packet_bytes() const;
  bool heeds_room() const { return heeds_room_; }
  bool may_be_plugged() const { return sends().keeps(); }
  // After a receive by the kernel: the packet that the carrier showed may be read.
  void settle() const;

  // ---- for waits in poll, select and epoll (asked_ends.h)
  enum class News : unsigned char {
    kNone,
    kRing,     // there is something to read, and it is in the ring
    kCarrier,  // the carrier has something to say, or somebody is at the ring
  };
  News news() const;
  // May news() have changed since it said kNone? Loads alone.
  bool has_stirred() const;
  // The carrier has, or had, something to say.
  bool asks_carrier() const {
    return (ring::SharedCell(lane_->in_flags).load_seq_cst() & kAskCarrier) != 0;
  }
  bool is_spin_worth_it() const;
  // Before a spin: the peer need not signal.
  void warm() const;
  // This thread's waits look at the ring, or no longer.
  void set_polled(bool polled) { polled_ = polled; }
  // Until something is there to read, or the carrier has news; or for no reason. Any signal ends it. Only for
  // one who waits for nothing else but what `is_still_alone` sees. REQUIRES: news() said kNone.
  template <typename IsStillAlone>
  Slept sleep_until_stirred(std::int64_t limit_ns, IsStillAlone is_still_alone) const {
    const Slept ready = prepare_to_sleep();
    if (ready != Slept::kLongEnough) return ready;
    if (!is_still_alone(lane_->sleepers)) return Slept::kWoken;
    return sleep_on_lane(lane_->sleepers, generation_, {limit_ns, false});
  }

 private:
  // What is to be done once the gate is given up.
  struct InTurn {
    bool wakes_reader = false;  // the ring's rules want the peer signalled
    bool wakes_writer = false;
    bool needs_look = false;
    bool again = false;           // there is something, after all
    bool spins = false;           // nothing is there, and the mask stays set
    bool sleeps = false;          // there is nothing, or no room, and the peer is asked to wake
    bool restarts = false;        // such a sleep, as a handler's SA_RESTART says
    bool wakes_sleepers = false;  // of this end's readers
    bool feed_is_due = false;     // the daemon was rung often enough
  };
  // A program that handles signals has them blocked while it holds a gate, and until it has rung.
  struct HeldGate {
    std::uint64_t* word = nullptr;
    BlockedSignals signals;
    bool is_interrupted = false;  // a turn that ends in a sleep: by a signal that came meanwhile
  };

  proto::CarrierSends sends() const {
    return proto::CarrierSends(lane_->carrier_sends, generation_);
  }
  bool may_write() const;
  bool take(std::uint64_t& word, HeldGate* held) const;
  bool take_awaited(const proto::Gate& gate, std::uint64_t& word) const;
  // Also rings what `turn` says. Signals come through only then: a handler may end the program, or
  // never come back here.
  void give(HeldGate& held, InTurn turn) const;
  // After the short way.
  void finish_turn(std::uint64_t& word, bool is_given, InTurn turn) const;
  void end_turn(HeldGate& held, InTurn turn) const;
  void tell(InTurn* turn) const;
  void ring_look(std::uint32_t lane) const;
  void wake_reader(InTurn* turn) const;
  void wake_writer_of(std::uint32_t lane) const;
  static void wake_awaiting(std::uint64_t& gate);
  static long report_error(std::uint32_t& where, InTurn* turn);

  long receive_turn(const Parts& to, std::size_t limit, int flags, Wait wait, InTurn* turn);
  bool may_leave_warm() const;
  bool reads_without_waiting();
  long find_nothing(ring::ReadTurn& reader, Wait wait, InTurn* turn);
  long lie_down(ring::ReadTurn& reader, bool sleeps, InTurn* turn) const;
  News news_in_turn(InTurn* turn) const;
  Slept prepare_to_sleep() const;
  bool spin_for_data();
  long sleep_for_data(Wait wait);
  bool ask_may_sleep();
  bool may_go_on_sleeping();
  long receive_from_carrier(const Parts& to, int flags, InTurn* turn) const;
  bool is_carrier_empty() const;
  bool step_over_shown(InTurn* turn) const;
  bool give_room_back(ring::ReadTurn& reader) const;
  Result<std::size_t, ring::RingError> read_parts(ring::ReadTurn& reader, const Parts& to,
                                                  std::size_t limit, int flags) const;
  bool leave(std::uint32_t index) const;
  bool stay_warm() const;
  bool watch() const;
  bool unmask(std::uint32_t index) const;
  void count_turn() const;
  bool holds_all(std::size_t bytes) const;

  // direct_feed.cc
  std::uint64_t key() const;  // feeds.h
  bool feed_reader() const;
  bool feed_turn(proto::Lane& peer, int b, InTurn* turn) const;
  bool note_fed(proto::Lane& peer, ring::ReadTurn& reader, std::size_t sent, std::size_t bytes,
                InTurn* turn) const;

  std::size_t turn_bytes() const;  // at most, of a large send
  long write_turn(const Parts& from, std::size_t skip, bool whole);
  long write_packets(const Parts& from, std::size_t skip, std::size_t wanted, bool whole,
                     InTurn* turn) const;
  bool spin_for_room() const;
  void count_sent(std::size_t bytes) const;
  void count_received(std::size_t bytes) const;
  Slept wait_for_room(Wait wait, bool is_begun);
  Slept sleep_for_room(bool restarts);

  int fd_ = -1;
  FdEntry entry_{};
  std::uint32_t client_ = 0;
  std::uint32_t generation_ = 0;
  std::uint32_t index_ = 0;  // of the lane
  std::uint32_t packet_bytes_ = 0;
  bool one_packet_ = true;   // a receive from the ring ends with its packet
  bool drains_ = false;      // and gives room back once the ring is empty
  bool heeds_room_ = false;  // what the ring has no room for is not sent
  bool may_block_ = false;   // the descriptor was not O_NONBLOCK when last asked
  bool is_unasked_ = false;  // a sleep begins without asking the kernel whether it may
  bool polled_ = false;      // this thread's waits look at the ring
  std::uint32_t may_sleep_epoch_ =
      0;                            // waits_epoch() when the kernel said of a known end that it may
  std::uint64_t waits_change_ = 0;  // last_waits_change() when this call asked
  std::uint32_t carrier_reads_ = 0;
  long waits_seen_ = 0;  // of this thread, when it was last asked how it reads the carrier
  proto::Lane* lane_ = nullptr;
  proto::LaneArea area_;
  ring::RingMemory in_;
  ring::RingMemory out_;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DIRECT_H_
