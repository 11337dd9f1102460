// Lane: what programs and the daemon share about one end of a connection, beside its rings.
//
// A program on a hooked call reads and writes the rings itself, between turns of the daemon's pump.
// The lane has the two gates that keep them apart, and what one turn must tell the next. Lanes stand
// behind a guest's pages in the same memory file: who may write a ring may write its lane.
//
//     | pages of the partition ... | bells (1 page) | lane 0 | lane 1 | lane 2 | ...
//                                    bit n: lane n     one connection   the next
//
// Who         shim/direct.cc and emu/hvsocket/lanes.cc, and nobody else.
// Trust       Anybody who maps the file may store anything. A wrong word costs connections of that
//             partition; every index and length is judged by ringbuf, every owner by the daemon.
// Contract    docs/lanes.md
#ifndef VMBUS_EMU_PROTOCOL_LANE_H_
#define VMBUS_EMU_PROTOCOL_LANE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ringbuf/read_turn.h"
#include "ringbuf/shared_word.h"

namespace vmbus::proto {

// Two for each of a guest's 2,047 channels, and as many for connections within the partition.
inline constexpr std::uint32_t kLanes = 8192;
constexpr std::uint32_t opposite_lane(std::uint32_t lane) { return lane ^ 1U; }

// ---- gates --------------------------------------------------------------------------------------

// The low half of a gate. A program's client number is below kGateDaemon.
inline constexpr std::uint32_t kGateFree = 0;
inline constexpr std::uint32_t kGateDaemon = 1U << 28;
inline constexpr std::uint32_t kGateClosed = 1U << 29;
inline constexpr std::uint32_t kGateWanted = 1U << 30;  // the daemon wants it: ring when it is free
inline constexpr std::uint32_t kGateAwaited = 1U << 31;  // a thread sleeps on it: wake it
inline constexpr std::uint32_t kGateOwner = kGateWanted - 1;

enum class GateTaken : std::uint8_t {
  kYes,
  kBusy,
  kNever,  // closed, or of another connection by now
};

// One direction's lock. `generation` is the endpoint's: a program that still knows an earlier
// connection of the same lane does not get in.
class Gate {
 public:
  explicit Gate(std::uint64_t& word) : word_(word) {}

  // The daemon's, for a new connection.
  void open(std::uint32_t generation) const { word_.store_seq_cst(make(generation, kGateFree)); }
  GateTaken take(std::uint32_t generation, std::uint32_t owner) const;
  // Returns kGateWanted and kGateAwaited as they were asked for meanwhile. Changes nothing if the gate was
  // taken away from this owner: the daemon gives up on one that was stopped for long.
  std::uint32_t give(std::uint32_t generation, std::uint32_t owner) const;
  // SYNC(lane.gate): the same, where nothing has to be told. False: not had; not given, give() will say
  // why. take() and give() on their short way.
  bool try_take(std::uint32_t generation, std::uint32_t owner) const {
    std::uint64_t seen = make(generation, kGateFree);
    return word_.compare_exchange(seen, make(generation, owner));
  }
  bool try_give(std::uint32_t generation, std::uint32_t owner) const {
    std::uint64_t seen = make(generation, owner);
    return word_.compare_exchange(seen, make(generation, kGateFree));
  }
  // Asks the owner to say when it is done. False: there is none (any more), nor will one be if it is closed: try
  // again.
  bool want(std::uint32_t generation, std::uint32_t how) const;
  // By the daemon, whoever holds it: its owner is dead, or a lie.
  void seize(std::uint32_t generation, std::uint32_t owner) const {
    word_.store_seq_cst(make(generation, owner));
  }
  // By the daemon, holding it or not: for good. The low half as it was.
  std::uint32_t close(std::uint32_t generation) const {
    return low(word_.exchange(make(generation, kGateClosed)));
  }

  std::uint32_t owner() const { return low(word_.load_seq_cst()) & kGateOwner; }
  std::uint32_t low_half() const { return low(word_.load_seq_cst()); }

