/*
 * Lane, the receiving end: programs take from carrier and ring themselves, between turns of the
 * daemon's pump.  docs/lanes.md is the contract.  Tags: lane.gate, lane.bell, lane.position.
 *
 * Shown       No interleaving leaves a reader asleep while bytes are in ring or carrier, or the end
 *             unsaid (that would be an invalid end state), and each byte arrives once and in order,
 *             whoever takes it and from where (assertion).
 * The rule    reader: with the gate held, the carrier until it is empty, then the ring.  It leaves
 *             warm (mask 1, the lane watched) or cold (mask 0, then a second look; it rings the bell
 *             if something is there).  It waits in the kernel, without the gate.
 *             who gives the gate up and finds it wanted rings.
 *             daemon: takes the bell's bit away, then the gate, or says that it wants it; fills the
 *             carrier; unmasks and looks again.  It makes a lane cold that is watched and quiet.
 * In the code shim/direct.cc; emu/hvsocket/lane_turns.cc and lane_end.cc, emu/pump.cc; ReadTurn.
 * Abstract    A sweep that finds a turn taken since the last one changes nothing, and the next may
 *             follow at once; so turns are not counted, a sweep may come at any time.
 *             What only the holder of the gate can see is one step with what comes before it.
 * Left out    Waiting for room: the sender just watches read_index (ring_space.pml has it).
 *             Generations; a gate that is closed.
 * Memory      Sequentially consistent, as Spin is.  Gate, bell and flags are changed by
 *             read-modify-writes; mask and indices have their fences in ring_wake.pml.
 *
 * Who is there
 *   default        a program whose calls are hooked, and one that knows the kernel only
 *   TWO_HOOKED     two whose calls are hooked; one of them spins
 *   READER_DIES    the hooked one has one turn, and may die anywhere in it; the daemon opens its
 *                  gate.  (lane_crash.pml has survivors with turns of their own.)
 *   PROMPT         who leaves warm calls again: then nobody needs the sweep, and there is none
 * Legal, must pass
 *   AS_FOUND       who takes from the carrier alone leaves the mask as it was
 *   CARRIER_WARM   who takes from the carrier may leave warm, too
 *   RUNG_AFTER     the own lane's bell is rung when the gate was given up (but see lane_crash.pml)
 *   SWEEP_PENDS    a sweep that finds the gate taken wants it, and the next turn ends the watch
 *   WATCHED_WAITS  the daemon leaves a watched lane to the sweep, whoever rings
 *   FRESH          the lane is born watched
 *   NO_RECHECK, END_UNSAID   without PROMPT the sweep makes up for them, up to its interval late
 * Variants that must fail
 *   NO_RECHECK            PROMPT: leaves cold without the second look
 *   END_UNSAID            PROMPT: sees the stream's end in the ring and does not ring
 *   UNWATCHED             leaves warm, or spins, and the lane is not watched
 *   WATCH_UNRUNG          sets `watched` and does not ring: the daemon does not know
 *   FRESH_UNSEEN          FRESH: nor does it know of that
 *   UNWATCH_WITHOUT_GATE  the daemon takes `watched` away when it has given the gate up
 *   PUMP_NO_RECHECK       the pump unmasks and does not look again
 *   BIT_CLEARED_LATE      the bell's bit is taken away after the pump has run
 *   WANTED_IGNORED        gives the gate up without looking whether it is wanted
 *   WANTED_APART          "wanted" is a word of its own: said when the gate may be free again
 *   RING_FIRST            takes from the ring before the carrier
 *   HOLDS_UNSAID          the pump does not set kCarrierHolds
 *   CLEAR_WITHOUT_GATE    kCarrierHolds cleared after a read in the kernel that emptied the carrier
 *   POSITION_PRIVATE      a reader goes on in a half-read packet where it stopped itself
 *   POSITION_OF_HALVES    position is stored for half-read packets only: the same index comes again
 *   READ_INDEX_FIRST      READER_DIES: read_index is stored before position
 *   NOT_BROUGHT_UP        READER_DIES: the daemon does not bring read_index up to position
 *   NO_LAST_LOOK          READER_DIES: it opens the gate and does not look at the lane
 *   BELL_LEFT             READER_DIES: it looks, but leaves the bit that was set and never told of
 */
