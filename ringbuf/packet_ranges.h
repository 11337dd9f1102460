// External data of a packet: ranges of a transfer page set, or guest pages listed in place.
//
// Two cursors walk the extension of a parsed packet, one word at a time, each loaded once. A bad
// range is that packet's error; its payload stays readable. Two builders make the extension words
// that PacketHeader takes. Nothing allocates: cursors are a few integers, builders fill the
// caller's array.
#ifndef VMBUS_RINGBUF_PACKET_RANGES_H_
#define VMBUS_RINGBUF_PACKET_RANGES_H_

#include <cstdint>
#include <span>

#include "ringbuf/packet.h"

namespace vmbus::ring {

// Pages that `byte_count` bytes touch when they start `offset_in_page` into the first one.
constexpr std::uint64_t pages_touched(std::uint32_t offset_in_page, std::uint32_t byte_count) {
  return (std::uint64_t{offset_in_page} + byte_count + kPageBytes - 1) / kPageBytes;
}

class TransferRanges {
 public:
  TransferRanges() = default;

  // `set_bytes`: length of the memory behind the packet's transfer_set_id.
  static Result<TransferRanges, RingError> of(const RingMemory& memory, const PacketView& packet,
                                              std::uint32_t set_bytes);

  bool done() const { return remaining_ == 0; }
  // REQUIRES: !done(). After an error the walk is over.
  Result<TransferRange, RingError> next();

 private:
  RingMemory memory_;
  std::uint32_t at_ = 0;
  std::uint32_t remaining_ = 0;
  std::uint32_t set_bytes_ = 0;
};

// Guest memory: byte_count bytes from byte_offset of the first of page_count pages.
struct GpaRange {
  std::uint32_t byte_count = 0;
  std::uint32_t byte_offset = 0;
  std::uint32_t page_count = 0;
  std::uint32_t pages_index = 0;  // of the first page number, in the ring
};

class GpaRanges {
 public:
  GpaRanges() = default;

  static Result<GpaRanges, RingError> of(const RingMemory& memory, const PacketView& packet);

  bool done() const { return remaining_ == 0; }
  // REQUIRES: !done(). After an error the walk is over.
  Result<GpaRange, RingError> next();
  // Page numbers are not judged here: only the owner of the guest's memory knows which exist.
  std::uint64_t page_number(const GpaRange& range, std::uint32_t page) const;

 private:
  RingMemory memory_;
  std::uint32_t at_ = 0;
  std::uint32_t remaining_ = 0;
  std::uint32_t bytes_left_ = 0;  // of the extension, from at_
};

// A range to be sent: as many page numbers as pages_touched() says.
struct OutgoingGpaRange {
  std::uint32_t byte_count;
  std::uint32_t byte_offset;
  std::span<const std::uint64_t> page_numbers;
};

// Both return the filled front of `words`, for PacketHeader::extension.
Result<std::span<const std::uint64_t>, RingError> build_transfer_pages(
    std::uint16_t set_id, std::span<const TransferRange> ranges, std::span<std::uint64_t> words);
Result<std::span<const std::uint64_t>, RingError> build_gpa_direct(
    std::span<const OutgoingGpaRange> ranges, std::span<std::uint64_t> words);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_PACKET_RANGES_H_