 private:
  static constexpr std::uint64_t make(std::uint32_t generation, std::uint32_t state) {
    return std::uint64_t{generation} << 32 | state;
  }
  static constexpr std::uint32_t low(std::uint64_t word) {
    return static_cast<std::uint32_t>(word);
  }
  static constexpr bool is_held(std::uint32_t state) {
    return (state & kGateOwner) != kGateFree && (state & kGateClosed) == 0;
  }

  ring::SharedCell<std::uint64_t> word_;
};

// ---- bytes on their way in the carrier -------------------------------------------------------------

// Whether bytes of the sending direction may be in the carrier. Ahead of the ring's, they would be
// overtaken by a packet that is written now.
class CarrierSends {
 public:
  CarrierSends(std::uint64_t& word, std::uint32_t generation)
      : word_(word), generation_(std::uint64_t{generation} << 32) {}

  // The daemon's, for a new connection. Who still sends for an earlier one changes nothing here.
  void open() const { word_.store_seq_cst(generation_); }
  bool none() const { return (word_.load_seq_cst() & kAny) == 0; }
  // The daemon holds bytes, or a plug, back.
  bool keeps() const { return (word_.load_seq_cst() & kKept) != 0; }
  // And nothing else is on its way.
  bool only_kept() const { return (word_.load_seq_cst() & kAny) == kKept; }
  // Around each send of a program in the kernel. A program that dies in between leaves the direction
  // to the carrier for good.
  void begin() const;
  void end() const;
  // The daemon holds bytes back, or holds none any more.
  void keep(bool keeps) const;
  // With the gate held: `is_empty` looks at the carrier. None is left if it says so and nobody has
  // begun since before it looked.
  template <typename IsEmpty>
  void clean(IsEmpty is_empty) const {
    std::uint64_t before = word_.load_seq_cst();
    if ((before & kCountMask) != 0 || (before & kDirty) == 0 || !is_empty()) return;
    word_.compare_exchange(before, before & ~kDirty);
  }

 private:
  static constexpr std::uint64_t kDirty = 1;  // somebody has begun since the carrier was seen empty
  static constexpr std::uint64_t kKept = 2;
  static constexpr std::uint64_t kCountOne = 4;
  static constexpr std::uint64_t kCountMask = 0xFFFC;  // 16,383 threads
  static constexpr std::uint64_t kAny = 0xFFFF;
  static constexpr std::uint64_t kNumberOne = 0x1'0000;
  static constexpr std::uint64_t kLowHalf = 0xFFFF'FFFF;

  bool is_ours(std::uint64_t word) const { return (word & ~kLowHalf) == generation_; }
  template <typename Change>
  void change(Change change) const {
    std::uint64_t before = word_.load_seq_cst();
    while (is_ours(before)) {
      const std::uint64_t after = generation_ | (change(before) & kLowHalf);
      if (word_.compare_exchange(before, after)) return;
    }
  }

