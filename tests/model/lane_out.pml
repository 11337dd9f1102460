/*
 * Lane, the sending end: programs write into the ring themselves, or send through the carrier,
 * whose bytes the daemon's pump moves into the ring.  docs/lanes.md is the contract.
 * Tag: lane.gate.
 *
 * Shown       Each sender's bytes arrive once and in its own order, whichever way each of them goes
 *             (assertion), and nobody is left waiting: all arrive (no invalid end state).
 * The rule    sender: with the gate held, writes into the ring if none of its end's bytes may be in
 *             the carrier, by the word `sends`: a count of sends under way, dirty, a number.
 *             If not, or the ring is full, or the gate stays taken: count + 1, dirty, number + 1 in
 *             one step; the kernel's send; count - 1.  On a raw lane it asks for the carrier's queue
 *             as well.  It wipes dirty off as the pump does, below, if there is no HUP after that.
 *             pump: with the gate held, carrier to ring.  It marks dirty when it leaves bytes
 *             behind, and wipes that off when it has seen the word with no send under way, then an
 *             empty carrier, then the same word again.
 * In the code DirectEnd::send(), may_write(), Socket::send_by_carrier(); CarrierSends; LaneEnd::end_out(),
 *             pump_out()
 * Abstract    `number` is kept as all that the daemon learns by it: begun since it looked, or not.
 *             What only the holder of the gate can see is one step with what comes before it.
 * Left out    Signals for data: the peer just watches write_index (ring_wake.pml, lane_in.pml).
 * Memory      Sequentially consistent, as Spin is.  Gate and `sends` are changed by
 *             read-modify-writes; pending size and indices have their fences in ring_space.pml.
 *
 * Who is there
 *   default         two programs, each with a sequence of its own, each byte either way
 *   RAW             one of them also sends where nobody counts (stdio), and the lane is marked raw
 *   UNMARKED        the other one knows the kernel only, and the lane is not marked: their bytes
 *                   may change places with each other's, but none is lost
 *   LEAVES          one may leave its send without coming back (killed, longjmp); the other one
 *                   then goes on with its sequence
 *   DIES            the daemon is killed at any moment. Then HUP comes, and then the kernel throws away
 *                   what is in the carrier. What arrives is a prefix of each sequence. Only here do
 *                   senders wipe the mark off: it is what makes a difference
 * Legal, must pass
 *   TAKES_BACK      who writes into the ring takes the pump's request for room back, as a
 *                   RingWriter does that asked itself
 *   LEAVES_CLEAN    without TAKES_BACK, and in RAW, the mark for what is left behind is not needed
 *   DIRTY_LATE      without LEAVES, counting and marking after the kernel's send does as well
 * Variants that must fail
 *   NO_NUMBER       the word has no number: a send that came and went is not noticed
 *   LOOKED_FIRST    the pump looks at the carrier first and at the word then
 *   COUNT_IGNORED   it wipes the mark off while a send is under way
 *   DIRTY_LATE      LEAVES: counted and marked after the kernel's send
 *   RAW_UNASKED     RAW: the sender does not ask for the carrier's queue
 *   LEAVES_CLEAN    UNMARKED TAKES_BACK: the pump does not mark what it leaves behind
 *   WANTED_IGNORED  gives the gate up without looking whether it is wanted
 *   UNGATED         writes into the ring without the gate
 *   HUP_UNASKED     DIES: a carrier that is empty has been read
 *   HUP_FIRST       DIES: it asks for HUP first and looks at the carrier then
 */
#define RING 3    /* slots; one stays empty, so that full and empty differ */
#define CARRIER 1 /* bytes that the carrier holds */
#ifndef BYTES
#define BYTES 2 /* in each sequence */
#endif

#define FREE 0
#define DAEMON 1
#define PROGRAM (_pid + 2)

#define NEXT(index) (((index) + 1) % RING)
#define ROOM(write, read) ((read + RING - write - 1) % RING)
#define RING_FULL (ROOM(write_index, read_index) == 0)

/* A byte is its sequence, 0 or 1, and its number there, from 1.  A packet has one. */
#define BYTE(sequence, number) ((sequence) * 8 + (number))
#define SEQUENCE(value) ((value) / 8)
#define NUMBER(value) ((value) % 8)

