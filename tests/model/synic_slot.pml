/*
 * SynIC message slot: the host delivers queued messages to the guest through one slot that holds
 * one message.  Tag: synic.slot.
 *
 * Shown       Each message is taken exactly once and in order (assertion), and none stays in the
 *             queue for ever (that would be an invalid end state: the guest still waits for it).
 * The rule    host: only if type is 0: store the payload, then type; interrupt.  Otherwise store
 *             "message pending" in the slot; fence; look at type once more: the guest may have
 *             emptied the slot without having seen the flag.  On EOM: try again.
 *             guest: copy; compare-exchange type to 0; fence; load "message pending"; if set, EOM.
 * In the code Synic::deliver() and refill_slot(); Synic::take_message().
 * Consumers   Usually one: the handler of the slot's processor.  A second one may look into the same
 *             slot (a guest that crashed reads the pages of all processors to find its last answer).
 *             Then the compare-exchange matters: the slot may have been emptied and refilled since
 *             the copy was made.  It tells messages apart by their type alone.
 * Memory      memory.inc.  Spin assumes sequential consistency; -DSTORE_BUFFER=n (one consumer) shows
 *             that both fences are needed.
 *
 * Legal, must pass
 *   default                one consumer, compare-exchange
 *   PLAIN_STORE            one consumer that stores 0: nobody else can empty the slot, so fine
 *   TWO_CONSUMERS          a second consumer that polls; messages of different types
 * Variants that must fail
 *   TWO_CONSUMERS + PLAIN_STORE   a late store of 0 wipes the message that refilled the slot
 *   TWO_CONSUMERS + SAME_TYPE     compare-exchange cannot tell two messages of one type apart
 *   PENDING_READ_FIRST     the guest reads "message pending" before it empties the slot
 *   NO_EOM                 the guest does not look at "message pending" at all
 *   NO_HOST_RECHECK        the host does not look again after it has set "message pending"
 *   TWO_CONSUMERS + TYPE_BEFORE_PAYLOAD   the host stores type before the payload, and a consumer
 *                          that needs no interrupt to look copies the old payload
 *   POST_OVERTAKES         a new message goes straight into an empty slot, past the queue
 *   NO_HOST_FENCE, NO_GUEST_FENCE   with STORE_BUFFER: one half of the pair without its fence
 */
#define MESSAGES 3

#define TYPE 0 /* 0: empty */
#define PAYLOAD 1
#define MESSAGE_PENDING 2
#define WORDS 3
#include "memory.inc"

#define HOST 0
#define GUEST 1

#ifdef SAME_TYPE
#define TYPE_OF(message) 1
#else
#define TYPE_OF(message) (message)
#endif

byte received;
bit interrupt;
bit eom;

inline fill_slot(message) {
#ifdef TYPE_BEFORE_PAYLOAD
  STORE(HOST, TYPE, TYPE_OF(message));
#endif
  STORE(HOST, PAYLOAD, message);
  STORE(HOST, MESSAGE_PENDING, delivered + 1 < posted);
#ifndef TYPE_BEFORE_PAYLOAD
  STORE(HOST, TYPE, TYPE_OF(message));
#endif
  delivered++;
  FENCE(HOST); /* an interrupt never arrives before the stores that led to it */
  interrupt = 1
}

inline flag_pending() {
  STORE(HOST, MESSAGE_PENDING, 1);
#ifndef NO_HOST_FENCE
  FENCE(HOST);
#endif
#ifndef NO_HOST_RECHECK
  if
  :: LOAD(TYPE) == 0 -> fill_slot(delivered + 1)
  :: else
  fi
#endif
}

inline deliver() {
  if
  :: delivered == posted
  :: delivered < posted && LOAD(TYPE) == 0 -> fill_slot(delivered + 1)
  :: delivered < posted && LOAD(TYPE) != 0 -> flag_pending()
  fi
}

active proctype Host() {
  byte posted, delivered;

end:
  do
  :: posted < MESSAGES ->
     posted++;
#ifdef POST_OVERTAKES
     if
     :: LOAD(TYPE) == 0 -> fill_slot(posted)
     :: else -> flag_pending()
     fi
#else
     deliver()
#endif
  :: eom ->
     eom = 0;
     deliver()
  od
}

/* Atomic: the exchange is where a message counts as taken, by this consumer and no other. */
inline take() {
#ifdef PLAIN_STORE
  atomic {
    STORE(GUEST, TYPE, 0);
    taken = true;
    count()
  }
#else
  FENCE(GUEST); /* a locked instruction drains the stores before it */
  atomic {
    taken = (LOAD(TYPE) == type);
    memory[TYPE] = (taken -> 0 : memory[TYPE]);
    count()
  }
#endif
}

/* Otherwise it came twice, out of order, or torn.  Not counted, so that a loss shows as well. */
inline count() {
  assert(!taken || message == received + 1);
  received = (taken && message == received + 1 -> message : received)
}

inline consume() {
  type = LOAD(TYPE);
  if
  :: type == 0
  :: else ->
     message = LOAD(PAYLOAD);
#ifdef PENDING_READ_FIRST
     more = LOAD(MESSAGE_PENDING);
#endif
     take();
#ifndef NO_GUEST_FENCE
     FENCE(GUEST);
#endif
#ifndef PENDING_READ_FIRST
     more = LOAD(MESSAGE_PENDING);
#endif
#ifndef NO_EOM
     if
     :: taken && more -> eom = 1
     :: else
     fi
#endif
  fi
}

active proctype Handler() {
  byte type, message;
  bool taken, more;

  do
  :: received == MESSAGES -> break
  :: received < MESSAGES && interrupt ->
     interrupt = 0;
     consume()
  od
}

#ifdef TWO_CONSUMERS
active proctype Poller() {
  byte type, message;
  bool taken, more;

  do
  :: received == MESSAGES -> break
  :: received < MESSAGES && LOAD(TYPE) != 0 -> consume()
  od
}
#endif
