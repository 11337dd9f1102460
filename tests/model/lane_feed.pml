/*
 * Lane, fed by its writer: a sender whose peer waits in the kernel puts the packet into the peer's
 * carrier itself, in the daemon's place.  docs/lanes.md is the contract; lane_in.pml and lane_wake.pml
 * have what this builds on.  Tags: lane.gate, lane.fed.
 *
 * Shown       Each byte arrives once and in order, whoever takes it and from where (assertion), and
 *             nobody waits for ever while bytes are in ring or carrier (that would be an invalid end
 *             state), wherever the feeder is killed.
 * The rule    writer, when the ring's rule says "signal" and nobody sleeps on the lane: takes the
 *             reader's gate if it is free.  Only if the mask is 0, the packet is the next one and the
 *             last, and the carrier is empty: mark, kCarrierHolds, the carrier, position, read_index,
 *             no mark.  Then it gives the gate up.  In all
 *             other cases it rings the daemon.
 *             daemon, when it takes the gate of one who died: if the mark is at position, and the
 *             carrier holds something, the packet is there, and counts as read; no mark.
 * In the code shim/direct_feed.cc; emu/hvsocket/lane_end.cc, LaneEnd::settle_feed()
 * Abstract    A packet is one byte.  The daemon knows of a death at once.  A reader that leaves warm
 *             calls again, so there is no sweep.  What only the holder of the gate can see is one step
 *             with what comes before it.
 * Left out    A receive past the gate, while the feeder is dead and the daemon has not looked:
 *             docs/limitations.md.  A partial send: a packet is one buffer of the kernel's.
 * Memory      Sequentially consistent, as Spin is.
 *
 * Who is there
 *   default        a reader with hooks that waits in the kernel, or sleeps on the lane, and a feeder
 *   UNHOOKED       one more reader, that knows the kernel only
 *   FEEDER_DIES    the feeder may be killed anywhere; its heir goes on behind what it published
 * Legal, must pass
 *   RING_UNASKED     does not ask whether the packet is the only one: the ring's rule has said so
 * Variants that must fail
 *   POSITION_FIRST   FEEDER_DIES: position and read_index before the carrier
 *   HOLDS_LATE       FEEDER_DIES: kCarrierHolds after the carrier
 *   UNMARKED         FEEDER_DIES: no mark
 *   MARK_IGNORED     FEEDER_DIES: the daemon does not look at it
 *   CARRIER_UNASKED  FEEDER_DIES: feeds into a carrier that is not empty
 *   CARRIER_UNLOOKED FEEDER_DIES: the daemon takes the mark alone for the packet's being there
 *   UNGATED          feeds without the reader's gate
 *   SLEEPER_UNSEEN   feeds although somebody sleeps on the lane, and wakes nobody
 *   REFUSED_UNTOLD   UNHOOKED: cannot feed, and does not ring
 */
#define RING 3    /* slots; one stays empty, so that full and empty differ */
#define CARRIER 2 /* bytes that the carrier holds */
#define BYTES 4   /* a packet each: the indices wrap */

#define FREE 0
#define DAEMON 1
#define READER 2
#define FEEDER 3
#define HEIR 4

#define NEXT(index) (((index) + 1) % RING)
#define PREVIOUS(index) (((index) + RING - 1) % RING)
#define DISTANCE(from, to) (((to) + RING - (from)) % RING)
#define NOTHING RING /* no mark */

/* The ring.  A packet is its number, from 1. */
byte slot[RING];
byte write_index;
byte read_index;
bit interrupt_mask;

/* The lane. */
byte gate_owner;
bit gate_wanted;
byte position;
bit carrier_holds;
byte fed = NOTHING;
bit sleepers;

bit record; /* the daemon has something to do for this lane */
bit asleep;
chan carrier = [CARRIER] of { byte };

byte sent;
byte arrived;
bit gone; /* the feeder is done, or dead */

/* Within an atomic sequence, as the next three. */
inline take_byte() {
  carrier?number;
  arrived++;
  assert(number == arrived);
  number = 0
}

inline wake_sleeper() {
  sleepers = 0;
  asleep = 0
}

inline give_gate() {
  gate_owner = FREE;
  if
  :: gate_wanted -> gate_wanted = 0; record = 1
  :: else
  fi
}

#ifdef RING_UNASKED
#define IS_ONLY_PACKET (position != write_index)
#else
#define IS_ONLY_PACKET (position != write_index && NEXT(position) == write_index)
#endif
#ifdef CARRIER_UNASKED
#define CARRIER_TAKES nfull(carrier)
#define CARRIER_TAKES_NOT full(carrier)
#else
#define CARRIER_TAKES empty(carrier)
#define CARRIER_TAKES_NOT nempty(carrier)
#endif
#ifdef UNGATED
#define GATE_TAKEN true
#else
#define GATE_TAKEN (gate_owner == FREE)
#endif
#ifdef SLEEPER_UNSEEN
#define NOBODY_SLEEPS true
#else
#define NOBODY_SLEEPS (!sleepers)
#endif

inline put_into_carrier() {
#ifdef RING_UNASKED
  atomic { carrier!slot[PREVIOUS(write_index)] }
#else
  carrier!slot[position]
#endif
}

inline move_on() {
  position = write_index;
  read_index = write_index
}

#define MAY_FEED (interrupt_mask == 0 && IS_ONLY_PACKET)

