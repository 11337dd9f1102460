/*
 * Lane, the receiving end: a reader that finds nothing sleeps in the lane, and the writer wakes it
 * without the daemon.  docs/lanes.md is the contract; lane_in.pml has what this builds on: position,
 * the order of carrier and ring, warm and cold.  Tags: lane.gate, lane.bell.
 *
 * Shown       Nobody sleeps for ever, in the lane or in the kernel, while bytes are in ring or
 *             carrier, or the end unsaid (that would be an invalid end state), and each byte arrives
 *             once and in order, whoever takes it (assertion).  A reader may leave its sleep by a
 *             signal at any time, also just woken, or be killed; a writer may be killed.
 * The rule    reader: with the gate held, finds carrier and ring empty: sleepers 1, mask 0, a second
 *             look at the ring.  It gives the gate up and sleeps while `sleepers` is 1.  Woken, for
 *             whatever reason, it starts over.
 *             writer, when the ring's rule says "signal": exchanges `sleepers` for 0.  If it was 1,
 *             wakes all; if that woke somebody, sets `watched`, and rings "look" if it was not set:
 *             whom it woke may not come.  In all other cases it rings "signal".
 *             daemon: takes `watched` away before it looks.  After a turn that put bytes, or the
 *             end, into the carrier, and after closing the gates: exchanges `sleepers` for 0 and
 *             wakes all if it was 1.  When a program has died: wakes all, whatever `sleepers` is.
 *             The end is in the carrier before the turn is over, and kCarrierHolds says so.
 * In the code shim/direct.cc; emu/hvsocket/lane_turns.cc and lane_end.cc
 * Abstract    A packet is one byte, taken in one step.  A sweep may come at any time (lane_in.pml
 *             says why), and waits for the gate if it is taken.
 *             The first reader may be disturbed once: it leaves for good, out of its sleep or after a
 *             turn, or calls again, as if it had been woken for nothing.  (To keep them small, nobody
 *             spins or calls again in TWO_HOOKED and WRITER_DIES.)
 *             What only the holder of the gate can see is one step with what comes before it, and so
 *             is a bell that is rung last: the daemon may be as late with its answer.
 * Left out    Waiting for room: the sender just watches read_index.  The daemon's death: the
 *             carrier then ends, which a sleeper in the lane does not see.
 * Memory      Sequentially consistent, as Spin is.  `sleepers` is stored with the gate held and
 *             otherwise exchanged; mask and indices have their fences in ring_wake.pml.
 *
 * Who is there
 *   default        a reader that sleeps in the lane, and one that knows the kernel only
 *   TWO_HOOKED     two that sleep in the lane
 *   READER_DIES    the one that is disturbed may die anywhere
 *   WRITER_DIES    the writer may die anywhere, and another one goes on where it stopped
 *   CLOSES         the daemon may close the gates; then the lane is used by another connection
 *   PROMPT         nobody is disturbed, and who leaves warm calls again: then there is no sweep
 * Legal, must pass
 *   MASK_FIRST     the mask is stored before `sleepers`
 *   LOOKED_FIRST   `sleepers` is stored after the second look, but with the gate held
 *   NO_RECHECK     without PROMPT the sweep makes up for it, up to its interval late
 *   WOKEN_FIRST    the daemon wakes before it gives the gate up
 *   END_STAYS      SHUT_LATE: with the gate held, the daemon says the end in a flag that stays, and
 *                  sends readers into the kernel
 *   END_UNGATED    SHUT_LATE: it sets the flag without the gate.  The reader's second look asks for
 *                  it, too, and who then does not sleep exchanges `sleepers` for 0 and wakes all
 *                  (TAKEN_BACK)
 * Variants that must fail
 *   NO_RECHECK           PROMPT: no second look
 *   SLEEPERS_LATE        `sleepers` is stored when the gate was given up
 *   UNWATCHED            the writer wakes somebody and does not set `watched`
 *   WATCH_UNRUNG         it sets `watched` and does not ring
 *   WATCH_AS_SIGNAL      it rings "signal" for it: the daemon does not look at `watched`
 *   UNWATCHED_LATE       the daemon takes `watched` away after its look, though with the gate held
 *   CLEARED_AFTER        the writer stores 0 into `sleepers` after it woke
 *   WAKES_ONE            the writer wakes one sleeper only
 *   PUMP_WAKES_NOBODY    the daemon does not wake when it put bytes into the carrier
 *   END_WAKES_NOBODY     ... when it put the end there
 *   CLOSING_WAKES_NOBODY CLOSES: ... when it closed the gates
 *   END_UNHELD           the end does not set kCarrierHolds
 *   SHUT_LATE            the end is in the carrier after the turn is over: who looks in between
 *                        takes kCarrierHolds away for good
 *   END_UNSEEN           END_UNGATED: the second look does not ask for the flag
 *   END_UNGATED          without TAKEN_BACK: another one, on its way to sleep, takes the 1 that was
 *                        left for its own, and sleeps when all is said
 *   WOKEN_BY_WORD        WRITER_DIES: when a program has died the daemon, too, wakes only if
 *                        `sleepers` is 1
 *   NO_GENERATION        CLOSES: `sleepers` does not say whose connection's it is
 */