#define RING 3    /* slots; one stays empty, so that full and empty differ */
#define CARRIER 2 /* bytes that the carrier holds */
#ifndef PACKETS
#define PACKETS 4 /* 1, 2, 1, ... bytes, then the end: the indices wrap */
#endif

#define END PACKETS
#define BYTES PACKETS
#define LENGTH(packet) (packet == 2 -> 2 : 1)
#define FIRST_BYTE(packet) (packet > 2 -> packet + 1 : packet)

#define FREE 0
#define DAEMON 1
#define PROGRAM (_pid + 2)
#define MORTAL 3

#define NEXT(index) (((index) + 1) % RING)
#define PREVIOUS(index) (((index) + RING - 1) % RING)
#define DISTANCE(from, to) (((to) + RING - (from)) % RING)
#define RING_EMPTY (write_index == read_index)
#define AT_END (!RING_EMPTY && slot[read_index] == END)
#define AT_DATA (!RING_EMPTY && slot[read_index] != END)

/* The ring.  A packet is its number, from 1. */
byte slot[RING];
byte write_index;
byte read_index;
bit interrupt_mask;

/* The lane.  Owner and "wanted" are one word, position is another. */
byte gate_owner;
bit gate_wanted;
byte position_index;
byte position_taken;
bit carrier_holds;
#ifdef FRESH
#define AT_BIRTH 1
#else
#define AT_BIRTH 0
#endif
#ifdef FRESH_UNSEEN
#define SEEN_AT_BIRTH 0
#else
#define SEEN_AT_BIRTH AT_BIRTH
#endif
bit watched = AT_BIRTH;
bit bell;

bit record; /* the daemon has something to read on its control connections */
chan carrier = [CARRIER] of { byte };
bit carrier_shut;

byte arrived; /* bytes that programs have */
bit gone;     /* READER_DIES: the mortal one has had its turn, or is dead and the daemon knows */

inline ring_bell() {
  atomic { was_silent = !bell; bell = 1 };
  if
  :: atomic { was_silent -> was_silent = 0; record = 1 }
  :: else
  fi
}

active proctype Sender() {
  byte sent;
  bit was_silent;

  do
  :: atomic {
       sent < PACKETS && DISTANCE(read_index, write_index) < RING - 1 ->
       sent++;
       slot[write_index] = sent;
       write_index = NEXT(write_index)
     };
     if
     :: interrupt_mask == 0 && read_index == PREVIOUS(write_index) -> ring_bell()
     :: else
     fi
  :: sent == PACKETS -> break
  od
}

/* ---- whoever reads the ring; each of these is within an atomic sequence ---- */

#ifdef POSITION_PRIVATE
#define TAKEN_OF(index) (my_index == index -> my_taken : 0)
#else
#define TAKEN_OF(index) (position_index == index -> position_taken : 0)
#endif

inline store_position() {
#ifdef POSITION_PRIVATE
  my_index = next;
  my_taken = taken;
#endif
#ifdef POSITION_OF_HALVES
  if
  :: taken > 0 -> position_index = next; position_taken = taken
  :: else
  fi;
#else
  position_index = next;
  position_taken = taken;
#endif
  taken = 0
}

inline step_over_byte() {
  taken++;
  if
  :: taken == LENGTH(slot[next]) -> next = NEXT(next); taken = 0
  :: else
  fi
}

/* ---- programs ---- */

#define MAY_SPIN (!spun && _pid == 1)

#ifdef RING_FIRST
#define CARRIER_FIRST (carrier_holds && RING_EMPTY)
#else
#define CARRIER_FIRST carrier_holds
#endif

/* REQUIRES: something is in the carrier. */
inline take_byte() {
  carrier?number;
  arrived++;
  assert(number == arrived);
  number = 0
}

