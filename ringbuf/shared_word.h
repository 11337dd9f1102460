// The only door to memory that the peer may write at the same moment.
//
// SharedWord  a 32-bit word of the control page. One side stores it, the other loads it; there is
//             no read-modify-write, because every word has exactly one writer.
// SharedCell  a word that several sides change, with read-modify-write: gates and flags of lanes
//             (emu/protocol/lane.h), never a word of a ring.
// load_once   an aligned 8-byte word of the data pages, loaded exactly once: the compiler may not
//             load it again after a check, so what was checked is what is used.
//
// Orders      seq_cst wherever a side stores its own word and then loads the peer's to decide
//             whether anybody must be woken (docs/ring.md, SYNC(ring.wake) and SYNC(ring.space)).
//             Acquire where the index only opens bytes. Relaxed where a late value costs a signal
//             at most. There are no stand-alone fences: ThreadSanitizer does not model them.
#ifndef VMBUS_RINGBUF_SHARED_WORD_H_
#define VMBUS_RINGBUF_SHARED_WORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ringbuf/schedule_point.h"

namespace vmbus::ring {

class SharedWord {
 public:
  explicit SharedWord(std::uint32_t& word) : point_(&word), word_(word) {}

  std::uint32_t load_relaxed() const { return load(std::memory_order_relaxed); }
  std::uint32_t load_acquire() const { return load(std::memory_order_acquire); }
  std::uint32_t load_seq_cst() const { return load(std::memory_order_seq_cst); }
  void store_relaxed(std::uint32_t value) const { store(value, std::memory_order_relaxed); }
  void store_release(std::uint32_t value) const { store(value, std::memory_order_release); }
  void store_seq_cst(std::uint32_t value) const { store(value, std::memory_order_seq_cst); }

 private:
  std::uint32_t load(std::memory_order order) const {
    point_.load();
    return word_.load(order);
  }
  void store(std::uint32_t value, std::memory_order order) const {
    point_.store();
    word_.store(value, order);
  }

  // Two processes share the word, so a lock inside the program would be no lock at all.
  static_assert(std::atomic_ref<std::uint32_t>::is_always_lock_free);
  static_assert(std::atomic_ref<std::uint32_t>::required_alignment == alignof(std::uint32_t));

  [[no_unique_address]] SchedulePoint point_;
  std::atomic_ref<std::uint32_t> word_;
};

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);

template <typename T>
class SharedCell {
 public:
  explicit SharedCell(T& cell) : point_(&cell), cell_(cell) {}

  T load_relaxed() const { return load(std::memory_order_relaxed); }
  T load_seq_cst() const { return load(std::memory_order_seq_cst); }
  void store_relaxed(T value) const { store(value, std::memory_order_relaxed); }
  void store_seq_cst(T value) const { store(value, std::memory_order_seq_cst); }
  // All seq_cst. compare_exchange leaves what it saw in `expected`.
  bool compare_exchange(T& expected, T desired) const {
    return changed().compare_exchange_strong(expected, desired, std::memory_order_seq_cst);
  }
  T exchange(T value) const { return changed().exchange(value, std::memory_order_seq_cst); }
  T fetch_or(T bits) const { return changed().fetch_or(bits, std::memory_order_seq_cst); }
  T fetch_and(T bits) const { return changed().fetch_and(bits, std::memory_order_seq_cst); }
  T fetch_sub(T value) const { return changed().fetch_sub(value, std::memory_order_seq_cst); }

 private:
  T load(std::memory_order order) const {
    point_.load();
    return cell_.load(order);
  }
  void store(T value, std::memory_order order) const {
    point_.store();
    cell_.store(value, order);
  }
  const std::atomic_ref<T>& changed() const {
    point_.store();
    return cell_;
  }

  static_assert(std::atomic_ref<T>::is_always_lock_free);
  static_assert(std::atomic_ref<T>::required_alignment == alignof(T));

  [[no_unique_address]] SchedulePoint point_;
  std::atomic_ref<T> cell_;
};

// REQUIRES: `word` is 8-byte aligned and readable.
inline std::uint64_t load_once(std::byte* word) {
  SchedulePoint(word).load();
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(word)).load(std::memory_order_relaxed);
}

// REQUIRES: `word` is 8-byte aligned and writable.
inline void store_once(std::byte* word, std::uint64_t value) {
  SchedulePoint(word).store();
  std::atomic_ref(*reinterpret_cast<std::uint64_t*>(word)).store(value, std::memory_order_relaxed);
}

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_SHARED_WORD_H_