#define RING 3    /* slots; one stays empty, so that full and empty differ */
#define CARRIER 1 /* bytes that the carrier holds */
#define BYTES 2   /* a packet each, then the end */
#define END (BYTES + 1)

#define FREE 0
#define DAEMON 1
#define CLOSED 2
#define PROGRAM (_pid + 2)
#define MORTAL 3 /* the first reader */

#define NEXT(index) (((index) + 1) % RING)
#define PREVIOUS(index) (((index) + RING - 1) % RING)
#define USED ((write_index + RING - read_index) % RING)
#define RING_EMPTY (write_index == read_index)
#define AT_END (!RING_EMPTY && slot[read_index] == END)
#define AT_DATA (!RING_EMPTY && slot[read_index] != END)

/* The ring.  A packet is its number, from 1. */
byte slot[RING];
byte write_index;
byte read_index;
bit interrupt_mask;

/* The lane.  `sleepers`: somebody of connection 1 sleeps, or of connection 2. */
byte gate_owner;
bit gate_wanted;
bit carrier_holds;
bit carrier_ends; /* END_STAYS, END_UNGATED */
bit watched;
byte sleepers;
bit bell_signal;
bit bell_look;

bit record;    /* the daemon has something to read on its control connections */
bit asleep[2]; /* the kernel's: who waits on `sleepers` */
chan carrier = [CARRIER] of { byte };
bit carrier_shut;

byte sent;
byte arrived; /* bytes that programs have */
#define ALL_ARRIVED (arrived == (sent == END -> BYTES : sent))

bit disturbed;
bit gone; /* the mortal one is done, or is dead and the daemon knows */

/* Within an atomic sequence, as the next three. */
inline ring_bell(bell) {
  if
  :: !bell -> bell = 1; record = 1
  :: else
  fi
}

inline wake_all() {
  asleep[0] = 0;
  asleep[1] = 0
}

inline wake() {
#ifdef WAKES_ONE
  if
  :: asleep[0] -> asleep[0] = 0
  :: asleep[1] -> asleep[1] = 0
  fi
#else
  wake_all()
#endif
}

inline watch_woken() {
  if
  :: !watched -> watched = 1;
#if defined(WATCH_AS_SIGNAL)
     ring_bell(bell_signal)
#elif !defined(WATCH_UNRUNG)
     ring_bell(bell_look)
#endif
  :: else
  fi
}

inline wake_if_asleep() {
  atomic {
    if
    :: sleepers != 0 -> sleepers = 0; wake_all()
    :: else
    fi
  }
}

inline wake_or_ring() {
  if
  :: atomic { sleepers == 0 -> ring_bell(bell_signal) }
#ifdef CLEARED_AFTER
  :: sleepers != 0 ->
#else
  :: atomic { sleepers != 0 -> sleepers = 0 };
#endif
     if
     :: atomic { asleep[0] || asleep[1] -> wake() };
#ifdef CLEARED_AFTER
        sleepers = 0;
#endif
#ifdef UNWATCHED
        skip
#else
        atomic { watch_woken() }
#endif
     :: atomic { !asleep[0] && !asleep[1] -> ring_bell(bell_signal) }
     fi
  fi
}

inline send_all() {
  do
  :: atomic {
       sent < END && USED < RING - 1 && gate_owner != CLOSED ->
       sent++;
       slot[write_index] = sent;
       write_index = NEXT(write_index)
     };
     if
     :: interrupt_mask == 0 && read_index == PREVIOUS(write_index) -> wake_or_ring()
     :: else
     fi;
     if
     :: true
     :: sent == BYTES -> ALL_ARRIVED /* waits for an answer */
     fi
  :: sent == END || gate_owner == CLOSED -> break
  od
}

active proctype Sender() {
#ifdef WRITER_DIES
  { send_all(); gone = 1 } unless { gone };
#endif
  send_all()
}

/* ---- programs ---- */

/* What a reader does when its turn is over. */
#define AGAIN 0
#define SLEEP 1
#define KERNEL 2 /* waits for the carrier, and reads from it */

#define FIRST (_pid == 1)
#define MAY_SPIN (!spun && FIRST)

/* REQUIRES: something is in the carrier. */
inline take_byte() {
  carrier?number;
  arrived++;
  assert(number == arrived);
  number = 0
}