inline take_gate_and_read_carrier() {
  atomic {
    gate_owner == FREE -> gate_owner = PROGRAM;
    do
    :: CARRIER_FIRST && nempty(carrier) -> take_byte(); got = 1
    :: CARRIER_FIRST && empty(carrier) -> carrier_holds = 0
    :: got || !CARRIER_FIRST -> break /* asked for no more */
    od
  }
}

inline copy_packets() {
  next = read_index;
  taken = TAKEN_OF(next);
  do
  :: next != write_index && slot[next] != END ->
     count++;
     assert(FIRST_BYTE(slot[next]) + taken == arrived + count);
     step_over_byte()
  :: count > 0 -> break /* asked for no more */
  od
}

/* A turn counts from here on: whoever dies before it has taken nothing. */
inline publish_position() {
  store_position();
  arrived = arrived + count;
  count = 0
}

/* Within an atomic sequence, as the next one. */
inline watch() {
  interrupt_mask = 1;
#ifndef UNWATCHED
#ifndef WATCH_UNRUNG
  must_ring = !watched;
#endif
  watched = 1
#endif
}

inline may_wait_or_call() {
#ifndef PROMPT
  if
  :: waits = 1
  :: true
  fi
#else
  skip
#endif
}

inline give_gate() {
#ifdef WANTED_APART
  gate_owner = FREE;
#endif
  atomic { gate_owner = FREE; was_wanted = gate_wanted; gate_wanted = 0 };
#ifdef WANTED_IGNORED
  was_wanted = 0;
#endif
  if
  :: was_wanted -> was_wanted = 0; ring_bell()
  :: else
  fi
}

inline ring_if_due() {
  if
  :: must_ring -> must_ring = 0; ring_bell()
  :: else
  fi
}

inline turn() {
  take_gate_and_read_carrier();
  if
#ifdef AS_FOUND
  :: got -> got = 0
#else
  :: atomic { got -> got = 0; interrupt_mask = 0 };
     must_ring = !RING_EMPTY
#endif
#ifdef CARRIER_WARM
  :: atomic { got -> got = 0; watch(); may_wait_or_call() }
#endif
#ifdef READ_INDEX_FIRST
  :: atomic { !got && AT_DATA -> copy_packets(); read_index = next };
     atomic { publish_position(); next = 0 };
#else
  :: atomic { !got && AT_DATA -> copy_packets(); publish_position() };
     atomic { read_index = next; next = 0 };
#endif
     atomic { watch(); may_wait_or_call() }
  :: atomic {
       !got && AT_END -> interrupt_mask = 0;
#ifndef END_UNSAID
       must_ring = 1;
#endif
       waits = 1
     }
  :: atomic { !got && RING_EMPTY && MAY_SPIN -> spun = 1; watch(); may_wait_or_call() }
  :: atomic { !got && RING_EMPTY -> spun = 0; waits = 1 };
     interrupt_mask = 0;
#ifndef NO_RECHECK
     must_ring = !RING_EMPTY
#endif
  fi;
#ifdef RUNG_AFTER
  give_gate();
  ring_if_due()
#else
  ring_if_due();
  give_gate()
#endif
}

/* Leaves the loop around it at the stream's end. */
inline read_in_kernel() {
  if
#ifdef CLEAR_WITHOUT_GATE
  :: atomic { nempty(carrier) -> take_byte(); less = empty(carrier) };
     if
     :: less -> carrier_holds = 0; less = 0
     :: else
     fi
#else
  :: atomic { nempty(carrier) -> take_byte() }
#endif
  :: empty(carrier) && carrier_shut -> break
  fi
}

#ifdef TWO_HOOKED
#define HOOKED 2
#else
#define HOOKED 1
#endif

active [HOOKED] proctype Program() {
  bit got, spun, waits, must_ring, was_wanted, was_silent, less;
  byte number, next, taken, count;
#ifdef POSITION_PRIVATE
  byte my_index, my_taken;
#endif

#ifdef READER_DIES
  { turn(); gone = 1 } unless { gone }
#else
  do
  :: turn();
     if
     :: waits ->
        waits = 0;
        if
        :: nempty(carrier) /* poll, and another call */
        :: read_in_kernel()
        fi
     :: else
     fi
  od;
  assert(arrived == BYTES)
#endif
}

