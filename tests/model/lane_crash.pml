/*
 * Lane: two programs share the sending end of a connection, and one of them dies in its turn, with
 * the gate held or just given up, maybe before it has told anybody.  docs/lanes.md is the contract.
 * Tags: lane.gate, lane.bell.  (lane_in.pml has the death of a reader: position and read_index.)
 *
 * Shown       No packet stays in the ring, and no byte in the carrier, while everybody sleeps (that
 *             would be an invalid end state), wherever the one program dies and whatever the other
 *             one does before the daemon learns of it.
 * The rule    program: sets the bell's bit while it holds the gate; the record may follow later.
 *             daemon, when a program has died: opens its gate and looks at the lane; answers all
 *             bells, told of or not; and tries every gate again that it wants and has not got.
 * Why         A survivor's turn does not make up for the dead one's: its batch begins behind a
 *             packet that nobody announced, so it does not signal either; a bit that it finds set it
 *             does not tell of; and "wanted" was taken away with the gate.
 * Abstract    A dead program is one that takes no more steps, so death and the daemon's learning of
 *             it are one.  The other end's reader never masks and is run by the daemon.
 * Left out    The receiving end's gate: a signal for room, or a look at the own lane, that a dead
 *             reader owes, is the same thing with the roles exchanged.
 * Memory      Sequentially consistent, as Spin is.
 *
 * Legal, must pass
 *   LOOKS_AT_ALL    the daemon looks at all lanes when a program has died: then RUNG_AFTER is
 *                   right, too, and no want need be remembered (WANT_FORGOTTEN)
 * Variants that must fail
 *   RUNG_AFTER      the bell's bit is set after the gate was given up; the daemon looks at lanes
 *                   whose gate the dead program holds, or which it was the last to have a turn at
 *   WANT_FORGOTTEN  the daemon waits for the dead program to ring, as for any other
 *   BELL_LEFT       the daemon looks at the lane, but does not take the bits away that are set
 *   NO_LAST_LOOK    it opens the gate, and does not look at the lane
 *   GATE_LEFT       it does not open the gate
 */
#define FREE 0
#define DAEMON 1
#define MORTAL 2
#define SURVIVOR 3

byte write_index; /* they never wrap here */
byte read_index;
byte in_carrier = 1;

byte gate_owner;
bit gate_wanted;
byte last_client;

/* Of the other end ("there is data"), and of the own ("look"). */
bit bell_signal;
bit bell_look;
bit record; /* the daemon has something to read on its control connections */

bit gone; /* the mortal one is done, or is dead and the daemon knows */

inline tell() {
  if
  :: atomic { was_silent -> was_silent = 0; record = 1 }
  :: else
  fi
}

inline signal() {
  if
  :: atomic { must_signal -> must_signal = 0; was_silent = !bell_signal; bell_signal = 1 }; tell()
  :: else
  fi
}

inline turn(me) {
  atomic { gate_owner == FREE -> gate_owner = me; last_client = me };
  if
  :: write_index++;
     must_signal = (read_index == write_index - 1)
  :: true /* finds that it must not write now */
  fi;
#ifndef RUNG_AFTER
  signal();
#endif
  atomic { gate_owner = FREE; was_wanted = gate_wanted; gate_wanted = 0 };
#ifdef RUNG_AFTER
  signal();
#endif
  if
  :: atomic { was_wanted -> was_wanted = 0; was_silent = !bell_look; bell_look = 1 }; tell()
  :: else
  fi
}

active proctype Mortal() {
  bit was_silent, was_wanted, must_signal;

  { turn(MORTAL); gone = 1 } unless { gone }
}

active proctype Survivor() {
  bit was_silent, was_wanted, must_signal;

  turn(SURVIVOR);
  turn(SURVIVOR)
}

active proctype Daemon() {
  bit pump_out = 1; /* to be run: a byte is in the carrier */
  bit pump_in;      /* to be run, for the other end */
  bit wants;

end:
  do
  :: atomic {
       record -> record = 0;
       pump_in = pump_in || bell_signal;
       pump_out = pump_out || bell_look;
       bell_signal = 0;
       bell_look = 0
     }
  :: atomic { pump_in && read_index != write_index -> read_index++ }
  :: atomic { pump_in && read_index == write_index -> pump_in = 0 }
  :: atomic {
       pump_out -> pump_out = 0;
       if
       :: gate_owner == FREE -> gate_owner = DAEMON; wants = 0
       :: else -> gate_wanted = 1; wants = 1
       fi
     }
  :: gate_owner == DAEMON ->
     if
     :: in_carrier > 0 ->
        atomic { in_carrier--; write_index++ };
        pump_in = 1 /* signals itself, if need be */
     :: else
     fi;
     gate_owner = FREE
  :: atomic {
       !gone && gate_owner != DAEMON -> gone = 1;
#ifndef BELL_LEFT
       record = 1;
#endif
#ifndef NO_LAST_LOOK
       if
       :: gate_owner == MORTAL || last_client == MORTAL -> pump_in = 1; pump_out = 1
       :: else
       fi;
#endif
#ifdef LOOKS_AT_ALL
       pump_in = 1;
       pump_out = 1;
#endif
#ifndef WANT_FORGOTTEN
       pump_out = pump_out || wants;
#endif
#ifndef GATE_LEFT
       if
       :: gate_owner == MORTAL -> gate_owner = FREE; gate_wanted = 0
       :: else
       fi
#endif
     }
  od
}

/* Waits while something is on its way. */
#define ALL_ARRIVED (in_carrier == 0 && read_index == write_index)

active proctype Customer() {
end:
  do
  :: !ALL_ARRIVED -> ALL_ARRIVED
  od
}
