/*
 * Ring, empty -> non-empty: the writer publishes packets, the reader goes to sleep when it finds
 * none.  Tags: ring.wake, ring.publish, ring.release.
 *
 * Shown       No interleaving leaves the reader asleep while a packet is in the ring (that would be
 *             an invalid end state), and each packet arrives once, in order, whole (assertion).
 * The rule    writer: store write_index; fence; load interrupt_mask, load read_index; signal if the
 *             mask is 0 and the reader stands where what was published unannounced began.
 *             reader: release everything; store interrupt_mask 0; fence; load write_index again;
 *             sleep only if there is still nothing.  Publish, then look; unmask, then look again.
 * In the code RingWriter::commit() and publish(); RingReader::prepare_to_sleep() and commit().
 * Deferred    With -DDEFERRED the writer publishes several times before it decides once.  The reader
 *             may have slept at the start of any publication, so the whole unannounced interval is
 *             tested.
 * Left out    Waiting for room: here the writer just watches read_index (ring_space.pml has it).
 * Memory      memory.inc.  Spin assumes sequential consistency; -DSTORE_BUFFER=n shows that both
 *             fences are needed, which is why the code has seq_cst stores and loads there.
 *
 * Variants that must fail
 *   DECIDE_BEFORE_PUBLISH  the writer looks at mask and read_index before it stores write_index
 *   NO_RECHECK             the reader sleeps right after it has unmasked
 *   SLEEP_UNRELEASED       the reader sleeps while read_index still lags behind what it has read
 *   LAST_PACKET_ONLY       deferred, but only the last publication is tested
 *   FIRST_PACKET_ONLY      deferred, but only the first one is tested
 *   INDEX_INTERVAL SPAN=4  deferred over a whole ring, the interval kept as an index instead of a
 *                          count: modulo the ring it looks empty (with a count it passes)
 *   WAITS_UNANNOUNCED      deferred; the writer waits for room with publications unannounced
 *   INDEX_BEFORE_PAYLOAD   write_index is stored before the packet's bytes
 *   RELEASE_BEFORE_COPY    read_index is stored before the packet has been copied out
 *   DOORBELL_KEPT          the reader does not take the doorbell down: it spins instead of sleeping
 *   NO_WRITER_FENCE, NO_READER_FENCE   with STORE_BUFFER: one half of the pair without its fence
 * Legal readers that must pass: the default one (masks while it is busy), NEVER_MASKS.
 */
#define RING 4    /* slots; one stays empty, so that full and empty differ */
#define PACKETS 5 /* more than the ring holds: the indices wrap */

#define WRITE_INDEX 0
#define READ_INDEX 1
#define INTERRUPT_MASK 2
#define SLOT(index) (3 + (index))
#define WORDS (3 + RING)
#include "memory.inc"

#define WRITER 0
#define READER 1

#define NEXT(index) (((index) + 1) % RING)
#define USED(write, read) (((write) + RING - (read)) % RING)

#ifndef SPAN
#define SPAN (RING - 1) /* most packets published and not yet announced */
#endif

/*
 * A sleeping reader found the ring empty where one of our publications began.  Of those not yet
 * announced, the first began `unannounced` packets ago and the last `last_batch` packets ago.
 */
#if defined(LAST_PACKET_ONLY)
#define READER_MAY_SLEEP (unread == last_batch)
#elif defined(FIRST_PACKET_ONLY)
#define READER_MAY_SLEEP (unread == unannounced)
#elif defined(INDEX_INTERVAL)
#define READER_MAY_SLEEP (unread >= last_batch && unread <= unannounced % RING)
#else
#define READER_MAY_SLEEP (unread >= last_batch && unread <= unannounced)
#endif

#ifdef WAITS_UNANNOUNCED
#define MAY_ANNOUNCE (sent == PACKETS)
#else
#define MAY_ANNOUNCE true
#endif

bit doorbell; /* signals do not queue: many before consumption are one */

#ifdef DOORBELL_KEPT
#define TAKE_DOORBELL doorbell
#else
#define TAKE_DOORBELL atomic { doorbell -> doorbell = 0 }
#endif

inline stage_packet() {
  atomic { sent++; staged++ };
#ifdef INDEX_BEFORE_PAYLOAD
  STORE(WRITER, WRITE_INDEX, NEXT(next));
#endif
  STORE(WRITER, SLOT(next), sent);
  next = NEXT(next)
}

inline publish() {
  STORE(WRITER, WRITE_INDEX, next);
  atomic {
    last_batch = staged;
    unannounced = unannounced + staged;
    staged = 0
  }
}

inline look() {
  listens = (LOAD(INTERRUPT_MASK) == 0);
  unread = USED(next, LOAD(READ_INDEX))
}

inline signal_if_needed() {
  atomic {
    if
    :: listens && READER_MAY_SLEEP -> doorbell = 1
    :: else
    fi;
    unannounced = 0
  }
}

inline writer_fence() {
#ifndef NO_WRITER_FENCE
  FENCE(WRITER);
#endif
  skip
}

#ifdef DEFERRED
#define STAGING_ALLOWED (staged + unannounced < SPAN)
#else
#define STAGING_ALLOWED true
#endif

active proctype Writer() {
  byte sent, next, staged, last_batch, unannounced, unread;
  bool listens;

  do
  :: sent < PACKETS && STAGING_ALLOWED && USED(next, LOAD(READ_INDEX)) < RING - 1 -> stage_packet()

#if defined(DECIDE_BEFORE_PUBLISH)
  :: staged > 0 ->
     look();
     publish();
     signal_if_needed()
#elif defined(DEFERRED)
  :: staged > 0 -> publish()
  :: staged == 0 && unannounced > 0 && MAY_ANNOUNCE ->
     writer_fence();
     look();
     signal_if_needed()
#else
  :: staged > 0 ->
     publish();
     writer_fence();
     look();
     signal_if_needed()
#endif

  :: sent == PACKETS && staged + unannounced == 0 -> break
  od
}

inline read_packet() {
  got++;
  assert(LOAD(SLOT(next)) == got);
  next = NEXT(next)
}

#ifdef RELEASE_BEFORE_COPY
#define RELEASABLE seen
#else
#define RELEASABLE next
#endif

inline release(index) {
  STORE(READER, READ_INDEX, index);
  released = index
}

inline set_mask(value) {
#ifndef NEVER_MASKS
  STORE(READER, INTERRUPT_MASK, value);
#endif
  skip
}

inline sleep_until_signalled() {
#ifndef SLEEP_UNRELEASED
  if
  :: released != next -> release(next)
  :: else
  fi;
#endif
  set_mask(0);
#ifndef NO_READER_FENCE
  FENCE(READER);
#endif
#ifndef NO_RECHECK
  seen = LOAD(WRITE_INDEX);
#endif
  if
  :: next != seen
  :: else -> TAKE_DOORBELL
  fi;
  set_mask(1)
}

active proctype Reader() {
  byte got, next, released, seen;

  set_mask(1);
  do
  :: got == PACKETS -> break
  :: got < PACKETS ->
     seen = LOAD(WRITE_INDEX);
     do
     :: next != seen -> read_packet()
     :: RELEASABLE != released -> release(RELEASABLE) /* at any moment, for any number */
     :: next == seen -> break
     od;
     if
     :: got < PACKETS -> sleep_until_signalled()
     :: else
     fi
  od
}