#ifndef TWO_HOOKED
active proctype Unhooked() {
  bit less;
  byte number;

  do
  :: read_in_kernel()
  od;
  assert(arrived == BYTES)
}
#endif

/* ---- daemon ---- */

#define IDLE (gate_owner != DAEMON && !busy)

/* Within an atomic sequence, as the next three, look() and bury(). */
inline take_or_want() {
  if
  :: gate_owner == FREE -> gate_owner = DAEMON
#ifdef WANTED_APART
  :: else -> busy = 1
#else
  :: else -> gate_wanted = 1
#endif
  fi
}

inline move_byte() {
  next = read_index;
  taken = TAKEN_OF(next);
  carrier!FIRST_BYTE(slot[next]) + taken;
#ifndef HOLDS_UNSAID
  carrier_holds = 1;
#endif
  step_over_byte();
  store_position();
  read_index = next;
  next = 0
}

inline consume_end() {
  next = NEXT(read_index);
  store_position();
  read_index = next;
  next = 0;
  carrier_shut = 1
}

inline pump() {
  do
  :: atomic { AT_DATA && nfull(carrier) -> move_byte() }
  :: AT_DATA && full(carrier) -> blocked = 1; break
  :: atomic { AT_END -> consume_end() }
  :: RING_EMPTY ->
     interrupt_mask = 0;
#ifdef PUMP_NO_RECHECK
     break
#else
     if
     :: RING_EMPTY -> break
     :: else
     fi
#endif
  od
}

inline look() {
#ifndef PROMPT
  watching = watching || watched;
#endif
#ifdef WATCHED_WAITS
  if
  :: watching
  :: else -> take_or_want()
  fi
#else
  take_or_want()
#endif
}

inline bury() {
  if
  :: gate_owner == MORTAL ->
     gate_owner = FREE;
     gate_wanted = 0;
#ifndef NOT_BROUGHT_UP
     if
     :: DISTANCE(read_index, position_index) <= DISTANCE(read_index, write_index) ->
        read_index = position_index
     :: else
     fi
#endif
  :: else
  fi
}

/*
 * blocked: the carrier said EAGAIN, and wakes the daemon when it has room.  watching: the lane is
 * on the list for the next sweep.  sweeping: the next turn ends the watch.
 */
active proctype Daemon() {
  bit watching = SEEN_AT_BIRTH;
  bit sweeping, blocked, busy;
  byte next, taken;
#ifdef POSITION_PRIVATE
  byte my_index, my_taken;
#endif

end:
  do
#ifdef BIT_CLEARED_LATE
  :: atomic { IDLE && record -> record = 0 };
#else
  :: atomic { IDLE && record -> record = 0; bell = 0 };
#endif
     atomic { look() }
  :: atomic { IDLE && blocked && nfull(carrier) -> blocked = 0; take_or_want() }
#if defined(SWEEP_PENDS)
  :: atomic { IDLE && watching -> watching = 0; sweeping = 1; take_or_want() }
#elif !defined(PROMPT)
  :: atomic { watching && gate_owner == FREE -> watching = 0; sweeping = 1; gate_owner = DAEMON }
#endif
#ifdef WANTED_APART
  :: busy -> gate_wanted = 1; busy = 0
#endif
#ifdef READER_DIES
  :: atomic {
       IDLE && !gone -> gone = 1; bury();
#if defined(BELL_LEFT)
       look()
#elif !defined(NO_LAST_LOOK)
       record = 1 /* looks as if somebody had rung */
#endif
     }
#endif
  :: !IDLE ->
     pump();
#ifndef UNWATCH_WITHOUT_GATE
     atomic { watched = watched && !sweeping; sweeping = 0; gate_owner = FREE };
#else
     gate_owner = FREE;
     atomic { watched = watched && !sweeping; sweeping = 0 };
#endif
#ifdef BIT_CLEARED_LATE
     bell = 0
#endif
  od
}
