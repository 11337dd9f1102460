/*
 * One channel, one event per direction: the host signals the guest with a single event flag, and
 * that one flag means "new data for you", "room for you" and "closed" alike.  In the guest two
 * waiters sleep on it: a receiver (host-to-guest ring) and a sender (guest-to-host ring).  The
 * picture is the same with the roles exchanged.  Tags: ring.wake, ring.space.
 *
 * Shown       No interleaving leaves a waiter asleep whose condition holds (that would be an
 *             invalid end state): everything is sent, received, and the close is noticed.
 * The rule    Signalling sets the flag and interrupts only if the flag was clear, so many signals
 *             may be one.  The handler clears the flag first, then looks at both rings' waiters and
 *             wakes both.  A waiter looks at its own ring after every wake, and at "closed".
 *             "closed" is set first and signalled second.  interrupt_mask silences "new data" only.
 * Abstract    The rings are counters that never wrap; the decisions are those of ring_wake.pml and
 *             ring_space.pml in their correct form, one packet a publication.
 * Memory      Sequentially consistent, as Spin is; ring_wake.pml and ring_space.pml say where fences
 *             are needed.  Setting and clearing the flag are atomic read-modify-writes in the code.
 *
 * Variants that must fail
 *   CLEARED_AFTER_SCAN     the handler clears the flag after it has woken the waiters: a signal that
 *                          comes in between finds the flag set, does not interrupt, and is wiped
 *   WAKES_ONE_WAITER       it wakes the receiver if there is data, otherwise the sender
 *   WAITERS_COMPETE        no handler: whichever waiter takes the event looks at its own ring only
 *   MASK_SILENCES_SPACE    the host obeys the receiver's interrupt_mask for "room for you" as well
 *   SIGNAL_BEFORE_CLOSED   the close is signalled before "closed" is set
 *   FLAG_KEPT              the handler looks for the flag, not the edge, and never clears it: spins
 */
#define PACKETS 2
#define CAPACITY 1 /* packets in the guest-to-host ring: the sender has to wait for room */

typedef Ring {
  byte write_index;
  byte read_index;
  bit interrupt_mask;
  byte pending_send_size
};

Ring guest_to_host;
Ring host_to_guest;
bool closed;

bit event_flag;
bit interrupt;
bit wake_receiver;
bit wake_sender;

#define USED(ring) (ring.write_index - ring.read_index)
#define FREE(ring) (CAPACITY - USED(ring))

/* An atomic OR that raises the interrupt when it changed the flag. */
inline signal_guest() {
  atomic {
    if
    :: event_flag == 0 -> event_flag = 1; interrupt = 1
    :: else
    fi
  }
}

active proctype HostSender() {
  byte before;

  do
  :: before < PACKETS ->
     host_to_guest.write_index = before + 1;
     if
     :: host_to_guest.interrupt_mask == 0 ->
        if
        :: host_to_guest.read_index == before -> signal_guest()
        :: else
        fi
     :: else
     fi;
     before++
  :: else -> break
  od;
#ifdef SIGNAL_BEFORE_CLOSED
  signal_guest();
  closed = true
#else
  closed = true;
  signal_guest()
#endif
}

#ifdef MASK_SILENCES_SPACE
#define MAY_SIGNAL_SPACE (host_to_guest.interrupt_mask == 0)
#else
#define MAY_SIGNAL_SPACE true
#endif

active proctype HostReceiver() {
  byte got, pending, free;

  do
  :: got < PACKETS ->
     guest_to_host.write_index != got;
     got++;
     guest_to_host.read_index = got;
     pending = guest_to_host.pending_send_size;
     free = CAPACITY - (guest_to_host.write_index - got);
     if
     :: pending != 0 && free - 1 < pending && free >= pending && MAY_SIGNAL_SPACE -> signal_guest()
     :: else
     fi
  :: else -> break
  od
}

#ifdef WAITERS_COMPETE

#define WAIT(wake) atomic { interrupt -> interrupt = 0; event_flag = 0 }

#else

#define WAIT(wake) atomic { wake -> wake = 0 }

inline wake_waiters() {
#ifdef WAKES_ONE_WAITER
  if
  :: USED(host_to_guest) > 0 || closed -> wake_receiver = 1
  :: else -> wake_sender = 1
  fi
#else
  wake_receiver = 1;
  wake_sender = 1
#endif
}

active proctype EventHandler() {
end:
  do
#ifdef FLAG_KEPT
  :: event_flag -> wake_waiters()
#else
  :: atomic { interrupt -> interrupt = 0 };
#ifdef CLEARED_AFTER_SCAN
     wake_waiters();
     event_flag = 0
#else
     event_flag = 0;
     wake_waiters()
#endif
#endif
  od
}

#endif

active proctype GuestReceiver() {
  byte got;

  host_to_guest.interrupt_mask = 1;
  do
  :: host_to_guest.write_index != got ->
     got++;
     host_to_guest.read_index = got
  :: host_to_guest.write_index == got ->
     host_to_guest.interrupt_mask = 0;
     if
     :: host_to_guest.write_index == got ->
        if
        :: closed ->
           if
           :: host_to_guest.write_index == got -> break
           :: else /* sent and closed since the last look */
           fi
        :: else -> WAIT(wake_receiver)
        fi
     :: else
     fi;
     host_to_guest.interrupt_mask = 1
  od;
  assert(got == PACKETS)
}

active proctype GuestSender() {
  byte sent;

  do
  :: sent == PACKETS -> break
  :: sent < PACKETS && FREE(guest_to_host) > 0 ->
     sent++;
     guest_to_host.write_index = sent
  :: sent < PACKETS && FREE(guest_to_host) == 0 ->
     guest_to_host.pending_send_size = 1;
     if
     :: FREE(guest_to_host) == 0 -> WAIT(wake_sender)
     :: else
     fi;
     guest_to_host.pending_send_size = 0
  od
}