byte slot[RING];
byte write_index;
byte read_index;
byte pending_send_size;

byte gate_owner;
bit gate_wanted;
byte sends_count;
bit sends_dirty;
bit sends_begun;
#define SENDS_NONE (sends_count == 0 && !sends_dirty)

bit bell;
bit record; /* the daemon has something to read on its control connections */
chan carrier = [CARRIER] of { byte };

byte sent[2];
#ifdef LEAVES
bit left;
#define MINE 0
#else
#define MINE _pid
#endif
#ifdef DIES
bit dead;
bit hup;
#endif

inline ring_bell() {
  atomic { was_silent = !bell; bell = 1 };
  if
  :: atomic { was_silent -> was_silent = 0; record = 1 }
  :: else
  fi
}

/* ---- programs ---- */

#define QUEUED (len(carrier) > 0)

#if defined(RAW) && !defined(RAW_UNASKED)
#define OVERTAKES (!SENDS_NONE || QUEUED)
#else
#define OVERTAKES (!SENDS_NONE)
#endif

#ifdef UNGATED
#define GATE_IS_MINE true
#else
#define GATE_IS_MINE gate_owner == FREE -> gate_owner = PROGRAM
#endif

inline give_gate() {
  atomic { gate_owner = FREE; was_wanted = gate_wanted; gate_wanted = 0 };
#ifdef WANTED_IGNORED
  was_wanted = 0;
#endif
  if
  :: was_wanted -> was_wanted = 0; ring_bell()
  :: else
  fi
}

#ifdef DIES
inline look_at_carrier() {
#ifdef HUP_FIRST
  clean = clean && !hup;
#endif
  clean = clean && !QUEUED
#if !defined(HUP_FIRST) && !defined(HUP_UNASKED)
  ; clean = clean && !hup
#endif
}

inline take_gate() {
  atomic { GATE_IS_MINE; clean = sends_dirty && sends_count == 0; sends_begun = 0 };
  look_at_carrier();
  atomic {
    if
    :: clean && sends_count == 0 && !sends_begun -> sends_dirty = 0
    :: else
    fi;
    clean = 0; sends_begun = 0
  }
}
#endif

inline turn() {
#ifdef DIES
  take_gate();
#endif
  atomic {
#ifndef DIES
    GATE_IS_MINE;
#endif
    next = write_index;
    if
    :: OVERTAKES || RING_FULL -> through_carrier = 1
    :: else -> sent[MINE]++; slot[next] = BYTE(MINE, sent[MINE])
    fi
  };
  if
  :: atomic { !through_carrier -> write_index = NEXT(next);
#ifdef TAKES_BACK
       pending_send_size = 0
#endif
     }
  :: else
  fi;
  next = 0;
#ifndef UNGATED
  give_gate()
#endif
}

inline send_in_kernel() {
#ifdef DIES
  if
  :: atomic { nfull(carrier) && !hup -> sent[MINE]++; carrier!BYTE(MINE, sent[MINE]) }
  :: hup -> refused = 1
  fi
#else
  atomic { nfull(carrier) -> sent[MINE]++; carrier!BYTE(MINE, sent[MINE]) }
#endif
}

/* In LEAVES the first one leaves with the sequence wherever it stands: out of the loop. */
inline begin_send() { atomic { sends_count++; sends_dirty = 1; sends_begun = 1 } }

inline send_through_carrier() {
#ifndef DIRTY_LATE
  begin_send();
#endif
  send_in_kernel();
  if
  :: sent[MINE] < BYTES -> send_in_kernel()
  :: true
  fi;
#ifdef LEAVES
  if
  :: _pid == 0 -> break
  :: true
  fi;
#endif
#ifdef DIRTY_LATE
  begin_send();
#endif
  sends_count--
#ifdef DIES
  ; if
  :: refused -> break
  :: else
  fi
#endif
}