#define END_IN_CARRIER (carrier_holds && len(carrier) == 0 && carrier_shut)

inline take_gate_and_read_carrier() {
  atomic {
    gate_owner == FREE -> gate_owner = PROGRAM;
    do
    :: carrier_holds && nempty(carrier) -> take_byte(); got = 1
    :: carrier_holds && empty(carrier) && !carrier_shut -> carrier_holds = 0
    :: !got && (END_IN_CARRIER || (!carrier_holds && carrier_ends)) -> way = KERNEL; break
    :: got || (!carrier_holds && !carrier_ends) -> break /* asked for no more */
    od
  }
}

/* Within an atomic sequence. */
inline leave_warm() {
  interrupt_mask = 1;
  must_look = !watched;
  watched = 1;
#ifndef PROMPT
  if
  :: way = KERNEL
  :: way = AGAIN
  fi
#endif
}

inline give_gate() {
  atomic {
    gate_owner = FREE;
    if
    :: must_look || gate_wanted -> ring_bell(bell_look); must_look = 0; gate_wanted = 0
    :: else
    fi
  }
}

#if defined(END_UNGATED) && !defined(END_UNSEEN)
#define NOTHING_CAME (RING_EMPTY && !carrier_ends)
#else
#define NOTHING_CAME RING_EMPTY
#endif

inline prepare_to_sleep() {
#if !defined(MASK_FIRST) && !defined(LOOKED_FIRST) && !defined(SLEEPERS_LATE)
  sleepers = 1;
#endif
  interrupt_mask = 0;
#ifdef MASK_FIRST
  sleepers = 1;
#endif
#ifdef NO_RECHECK
  way = SLEEP
#else
  if
  :: NOTHING_CAME -> way = SLEEP
#ifdef TAKEN_BACK
  :: else -> wake_if_asleep()
#else
  :: else
#endif
  fi
#endif
#ifdef LOOKED_FIRST
  ;
  sleepers = 1
#endif
}

inline turn() {
  take_gate_and_read_carrier();
  if
  :: atomic { got -> got = 0 }
  :: way == KERNEL
  :: atomic {
       !got && way != KERNEL && AT_DATA ->
       arrived++;
       assert(slot[read_index] == arrived);
       read_index = NEXT(read_index)
     };
     atomic { leave_warm() }
  :: atomic { !got && way != KERNEL && AT_END -> interrupt_mask = 0; must_look = 1; way = KERNEL }
#if !defined(TWO_HOOKED) && !defined(WRITER_DIES)
  :: atomic { !got && way != KERNEL && RING_EMPTY && MAY_SPIN -> spun = 1; leave_warm() }
#endif
  :: atomic { !got && way != KERNEL && RING_EMPTY -> spun = 0 };
     prepare_to_sleep()
  fi;
  give_gate();
#ifdef SLEEPERS_LATE
  if
  :: way == SLEEP -> sleepers = 1
  :: else
  fi
#endif
}

/* Leaves the loop around it at the stream's end. */
inline read_in_kernel() {
  if
  :: atomic { nempty(carrier) -> take_byte() }
  :: empty(carrier) && carrier_shut -> break
  fi
}

/* A signal: out of the loop, or another call. */
inline sleep() {
  if
  :: atomic { sleepers == 1 -> asleep[_pid - 1] = 1 };
     if
     :: !asleep[_pid - 1]
#if !defined(PROMPT) && !defined(READER_DIES)
     :: atomic { FIRST && !disturbed -> disturbed = 1; asleep[_pid - 1] = 0; left = 1 }; break
#endif
#if !defined(PROMPT) && !defined(READER_DIES) && !defined(TWO_HOOKED) && !defined(WRITER_DIES)
     :: atomic { FIRST && !disturbed -> disturbed = 1; asleep[_pid - 1] = 0 }
#endif
     fi
  :: sleepers != 1
  fi
}

inline receive_all() {
  do
#ifdef CLOSES
  :: gate_owner == CLOSED -> read_in_kernel()
#endif
  :: turn();
     if
     :: way == SLEEP -> way = AGAIN; sleep()
#ifdef PROMPT
     :: way == KERNEL -> carrier_shut; break
#else
     :: way == KERNEL -> way = AGAIN; read_in_kernel()
#endif
#if !defined(PROMPT) && !defined(READER_DIES)
     :: way == AGAIN && FIRST && !disturbed -> disturbed = 1; left = 1; break
#endif
     :: way == AGAIN
     fi
  od;
  assert(left || ALL_ARRIVED)
}

#ifdef TWO_HOOKED
#define HOOKED 2
#else
#define HOOKED 1
#endif

