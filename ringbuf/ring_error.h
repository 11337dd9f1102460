// Why a ring operation did not do what was asked: one enumerator for each reason.
#ifndef VMBUS_RINGBUF_RING_ERROR_H_
#define VMBUS_RINGBUF_RING_ERROR_H_

#include <cstdint>

namespace vmbus::ring {

// Ordered by whose doing it is; peer_lied() relies on the order.
enum class RingError : std::uint8_t {
  // Expected: try again after a signal.
  kEmpty,
  kFull,

  // The caller asked for what can never be.
  kDataNotWholePages,
  kNoDataPages,
  kTooManyDataPages,
  kPacketTooLarge,       // total > data bytes - 8, or more than length8 can say
  kMessageTooLarge,      // message pipe: above min(16384, data bytes - 40)
  kBufferTooSmall,       // message pipe: the message stays in the ring
  kWrongExternalData,    // asked for GPA ranges of a transfer-pages packet, or the like
  kExtensionBufferFull,  // building ranges: the caller's array is too short

  // The peer lied: its channel is finished, nothing else is.
  kWriteIndexOutOfRange,
  kWriteIndexUnaligned,
  kWriteIndexMovedBack,  // it unwrote what it had published
  kWriteIndexOverrun,    // it ran over bytes that were not given back yet
  kReadIndexOutOfRange,
  kReadIndexUnaligned,
  kReadIndexMovedBack,  // it took back space it had released
  kReadIndexAhead,      // it consumed what was not published
  kInterruptsExternallyMasked,
  kTooLittleData,       // not empty, yet no room for a descriptor
  kDataOffsetTooSmall,  // payload inside the descriptor
  kLengthBelowDataOffset,
  kLengthBeyondData,   // packet longer than what is published
  kTrailerBeyondData,  // packet fits, its trailer does not
  kMissingExtension,   // transfer pages or GPA direct without room for the range count
  kUnknownFlags,
  kUnknownPacketType,
  kNoGpaRanges,            // GPA direct with range count 0
  kNoTransferRanges,       // transfer pages with range count 0
  kRangesBeyondExtension,  // more ranges or page numbers than the extension holds
  kEmptyRange,
  kRangeOffsetTooLarge,   // beyond the first page
  kRangeOutsideSet,       // transfer range beyond the memory of its set
  kUnexpectedPacketType,  // pipe: anything but in-band data
  kPipeHeaderMissing,     // pipe: payload shorter than its header
  kUnknownPipeType,
  kPipeLengthBeyondPacket,
  kPipeLengthAboveLimit,   // pipe: more than 16384 bytes in one packet
  kPartialOffsetTooLarge,  // pipe: PARTIAL that says everything was taken
  kPositionInvalid,        // reading by turns: no packet of that length where somebody stopped
};

constexpr bool peer_lied(RingError error) { return error >= RingError::kWriteIndexOutOfRange; }

// Short text for log lines; names the fact, not the remedy.
const char* describe(RingError error);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_RING_ERROR_H_