/* With the gate held; `fine` unless it cannot. */
inline feed() {
  if
  :: MAY_FEED && CARRIER_TAKES ->
#ifndef UNMARKED
     fed = position;
#endif
#ifdef POSITION_FIRST
     next = position;
     carrier_holds = 1;
     move_on();
     carrier!slot[next];
     next = 0;
#else
#ifndef HOLDS_LATE
     carrier_holds = 1;
     put_into_carrier();
#else
     put_into_carrier();
     carrier_holds = 1;
#endif
     position = write_index;
     read_index = write_index;
#endif
     fed = NOTHING;
     fine = 1
  :: !MAY_FEED
  :: CARRIER_TAKES_NOT
  fi
}

/* The ring's rule says "signal". */
inline tell(me) {
  if
#ifndef SLEEPER_UNSEEN
  :: atomic {
       sleepers -> sleepers = 0;
       if
       :: asleep -> asleep = 0 /* and the daemon watches: left out, nobody is disturbed */
       :: else -> record = 1
       fi
     }
#endif
  :: atomic { NOBODY_SLEEPS && GATE_TAKEN ->
#ifndef UNGATED
       gate_owner = me
#endif
     };
     feed();
#ifndef UNGATED
     atomic { give_gate() };
#endif
     if
     :: fine -> fine = 0
#ifdef REFUSED_UNTOLD
     :: else
#else
     :: else -> record = 1
#endif
     fi
  :: atomic { NOBODY_SLEEPS -> record = 1 } /* it has no feed, or the gate is taken */
  fi
}

inline write_all(me) {
  do
  :: atomic {
       sent < BYTES && DISTANCE(read_index, write_index) < RING - 1 ->
       sent++;
       slot[write_index] = sent;
       write_index = NEXT(write_index)
     };
     if
     :: interrupt_mask == 0 && read_index == PREVIOUS(write_index) -> tell(me)
     :: else
     fi
  :: sent == BYTES -> break
  od
}

active proctype Feeder() {
  bit fine;
#ifdef POSITION_FIRST
  byte next;
#endif

#ifdef FEEDER_DIES
  { write_all(FEEDER); gone = 1 } unless { gone }
#else
  write_all(FEEDER)
#endif
}

#ifdef FEEDER_DIES
active proctype Heir() {
  bit fine;
#ifdef POSITION_FIRST
  byte next;
#endif

  gone;
  write_all(HEIR)
}
#endif

#define ALL_ARRIVED (arrived == BYTES)

/* With the gate held, and the carrier empty: a packet of the ring, or none. */
inline read_ring() {
  if
  :: atomic {
       position != write_index ->
       assert(slot[position] == arrived + 1);
       arrived++;
       position = NEXT(position)
     };
     read_index = position;
     if
     :: interrupt_mask = 1 /* warm */
     :: interrupt_mask = 0;
        record = (position != write_index -> 1 : record)
     fi
  :: position == write_index ->
     read_index = position;
     if
     :: sleepers = 1; sleeps = 1
     :: waits = 1
     fi;
     interrupt_mask = 0;
     atomic {
       asleep = (position == write_index && sleeps && sleepers);
       sleeps = 0;
       waits = (position == write_index && waits)
     }
  fi
}

active proctype Reader() {
  byte number;
  bit got, waits, sleeps;

  do
  :: atomic { !asleep && !waits && gate_owner == FREE && !ALL_ARRIVED -> gate_owner = READER };
     do
     :: atomic { carrier_holds && nempty(carrier) -> take_byte(); got = 1 }
     :: atomic { carrier_holds && empty(carrier) -> carrier_holds = 0 }
     :: got || !carrier_holds -> break
     od;
     if
     :: got -> got = 0
     :: else -> read_ring()
     fi;
     atomic { give_gate() }
  :: atomic { waits && nempty(carrier) -> waits = 0 } /* poll, and another call */
  :: ALL_ARRIVED -> break
  od
}

#ifdef UNHOOKED
active proctype Unhooked() {
  byte number;

  do
  :: atomic { nempty(carrier) -> take_byte() }
  :: ALL_ARRIVED -> break
  od
}
#endif

inline settle() {
#ifndef MARK_IGNORED
  if
#ifdef CARRIER_UNLOOKED
  :: fed == position -> position = NEXT(position)
#else
  :: fed == position && nempty(carrier) -> position = NEXT(position)
  :: empty(carrier)
#endif
  :: fed != position
  fi;
#endif
  fed = NOTHING
}

/* blocked: the carrier said EAGAIN, and wakes the daemon when it has room. */
active proctype Daemon() {
  bit blocked;

end:
  do
  :: atomic { record && gate_owner == FREE -> record = 0; gate_owner = DAEMON };
     do
     :: atomic {
          position != write_index && nfull(carrier) ->
          carrier!slot[position];
          carrier_holds = 1;
          position = NEXT(position);
          read_index = position
        }
     :: position != write_index && full(carrier) -> blocked = 1; break
     :: position == write_index ->
        read_index = position;
        interrupt_mask = 0;
        if
        :: position == write_index -> break
        :: else
        fi
     od;
     atomic {
       gate_owner = FREE;
       if
       :: sleepers && carrier_holds -> wake_sleeper()
       :: else
       fi
     }
  :: atomic { record && gate_owner != FREE && gate_owner != DAEMON -> record = 0; gate_wanted = 1 }
  :: atomic { blocked && nfull(carrier) -> blocked = 0; record = 1 }
#ifdef FEEDER_DIES
  :: atomic {
       !gone -> gone = 1;
       if
       :: gate_owner == FEEDER -> gate_wanted = 0; settle(); gate_owner = FREE
       :: else
       fi;
       wake_sleeper();
       record = 1
     }
#endif
  od
}
