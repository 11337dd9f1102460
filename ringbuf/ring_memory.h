// RingMemory: one ring's pages as this process maps them: the control page, then the data pages.
//
// The data pages are one contiguous span, mapped once; the control page may stand anywhere. A range of data
// that runs past the last page goes on at the first one, so a copy may be two memcpy and a view may be two
// spans (SplitSpan).
//
// A RingMemory is a view: it is copied freely, owns nothing, and must not outlive the mapping.
// REQUIRES everywhere: an index is valid for this ring and a length is at most data_bytes().
#ifndef VMBUS_RINGBUF_RING_MEMORY_H_
#define VMBUS_RINGBUF_RING_MEMORY_H_

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringbuf/index.h"
#include "ringbuf/layout.h"
#include "ringbuf/result.h"
#include "ringbuf/ring_error.h"
#include "ringbuf/shared_word.h"

namespace vmbus::ring {

// Bytes in place, laid out like an iovec so that a caller can hand an array of them to the kernel.
struct Span {
  std::byte* data;
  std::size_t size;
};

// Consecutive ring bytes; `second` is empty unless they wrap.
struct SplitSpan {
  Span first;
  Span second;
};

// Where a ring's pages are mapped.
struct RingPages {
  std::byte* control = nullptr;
  std::span<std::byte> data;
};

class RingMemory {
 public:
  RingMemory() = default;

  // REQUIRES: both are 8-byte aligned and stay mapped readable and writable.
  static Result<RingMemory, RingError> over(const RingPages& pages);
  // The control page, and the data pages right behind it.
  static Result<RingMemory, RingError> over(std::span<std::byte> pages);

  std::uint32_t data_bytes() const { return data_bytes_; }
  std::uint32_t capacity() const { return capacity_bytes(data_bytes_); }

  SharedWord write_index() const { return SharedWord(control_->write_index); }
  SharedWord read_index() const { return SharedWord(control_->read_index); }
  SharedWord interrupt_mask() const { return SharedWord(control_->interrupt_mask); }
  SharedWord pending_send_size() const { return SharedWord(control_->pending_send_size); }
  SharedWord feature_bits() const { return SharedWord(control_->feature_bits); }

  // Where its pages stand.
  const std::byte* control_page() const { return reinterpret_cast<const std::byte*>(control_); }
  std::span<const std::byte> data_pages() const { return {data_, data_bytes_}; }

  // The guest does this to both rings before it sends OPEN_CHANNEL; nobody else sees them yet.
  void zero_control_page() const { *control_ = ControlPage{}; }

  std::uint32_t advance(std::uint32_t index, std::uint32_t bytes) const {
    return ring::advance(index, bytes, data_bytes_);
  }

  std::uint64_t load_word(std::uint32_t index) const {
    assert(is_valid_index(index, data_bytes_));
    return load_once(data_ + index);
  }

  void store_word(std::uint32_t index, std::uint64_t value) const {
    assert(is_valid_index(index, data_bytes_));
    store_once(data_ + index, value);
  }

  // For as many bytes as are left before the ring wraps.
  std::byte* span_at(std::uint32_t index) const {
    assert(index < data_bytes_);
    SchedulePoint(data_ + index).store();
    return data_ + index;
  }

  SplitSpan split(std::uint32_t index, std::uint32_t bytes) const {
    assert(index < data_bytes_ && bytes <= data_bytes_);
    SchedulePoint(data_ + index).store();
    const std::uint32_t until_wrap = data_bytes_ - index;
    if (bytes <= until_wrap) return {{data_ + index, bytes}, {data_, 0}};
    return {{data_ + index, until_wrap}, {data_, bytes - until_wrap}};
  }

 private:
  RingMemory(ControlPage* control, std::byte* data, std::uint32_t data_bytes)
      : control_(control), data_(data), data_bytes_(data_bytes) {}

  ControlPage* control_ = nullptr;
  std::byte* data_ = nullptr;
  std::uint32_t data_bytes_ = 0;
};

// REQUIRES: both sides have the same length.
void copy_into(const SplitSpan& to, std::span<const std::byte> from);
void copy_from(const SplitSpan& from, std::span<std::byte> to);

// Both indices as the control page shows them, each checked.
struct RingIndices {
  std::uint32_t write_index;
  std::uint32_t read_index;
};

Result<std::uint32_t, RingError> check_write_index(std::uint32_t index, std::uint32_t data_bytes);
Result<std::uint32_t, RingError> check_read_index(std::uint32_t index, std::uint32_t data_bytes);
Result<RingIndices, RingError> load_indices(const RingMemory& memory);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_RING_MEMORY_H_
