// One packet: laid out in the ring by its producer, parsed out of it by its consumer.
//
//   descriptor 16 | extension 0.. | payload, zero-padded to 8 | trailer 8
//   '------------------ length8 * 8 -----------------------'
//
// Trust       parse_packet() loads each word of the head once and judges the copy. The PacketView
//             holds only checked values; whatever the peer writes later cannot change them. Payload
//             bytes stay in the ring: copy first, then look.
// Contract    docs/ring.md
#ifndef VMBUS_RINGBUF_PACKET_H_
#define VMBUS_RINGBUF_PACKET_H_

#include <cstdint>
#include <span>

#include "ringbuf/layout.h"
#include "ringbuf/result.h"
#include "ringbuf/ring_memory.h"

namespace vmbus::ring {

// What the producer says about a packet; the lengths follow from it and from the payload.
struct PacketHeader {
  PacketType type = PacketType::kDataInBand;
  bool completion_requested = false;
  std::uint64_t transaction_id = 0;
  std::span<const std::uint64_t> extension = {};  // made by packet_ranges.h; empty for in-band data
};

// Bytes a packet takes in the ring, trailer included.
constexpr std::uint64_t packet_bytes(std::size_t extension_words, std::uint64_t payload_bytes) {
  return kDescriptorBytes + std::uint64_t{extension_words} * kWordBytes +
         ((payload_bytes + 7) & ~std::uint64_t{7}) + kTrailerBytes;
}

// Writes everything but the payload: descriptor, extension, zeroed padding, trailer. Returns where
// the payload goes.  REQUIRES: the packet fits between `start` and the reader, and in length8.
SplitSpan lay_out_packet(const RingMemory& memory, std::uint32_t start, const PacketHeader& header,
                         std::uint32_t payload_bytes);

struct PacketView {
  PacketType type = PacketType::kDataInBand;
  bool completion_requested = false;
  std::uint64_t raw_transaction_id = 0;
  std::uint32_t start_index = 0;
  std::uint32_t total_bytes = 0;  // trailer included: what release() gives back
  std::uint32_t extension_index = 0;
  std::uint32_t extension_bytes = 0;
  std::uint32_t range_count = 0;  // kDataTransferPages and kDataGpaDirect
  std::uint16_t transfer_set_id = 0;
  std::uint32_t payload_index = 0;
  std::uint32_t payload_bytes = 0;  // a multiple of 8: the padding is included

  // The transaction id means something only where an answer is asked for or given.
  bool has_transaction_id() const {
    return completion_requested || type == PacketType::kCompletion;
  }
};

// Parses the packet at `start`, of which `available` bytes are published.
Result<PacketView, RingError> parse_packet(const RingMemory& memory, std::uint32_t start,
                                           std::uint32_t available);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_PACKET_H_
