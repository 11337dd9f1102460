// PipeReader: a stream of bytes, or messages, out of one ring.
//
// Two ways to receive bytes, with the same result:
//   read()                        copies into a buffer;
//   gather_batch(), consume()     lays spans over the data of the packets that are there, so that
//   one
//                                 sendmsg takes many of them; then says how much of it was taken.
//
// Progress inside a packet is a private number, never a mark in the ring: the peer could change
// that. A packet's space goes back to the writer once all of it is consumed, at commit(). An error
// in a packet is reported when everything before it has been consumed. The end of the stream (FIN)
// is a packet of its own, consumed by itself; after it, whatever follows is not looked at. Threads,
// trust and waiting are RingReader's.
#ifndef VMBUS_RINGBUF_PIPE_READER_H_
#define VMBUS_RINGBUF_PIPE_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringbuf/pipe.h"
#include "ringbuf/read_turn.h"
#include "ringbuf/ring_reader.h"

namespace vmbus::ring {

// One packet of a batch, as it was when it was checked.
struct GatheredPacket {
  std::uint32_t data_index;
  std::uint32_t data_bytes;
  std::uint32_t total_bytes;
};

class PipeReader {
 public:
  // Enough for 256 KiB in packets of 1 KiB. One packet takes one span, or two where the ring wraps.
  static constexpr std::size_t kMaxBatchPackets = 256;
  static constexpr std::size_t kMaxBatchSpans = kMaxBatchPackets + 1;

  // What a batch was gathered from. The caller's, who needs it for no longer than the batch: a daemon
  // has thousands of readers. Left uninitialised.
  using Gathered = std::array<GatheredPacket, kMaxBatchPackets>;

  PipeReader() = default;
  static Result<PipeReader, RingError> open(const RingMemory& memory, ReaderOptions options = {});
  // Goes on where another reader stopped: RingReader::resume(), and `position` in a half-read packet.
  // Keeps what ended() says. kPositionInvalid: no packet there, or none that long.
  Result<void, RingError> resume(ReadPosition position);
  // Where this reader stands.
  ReadPosition position() const { return {ring_.index(), taken_}; }

  // Lays spans over unconsumed data, and notes in `gathered` where it is. 0 bytes (with a span to fill): nothing is there, unless
  // at_fin() or ended(). Gathering again starts at the same byte and may find more.
  // REQUIRES: max_packets <= kMaxBatchPackets.
  Result<Batch, RingError> gather_batch(Gathered& gathered, std::span<Span> spans,
                                        std::size_t max_bytes,
                                        std::size_t max_packets = kMaxBatchPackets);
  // Steps over the first `bytes` of the last gathered batch.  REQUIRES: it had that many left, and
  // `gathered` is what gather_batch() filled.
  void consume(const Gathered& gathered, std::size_t bytes);

  // True when all data is consumed and the last gather_batch() saw the stream's end behind it.
  bool at_fin() const { return fin_bytes_ != 0 && first_ == count_; }
  // REQUIRES: at_fin().
  void consume_fin();
  // FIN was consumed: the stream is over for good.
  bool ended() const { return ended_; }

  // Copies and consumes; 0 as for gather_batch().
  Result<std::size_t, RingError> read(std::span<std::byte> to);
  // Message pipes: one message, or kEmpty, or kBufferTooSmall, which leaves it in the ring.
  Result<std::size_t, RingError> read_message(std::span<std::byte> to);

  // Data bytes that could be gathered now, as far as the packets are good. Walks them all.
  std::uint32_t readable_bytes();

  [[nodiscard]] bool commit() { return ring_.commit(); }
  // As RingReader: false also when data of a half-consumed packet is left.
  Result<bool, RingError> prepare_to_sleep() { return ring_.prepare_to_sleep(); }
  void mask_interrupts() { ring_.mask_interrupts(); }

  const RingMemory& memory() const { return ring_.memory(); }

 private:
  Result<PipePacket, RingError> packet_at(std::uint32_t skip_bytes) const;

  RingReader ring_;
  PipePacket head_;              // valid while taken_ != 0: the packet at the ring's position
  std::uint32_t taken_ = 0;      // bytes of it that are consumed
  std::uint32_t fin_bytes_ = 0;  // of the FIN right behind the gathered packets; 0: none seen
  bool ended_ = false;
  std::uint16_t first_ = 0;  // gathered packets not consumed yet: [first_, count_)
  std::uint16_t count_ = 0;
};

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_PIPE_READER_H_
