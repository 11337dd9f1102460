// PipeWriter: a stream of bytes, or messages, into one ring.
//
// Two ways to send bytes, with the same packets as their result:
//   write()                            copies from a buffer;
//   prepare_batch(), finish_batch()    lays spans over the payload areas of the packets to come, so
//   that
//                                      one readv fills many of them; the headers follow when it is
//                                      known how much came.
//
//   | descr. pipe | span 0 ...... | pad trailer | descr. pipe | span 1 ... | ...
//   '------ kPipePayloadOffset                  '------ kPipePayloadOffset
//
// Nothing is visible to the reader before commit(). Threads, trust and waiting are RingWriter's.
// A byte pipe always keeps room for its FIN.
#ifndef VMBUS_RINGBUF_PIPE_WRITER_H_
#define VMBUS_RINGBUF_PIPE_WRITER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ringbuf/pipe.h"
#include "ringbuf/ring_writer.h"

namespace vmbus::ring {

class PipeWriter {
 public:
  PipeWriter() = default;
  static Result<PipeWriter, RingError> open(const RingMemory& memory);
  // RingWriter::resume(). REQUIRES: no FIN was written.
  static Result<PipeWriter, RingError> resume(const RingMemory& memory);

  // Lays spans over as many packets as there are room, bytes wanted and spans. Each packet but the
  // last takes max_packet_payload bytes (at least 1, cut to what the ring and the protocol allow).
  // 0 bytes: full, commit() and request_space(). Preparing again forgets the batch before.
  // REQUIRES: no write_fin() before.
  Result<Batch, RingError> prepare_batch(std::uint32_t max_packet_payload, std::size_t max_bytes,
                                         std::span<Span> spans);
  // Stages the packets that hold the first `bytes` of the prepared batch; the last may be short.
  // REQUIRES: that many were filled, in order.
  void finish_batch(std::size_t bytes);

  // Stages as much of `data` as there is room for, and says how much that was.
  Result<std::size_t, RingError> write(std::span<const std::byte> data,
                                       std::uint32_t max_packet_payload);
  // Stages the end of the stream, once; later calls do nothing.
  Result<void, RingError> write_fin();
  bool fin_written() const { return fin_written_; }

  // Message pipes: one packet, or kFull, or kMessageTooLarge.
  Result<void, RingError> write_message(std::span<const std::byte> message);

  [[nodiscard]] bool commit() { return ring_.commit(); }
  [[nodiscard]] bool publish() { return ring_.publish(); }
  // As RingWriter::request_space(), for a packet of `payload_bytes` (cut as above) in a byte pipe.
  Result<bool, RingError> request_space(std::uint32_t payload_bytes);
  // The same for `bytes` of ring, cut to what it can hold.
  Result<bool, RingError> request_room(std::uint32_t bytes) {
    return ring_.request_space(std::min(bytes, memory().capacity()));
  }

  const RingMemory& memory() const { return ring_.memory(); }

 private:
  static Result<PipeWriter, RingError> over(Result<RingWriter, RingError> ring);
  std::uint32_t cut_payload(std::uint32_t payload_bytes) const;
  void stage_packet(std::uint32_t payload_bytes);

  RingWriter ring_;
  std::uint32_t batch_payload_bytes_ = 0;  // of each packet of the prepared batch but the last
  std::size_t batch_bytes_ = 0;
  bool fin_written_ = false;
};

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_PIPE_WRITER_H_