/* In LEAVES the second one has waited for the first one to end or to leave. */
active [2] proctype Program() {
  bit through_carrier, was_wanted, was_silent;
  byte next;
#ifdef DIES
  bit clean, refused;
#endif

#ifdef LEAVES
  _pid == 0 || left;
#endif
  do
#ifdef RAW
  :: sent[MINE] < BYTES && _pid == 0 -> send_in_kernel()
#endif
#ifdef UNMARKED
  :: sent[MINE] < BYTES && _pid == 1 -> send_in_kernel()
  :: sent[MINE] < BYTES && _pid == 0 ->
#else
  :: sent[MINE] < BYTES ->
#endif
     if
     :: turn()
     :: through_carrier = 1 /* the gate stayed taken */
     fi;
     if
     :: atomic { through_carrier -> through_carrier = 0 }; send_through_carrier()
     :: else
     fi
  :: sent[MINE] == BYTES -> break
  od;
#ifdef LEAVES
  left = 1
#endif
}

active proctype Peer() {
  byte got[2];
  byte value, before;
  bit was_silent;

#ifdef DIES
end:
#endif
  do
  :: atomic {
       read_index != write_index -> value = slot[read_index];
       got[SEQUENCE(value)]++;
       assert(got[SEQUENCE(value)] == NUMBER(value));
       value = 0
     };
     atomic { before = read_index; read_index = NEXT(read_index) };
     if
     :: pending_send_size != 0 && ROOM(write_index, before) < pending_send_size &&
        ROOM(write_index, read_index) >= pending_send_size -> before = 0; ring_bell()
     :: else -> before = 0
     fi
#if defined(LEAVES)
  :: got[0] == BYTES -> break
#elif !defined(DIES)
  :: got[0] == BYTES && got[1] == BYTES -> break
#endif
  od
}

/* ---- daemon ---- */

#define IDLE (gate_owner != DAEMON)

/* Within an atomic sequence. */
inline take_or_want() {
  if
  :: gate_owner == FREE -> gate_owner = DAEMON
  :: else -> gate_wanted = 1
  fi
}

inline clean() {
#ifdef LOOKED_FIRST
  empty(carrier);
#endif
  atomic { count = sends_count; dirty = sends_dirty; sends_begun = 0 };
#ifdef COUNT_IGNORED
#define NO_SEND_UNDER_WAY true
#else
#define NO_SEND_UNDER_WAY count == 0
#endif
  if
#ifdef LOOKED_FIRST
  :: dirty && NO_SEND_UNDER_WAY ->
#else
  :: dirty && NO_SEND_UNDER_WAY && !QUEUED ->
#endif
     if
#ifdef NO_NUMBER
     :: atomic { sends_count == count && sends_dirty -> sends_dirty = 0 }
#else
     :: atomic { sends_count == count && sends_dirty && !sends_begun -> sends_dirty = 0 }
#endif
     :: else
     fi
  :: else
  fi;
  atomic { count = 0; dirty = 0; sends_begun = 0 }
}

inline pump() {
  do
  :: atomic {
       nempty(carrier) && !RING_FULL -> carrier?slot[write_index];
       write_index = NEXT(write_index);
       pending_send_size = 0
     }
  :: nempty(carrier) && RING_FULL ->
     pending_send_size = 1;
     if
     :: RING_FULL ->
#ifndef LEAVES_CLEAN
        sends_dirty = 1;
#endif
        break
     :: else
     fi
  :: empty(carrier) ->
     asleep = 1;
     clean();
     break
  od
}

active proctype Daemon() {
  bit asleep = 1; /* the carrier said EAGAIN: it wakes the daemon with the next byte */
  byte count;
  bit dirty;

#ifdef DIES
  {
#endif
end:
  do
  :: atomic { IDLE && record -> record = 0; bell = 0; take_or_want() }
  :: atomic { IDLE && asleep && nempty(carrier) -> asleep = 0; take_or_want() }
  :: !IDLE ->
     pump();
     gate_owner = FREE
  od
#ifdef DIES
  } unless { atomic { dead -> count = 0; dirty = 0; asleep = 0 } } /* forgotten: fewer states */
#endif
}

#ifdef DIES
active proctype Death() {
  dead = 1;
  hup = 1;
  do
  :: carrier?_
  :: empty(carrier) -> break
  od
}
#endif
