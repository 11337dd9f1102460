#include "ringbuf/ring_error.h"

namespace vmbus::ring {

const char* describe(RingError error) {
  switch (error) {
    case RingError::kEmpty:
      return "ring is empty";
    case RingError::kFull:
      return "ring is full";
    case RingError::kDataNotWholePages:
      return "ring memory is not whole pages";
    case RingError::kNoDataPages:
      return "ring has no data page";
    case RingError::kTooManyDataPages:
      return "ring has more pages than a GPADL can list";
    case RingError::kPacketTooLarge:
      return "packet can never fit";
    case RingError::kMessageTooLarge:
      return "message is above the pipe's limit";
    case RingError::kBufferTooSmall:
      return "buffer is smaller than the message";
    case RingError::kWrongExternalData:
      return "packet has another kind of external data";
    case RingError::kExtensionBufferFull:
      return "buffer is smaller than the packet extension";
    case RingError::kWriteIndexOutOfRange:
      return "write index is beyond the ring";
    case RingError::kWriteIndexUnaligned:
      return "write index is not a multiple of 8";
    case RingError::kWriteIndexMovedBack:
      return "write index moved back";
    case RingError::kWriteIndexOverrun:
      return "write index ran over unreleased packets";
    case RingError::kReadIndexOutOfRange:
      return "read index is beyond the ring";
    case RingError::kReadIndexUnaligned:
      return "read index is not a multiple of 8";
    case RingError::kReadIndexMovedBack:
      return "read index moved back";
    case RingError::kReadIndexAhead:
      return "read index is ahead of the published packets";
    case RingError::kInterruptsExternallyMasked:
      return "the peer set our interrupt mask";
    case RingError::kTooLittleData:
      return "published data is shorter than a descriptor";
    case RingError::kDataOffsetTooSmall:
      return "data offset lies inside the descriptor";
    case RingError::kLengthBelowDataOffset:
      return "packet length is below its data offset";
    case RingError::kLengthBeyondData:
      return "packet length is beyond the published data";
    case RingError::kTrailerBeyondData:
      return "packet trailer is beyond the published data";
    case RingError::kMissingExtension:
      return "packet type needs an extension and has none";
    case RingError::kUnknownFlags:
      return "unknown packet flags";
    case RingError::kUnknownPacketType:
      return "unknown packet type";
    case RingError::kNoGpaRanges:
      return "GPA direct packet without ranges";
    case RingError::kNoTransferRanges:
      return "transfer pages packet without ranges";
    case RingError::kRangesBeyondExtension:
      return "ranges do not fit in the packet extension";
    case RingError::kEmptyRange:
      return "range of length 0";
    case RingError::kRangeOffsetTooLarge:
      return "range offset is beyond its first page";
    case RingError::kRangeOutsideSet:
      return "range is outside its transfer page set";
    case RingError::kUnexpectedPacketType:
      return "packet on a pipe is not in-band data";
    case RingError::kPipeHeaderMissing:
      return "packet on a pipe has no pipe header";
    case RingError::kUnknownPipeType:
      return "unknown pipe packet type";
    case RingError::kPipeLengthBeyondPacket:
      return "pipe length is beyond the packet";
    case RingError::kPipeLengthAboveLimit:
      return "pipe length is above 16384";
    case RingError::kPartialOffsetTooLarge:
      return "partial pipe packet has nothing left";
    case RingError::kPositionInvalid:
      return "a reader is said to have stopped where no packet is";
  }
  return "not a ring error";
}

}  // namespace vmbus::ring
