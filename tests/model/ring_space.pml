/*
 * Ring, full -> non-full: the writer asks for space and goes to sleep, the reader releases what it
 * has read and decides whether that is the release the writer waits for.
 * Tags: ring.space, ring.publish, ring.release.
 *
 * Shown       No interleaving leaves the writer asleep while its packet fits, nor both ends waiting
 *             for each other (either would be an invalid end state).
 * The rule    writer: publish everything staged; store pending_send_size; fence; load read_index
 *             again; sleep only if the packet still does not fit.
 *             reader: store read_index; fence; load pending_send_size, then write_index; signal if
 *             this release crossed it: free was below pending before, and is not below it now.
 *             interrupt_mask plays no part (shared_event.pml shows what happens if it does).
 * In the code RingWriter::request_space() and stage(); RingReader::commit().
 * Sizes       Packets of one or two slots, so that a release may free too little, enough, or more.
 * Left out    Waiting for packets: here the reader just watches write_index (ring_wake.pml has it).
 * Memory      memory.inc.  Spin assumes sequential consistency; -DSTORE_BUFFER=n shows that both
 *             fences are needed, which is why the code has seq_cst stores and loads there.
 *
 * Legal writers that must pass
 *   default                asks for what it needs, takes the request back when it got it
 *   ASKS_FOR_MORE          asks for a good part of the ring, not to be woken for each small packet
 *   STICKY_PENDING         stores the largest packet size once and leaves it (Linux hv_sock)
 * The order of the reader's two loads
 *   LOADS_SWAPPED          write_index first, pending second, both after the fence: passes.  The
 *                          writer sleeps only after seeing the old read_index, so its two stores
 *                          came before the reader's store and thus before both loads.  "Pending
 *                          first" matters where the load of write_index may run ahead of the fence.
 *   INDEX_BEFORE_PENDING   that case: write_index loaded (or remembered) before read_index is
 *                          stored, pending after: must fail
 * Variants that must fail
 *   NO_RECHECK             the writer sleeps right after it has stored pending_send_size
 *   STAGED_NOT_COMMITTED   it sleeps with packets written but not published: both wait
 *   DECIDE_BEFORE_RELEASE  the reader loads pending_send_size before it stores read_index
 *   LAST_PACKET_ONLY       it releases several packets but tests the crossing for the last one only
 *   ASKS_TOO_MUCH          pending_send_size larger than an empty ring's room: never crossed
 *   NO_WRITER_FENCE, NO_READER_FENCE   with STORE_BUFFER: one half of the pair without its fence
 */
#define RING 5    /* slots; one stays empty, so that full and empty differ */
#define PACKETS 4 /* four to eight slots: the indices wrap */
#define LARGEST 2

#define WRITE_INDEX 0
#define READ_INDEX 1
#define PENDING_SEND_SIZE 2
#define SLOT(index) (3 + (index))
#define WORDS (3 + RING)
#include "memory.inc"

#define WRITER 0
#define READER 1

#define ADVANCE(index, size) (((index) + (size)) % RING)
#define FREE(write, read) (RING - 1 - ((write) + RING - (read)) % RING)

#if defined(ASKS_FOR_MORE)
#define WANTED (RING - 2)
#elif defined(ASKS_TOO_MUCH)
#define WANTED RING
#else
#define WANTED size
#endif

bit doorbell; /* signals do not queue: many before consumption are one */

inline publish() {
  STORE(WRITER, WRITE_INDEX, next);
  published = next
}

inline publish_staged() {
#ifndef STAGED_NOT_COMMITTED
  if
  :: published != next -> publish()
  :: else
  fi;
#endif
  skip
}

inline ask_for_room(amount) {
  STORE(WRITER, PENDING_SEND_SIZE, amount);
  asked = amount
}

inline wait_for_room() {
  read = LOAD(READ_INDEX);
  do
  :: FREE(next, read) >= size -> break
  :: else ->
     publish_staged();
#ifndef STICKY_PENDING
     ask_for_room(WANTED);
#endif
#ifndef NO_WRITER_FENCE
     FENCE(WRITER);
#endif
#ifndef NO_RECHECK
     read = LOAD(READ_INDEX);
#endif
     if
     :: FREE(next, read) >= size
     :: else ->
        atomic { doorbell -> doorbell = 0 };
        read = LOAD(READ_INDEX)
     fi
  od;
#ifndef STICKY_PENDING
  if
  :: asked != 0 -> ask_for_room(0)
  :: else
  fi
#endif
}

active proctype Writer() {
  byte sent, size, next, published, read, asked;

#ifdef STICKY_PENDING
  ask_for_room(LARGEST);
#endif
  do
  :: sent < PACKETS ->
     select(size : 1 .. LARGEST);
     wait_for_room();
     STORE(WRITER, SLOT(next), size);
     next = ADVANCE(next, size);
     sent++
  :: published != next -> publish() /* at any moment, for any number of packets */
  :: sent == PACKETS && published == next -> break
  od
}

inline read_packet() {
  size = LOAD(SLOT(next));
  assert(size == 1 || size == LARGEST);
#ifdef LAST_PACKET_ONLY
  before = next;
#endif
  next = ADVANCE(next, size);
  got++
}

inline release() {
#ifdef INDEX_BEFORE_PENDING
  write = LOAD(WRITE_INDEX);
#endif
#ifdef DECIDE_BEFORE_RELEASE
  pending = LOAD(PENDING_SEND_SIZE);
#endif
  STORE(READER, READ_INDEX, next);
#ifndef NO_READER_FENCE
  FENCE(READER);
#endif
#ifdef LOADS_SWAPPED
  write = LOAD(WRITE_INDEX);
#endif
#ifndef DECIDE_BEFORE_RELEASE
  pending = LOAD(PENDING_SEND_SIZE);
#endif
#if !defined(LOADS_SWAPPED) && !defined(INDEX_BEFORE_PENDING)
  write = LOAD(WRITE_INDEX);
#endif
  atomic {
    if
    :: pending != 0 && FREE(write, before) < pending && FREE(write, next) >= pending ->
       doorbell = 1
    :: else
    fi;
    before = next;
    released = next
  }
}

active proctype Reader() {
  byte got, size, next, released, before, pending, write;

  do
  :: got < PACKETS && LOAD(WRITE_INDEX) != next -> read_packet()
  :: released != next -> release() /* at any moment, for any number of packets */
  :: got == PACKETS && released == next -> break
  od
}