  ring::SharedCell<std::uint64_t> word_;
  std::uint64_t generation_;
};

// ---- the memory -----------------------------------------------------------------------------------

enum LaneInFlags : std::uint32_t {
  kLaneCarrierHolds = 1,  // the pump put bytes into the carrier that may be unread
  kLaneWatched = 2,       // the daemon looks every millisecond
  kLaneEnded = 4,         // the carrier is shut: it has the answer, behind its bytes. Never cleared
};

// One end of a connection. 128 bytes: one cache line a direction.
//
//   offset  size  field         written by, holding the direction's gate but for * ones
//        0     8  in_gate       * programs and daemon
//        8     8  position      whoever reads: packet index, bytes taken of it
//       16     4  in_flags      * LaneInFlags
//       20     4  in_turns      programs: counts their turns
//       24     4  in_error      programs: the ring is nonsense; the daemon ends the connection
//       28     4  sleepers      * the generation: readers may sleep on this word (a futex); who wakes them
//                               stores 0
//       32     8  bytes_in      programs: received past the pump
//       40     4  shown         shown_at(index): the packet there is in the carrier, too, and counts as read
//                               once the carrier is empty, as long as `position` is at it; 0: none is.
//                               Programs store 0 only
//       44     4  fed           fed_at(index): whoever holds the gate is putting the packet there into the carrier,
//                               which was empty (a feed); 0: nobody is. Left behind by one who died: the
//                               daemon looks whether it is there
//       48    16  (reserved)    0
//       64     8  out_gate      * programs and daemon
//       72     8  carrier_sends * CarrierSends
//       80     4  raw           * not 0: others may write into the carrier without counting
//       84     4  out_sleepers  * the same for writers that wait for room
//       88     4  out_error     programs
//       92     4  cpu           * programs: where the last turn ran, plus 1; 0: unknown
//       96     8  bytes_out     programs: sent past the pump
//      104     4  room_wanted   daemon: 1: it waits for room, or looks whether it has to, or it alone writes
//      108    20  (reserved)    0
struct Lane {
  std::uint64_t in_gate;
  std::uint64_t position;
  std::uint32_t in_flags;
  std::uint32_t in_turns;
  std::uint32_t in_error;
  std::uint32_t sleepers;
  std::uint64_t bytes_in;
  std::uint32_t shown;
  std::uint32_t fed;
  std::array<std::uint32_t, 4> reserved_48;
  std::uint64_t out_gate;
  std::uint64_t carrier_sends;
  std::uint32_t raw;
  std::uint32_t out_sleepers;
  std::uint32_t out_error;
  std::uint32_t cpu;
  std::uint64_t bytes_out;
  std::uint32_t room_wanted;
  std::array<std::uint32_t, 5> reserved_108;
};
static_assert(sizeof(Lane) == 128);
static_assert(offsetof(Lane, out_gate) == 64 && offsetof(Lane, bytes_out) == 96);
static_assert(std::is_trivially_copyable_v<Lane> && std::is_standard_layout_v<Lane>);

constexpr std::uint32_t shown_at(std::uint32_t index) { return index | 1; }
constexpr std::uint32_t fed_at(std::uint32_t index) { return index | 1; }

// Is the packet at `position` in the carrier, too?
inline bool is_shown(Lane& lane, ring::ReadPosition position) {
  return ring::SharedCell(lane.shown).load_seq_cst() == shown_at(position.index);
}

ring::ReadPosition load_position(Lane& lane);
void store_position(Lane& lane, ring::ReadPosition position);

enum class Bell : std::uint8_t {
  kSignal,  // the other end of the connection signals this one
  kLook,    // run the pump for this end, or try again what its gate prevented
};

// Behind the pages of a partition's memory: bells, one bit a lane and kind, and the lanes.
class LaneArea {
 public:
  static constexpr std::size_t kBellBytes = 4096;
  static constexpr std::size_t kBytes = kBellBytes + kLanes * sizeof(Lane);

  LaneArea() = default;
  // REQUIRES: kBytes, page-aligned.
  explicit LaneArea(std::byte* base) : base_(base) {}

  Lane& lane(std::uint32_t index) const {
    return reinterpret_cast<Lane*>(base_ + kBellBytes)[index];
  }
  std::byte* bells() const { return base_; }
  // False: the bit was set already, and the daemon has not looked yet.
  bool ring(std::uint32_t lane, Bell bell) const;
  // Takes all bits of one kind away and calls use(lane) for each.
  template <typename Use>
  void answer(Bell bell, Use use) const {
    for (std::uint32_t word = 0; word < kWords; ++word) {
      ring::SharedCell<std::uint64_t> bits(bells(bell)[word]);
      if (bits.load_relaxed() == 0) continue;
      // SYNC(lane.bell): the bits are gone before anything is looked at; who rings later sets them anew.
      std::uint64_t rung = bits.exchange(0);
      for (; rung != 0; rung &= rung - 1) {
        use(word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(rung)));
      }
    }
  }

 private:
  static constexpr std::uint32_t kWords = kLanes / 64;
  static_assert(2 * kWords * sizeof(std::uint64_t) <= kBellBytes);

  std::uint64_t* bells(Bell bell) const {
    return reinterpret_cast<std::uint64_t*>(base_) + (bell == Bell::kSignal ? 0 : kWords);
  }

  std::byte* base_ = nullptr;
};

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_LANE_H_