active [HOOKED] proctype Program() {
  bit got, spun, must_look, left;
  byte number, way;

#if !defined(PROMPT) && !defined(READER_DIES) && !defined(TWO_HOOKED)
  /* Who may always leave is never seen to sleep for ever.  (In TWO_HOOKED the other one is.) */
  if
  :: FIRST -> disturbed = 1
  :: true
  fi;
#endif
#if defined(READER_DIES) && defined(TWO_HOOKED)
  if
  :: FIRST -> { receive_all(); gone = 1 } unless { gone }
  :: else -> receive_all()
  fi
#elif defined(READER_DIES)
  { receive_all(); gone = 1 } unless { gone }
#else
  receive_all()
#endif
}

#ifndef TWO_HOOKED
active proctype Unhooked() {
  byte number;

  do
  :: read_in_kernel()
  od;
  assert(ALL_ARRIVED)
}
#endif

/* ---- daemon ---- */

#define IDLE (gate_owner != DAEMON)

/* Within an atomic sequence, as the next four. */
inline take_or_want() {
  if
  :: gate_owner == FREE -> gate_owner = DAEMON
  :: else -> gate_wanted = 1
  fi
}

inline answer_bells() {
#ifndef PROMPT
  watching = watching || (bell_look && watched);
#endif
  bell_signal = 0;
  bell_look = 0
}

inline move_byte() {
  carrier!slot[read_index];
  read_index = NEXT(read_index);
  carrier_holds = 1;
#ifndef PUMP_WAKES_NOBODY
  gave = 1
#endif
}

inline consume_end() {
  read_index = NEXT(read_index);
#ifdef SHUT_LATE
  ended = 1;
#else
  carrier_shut = 1;
#endif
#ifdef END_STAYS
  carrier_ends = 1;
#endif
#if !defined(END_UNHELD) && !defined(END_STAYS) && !defined(END_UNGATED)
  carrier_holds = 1;
#endif
#ifndef END_WAKES_NOBODY
  gave = 1
#endif
}

inline pump() {
  do
  :: atomic { AT_DATA && nfull(carrier) -> move_byte() }
  :: AT_DATA && full(carrier) -> blocked = 1; break
  :: atomic { AT_END -> consume_end() }
  :: RING_EMPTY ->
     interrupt_mask = 0;
     if
     :: RING_EMPTY -> break
     :: else
     fi
  od
}

inline wake_after_turn() {
  if
  :: gave -> gave = 0; wake_if_asleep()
  :: else
  fi
}

/* blocked: the carrier said EAGAIN, and wakes the daemon when it has room. */
active proctype Daemon() {
  bit watching, sweeping, blocked, gave, ended;

end:
  do
  :: atomic { IDLE && record -> record = 0; answer_bells(); take_or_want() }
  :: atomic { IDLE && blocked && nfull(carrier) -> blocked = 0; take_or_want() }
#ifndef PROMPT
  :: atomic { IDLE && watching -> watching = 0; sweeping = 1; take_or_want() }
#endif
#if defined(READER_DIES) || defined(WRITER_DIES)
  :: atomic {
       IDLE && !gone -> gone = 1;
       if
#ifdef READER_DIES
       :: gate_owner == MORTAL -> gate_owner = FREE; gate_wanted = 0
#endif
       :: else
       fi;
       sweeping = 1;
       record = 1 /* looks as if somebody had rung */
     };
#ifdef WOKEN_BY_WORD
     wake_if_asleep()
#else
     atomic { sleepers = 0; wake_all() }
#endif
#endif
#ifdef CLOSES
  :: atomic { gate_owner == FREE -> gate_owner = CLOSED };
#ifndef CLOSING_WAKES_NOBODY
     wake_if_asleep();
#endif
     break
#endif
  :: !IDLE ->
#ifndef UNWATCHED_LATE
     atomic { watched = watched && !sweeping; sweeping = 0 };
#endif
     pump();
#ifdef UNWATCHED_LATE
     atomic { watched = watched && !sweeping; sweeping = 0 };
#endif
#ifdef WOKEN_FIRST
     wake_after_turn();
#endif
     gate_owner = FREE;
#ifdef SHUT_LATE
     if
     :: ended -> ended = 0;
#ifdef END_UNGATED
        carrier_ends = 1;
#endif
        carrier_shut = 1
     :: else
     fi;
#endif
#ifndef WOKEN_FIRST
     wake_after_turn()
#endif
  od;

#ifdef CLOSES
  /* The lane is another connection's, which has a sleeper, too. */
#ifdef NO_GENERATION
  sleepers = 1;
#else
  sleepers = 2;
#endif
  do
  :: atomic { AT_DATA && nfull(carrier) -> move_byte() }
  :: atomic { AT_END -> read_index = NEXT(read_index) }
  :: RING_EMPTY -> break
  od;
  carrier_shut = 1
#endif
}
