#include "emu/pump.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "emu/hvsocket/carrier_end.h"
#include "emu/protocol/carrier.h"
#include "emu/records.h"
#include "ringbuf/fault_point.h"

namespace vmbus::emu {
namespace {

// 256 KiB in 16 KiB packets, each in two spans where the ring wraps, with room to spare for
// 4,088-byte packets.
constexpr std::size_t kMaxSpans = 80;

// What the carrier holds from A to B.
constexpr std::uint64_t kDiscardLimitBytes = 2 * proto::kSendBufferBytes;

static_assert(sizeof(ring::Span) == sizeof(iovec) &&
                  offsetof(ring::Span, size) == offsetof(iovec, iov_len),
              "spans go to the kernel as they are");
using Spans = std::array<ring::Span, kMaxSpans>;

iovec* as_iovec(Spans& spans) { return reinterpret_cast<iovec*>(spans.data()); }

std::uint32_t packet_payload(const Socket& socket) {
  // As programs have it (endpoint_image.cc). Within a guest both ends' are the guest's.
  return socket.home == Home::kHost ? ring::kMaxPipePayloadBytes
                                    : socket.quirk(proto::Quirk::kPacket);
}

std::size_t move_outbox(Socket& socket, Spans& spans, const ring::Batch& batch) {
  std::size_t moved = 0;
  for (std::size_t i = 0; i < batch.span_count && moved < socket.outbox.size(); ++i) {
    const std::size_t length = std::min(spans[i].size, socket.outbox.size() - moved);
    std::memcpy(spans[i].data, socket.outbox.data() + moved, length);
    moved += length;
  }
  socket.outbox.erase(socket.outbox.begin(),
                      socket.outbox.begin() + static_cast<std::ptrdiff_t>(moved));
  return moved;
}

// Fills the batch from the outbox, then from B. Bytes moved; 0 with socket.b_ended or !b_readable
// set otherwise.
std::size_t take_from_program(Socket& socket, Spans& spans, const ring::Batch& batch) {
  if (!socket.outbox.empty()) return move_outbox(socket, spans, batch);
  if (socket.outbox_is_last) {
    socket.b_ended = true;
    return 0;
  }
  if (socket.carries_records()) return take_record(socket) ? move_outbox(socket, spans, batch) : 0;
  // Not by readv(): a program that has a copy of B may have made the file one that waits.
  msghdr message{};
  message.msg_iov = as_iovec(spans);
  message.msg_iovlen = batch.span_count;
  const ssize_t length = ::recvmsg(socket.b.get(), &message, MSG_DONTWAIT);
  if (length > 0) return static_cast<std::size_t>(length);
  if (length < 0 && errno == EINTR) return 0;
  if (length < 0 && errno == EAGAIN) {
    socket.b_readable = false;
  } else {
    socket.b_ended = true;  // end of file, or a reset because A was closed with bytes unread
  }
  return 0;
}

bool nothing_to_take(const Socket& socket) {
  return socket.b_ended || (socket.outbox.empty() && !socket.outbox_is_last && !socket.b_readable);
}

// A writer whom no hook tells that the peer is gone (stdio, say) learns it from the kernel, with EPIPE
// and SIGPIPE: B is shut for reading. Not before it has written what a carrier holds: others are told
// by the endpoint's entry, and A would show HUP to them.
void refuse_writers(Socket& socket) {
  if (socket.bytes_discarded < kDiscardLimitBytes || socket.b_ended) return;
  ::shutdown(socket.b.get(), SHUT_RD);
  socket.b_ended = true;
}

// The peer takes no more: empties B, so that a writer of A is not left waiting for ever.
PumpResult discard(Socket& socket, Counters& counters) {
  std::array<std::byte, 64 * 1024> scrap;
  counters.add(Counter::kBytesDiscarded, socket.outbox.size());
  socket.outbox.clear();
  if (socket.outbox_is_last) socket.b_ended = true;
  std::size_t turn = 0;
  while (!nothing_to_take(socket) && turn < kTurnBytes) {
    const ssize_t length = ::recv(socket.b.get(), scrap.data(), scrap.size(), MSG_DONTWAIT);
    if (length > 0) {
      counters.add(Counter::kBytesDiscarded, static_cast<std::uint64_t>(length));
      socket.bytes_discarded += static_cast<std::uint64_t>(length);
      turn += static_cast<std::size_t>(length);
    } else if (length < 0 && errno == EAGAIN) {
      socket.b_readable = false;
    } else if (length == 0 || errno != EINTR) {
      socket.b_ended = true;
    }
  }
  return {.more = !nothing_to_take(socket)};
}

PumpResult faulty() { return {.fault = true}; }

void give_inbox(Socket& socket) {
  while (!socket.inbox.empty() && socket.b_writable) {
    iovec piece{socket.inbox.data(), socket.inbox.size()};
    const Delivery delivery = give_to_program(socket, &piece, 1);
    if (delivery.refused) {
      socket.inbox.clear();
      break;
    }
    socket.bytes_received += delivery.taken;
    socket.inbox.erase(socket.inbox.begin(),
                       socket.inbox.begin() + static_cast<std::ptrdiff_t>(delivery.taken));
  }
}

PumpResult pump_inbox(Socket& socket) {
  give_inbox(socket);
  if (socket.inbox.empty() && socket.stream == nullptr) socket.ended |= proto::kEndedPeerWrite;
  return {.more = socket.inbox.empty() && socket.stream != nullptr};
}

// A is closed, and its last bytes may still be on their way: the peer, which may be blocked in its
// own send before it reads them, must not be kept waiting.
PumpResult drain(Socket& socket, Counters& counters) {
  Stream& stream = *socket.stream;
  PumpResult result;
  for (std::size_t turn = 0; turn < kTurnBytes;) {
    Spans spans;
    ring::PipeReader::Gathered gathered;
    const auto batch = stream.in.gather_batch(gathered, spans, kTurnBytes);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) return at_end_of_ring(socket, result.signal);
    stream.in.consume(gathered, batch->bytes);
    result.signal |= stream.in.commit();
    counters.add(Counter::kBytesDiscarded, batch->bytes);
    turn += batch->bytes;
  }
  result.more = true;
  return result;
}

bool has_room_in_inbox(const Socket& socket) {
  if (socket.inbox.size() < socket.options.buffer_size) return true;
  // But no less than a whole record, or the low-water mark.
  return socket.carries_records() ? !holds_record(socket)
                                  : socket.inbox.size() < socket.options.receive_low_water;
}

// Ring -> inbox, up to the socket's buffer.
PumpResult fill_inbox(Socket& socket, Counters& counters, bool& ring_is_empty) {
  Stream& stream = *socket.stream;
  PumpResult result;
  std::array<std::byte, 64 * 1024> block;
  while (has_room_in_inbox(socket)) {
    const auto length = stream.in.read(block);
    if (!length.ok()) return faulty();
    ring_is_empty = *length == 0;
    if (ring_is_empty) break;
    result.signal |= stream.in.commit();
    counters.add(received_counter(stream), *length);
    socket.inbox.insert(socket.inbox.end(), block.begin(),
                        block.begin() + static_cast<std::ptrdiff_t>(*length));
  }
  return result;
}

PumpResult pump_records_in(Socket& socket, Counters& counters) {
  PumpResult result;
  bool ring_is_empty = socket.stream == nullptr;
  if (socket.stream != nullptr) result = fill_inbox(socket, counters, ring_is_empty);
  if (result.fault || !give_records(socket)) return faulty();
  if (!ring_is_empty) {
    result.more = socket.b_writable;
  } else if (!holds_record(socket)) {
    if (socket.stream != nullptr) return at_end_of_ring(socket, result.signal);
    socket.ended |= proto::kEndedPeerWrite;
  }
  return result;
}

// What A holds already shows IN, whatever is held back.
bool has_unread_bytes(const Socket& socket) { return queued_at_a(socket.b.get()) > 0; }

PumpResult pump_to_low_water(Socket& socket, Counters& counters) {
  const Stream& stream = *socket.stream;
  bool ring_is_empty = false;
  PumpResult result = fill_inbox(socket, counters, ring_is_empty);
  if (result.fault) return result;
  const bool no_more = ring_is_empty && (stream.in.at_fin() || stream.peer_closed);
  const bool held = socket.inbox.size() < socket.options.receive_low_water && !no_more &&
                    socket.receives == 0 && !has_unread_bytes(socket);
  if (!held) give_inbox(socket);
  if (!ring_is_empty) {
    result.more = socket.b_writable;
  } else if (held || socket.inbox.empty()) {
    return at_end_of_ring(socket, result.signal);
  }
  return result;
}

PumpResult fill_ring(Socket& socket) {
  Stream& stream = *socket.stream;
  PumpResult result;
  std::size_t turn = 0;
  while (!nothing_to_take(socket)) {
    if (turn >= kTurnBytes) {
      result.more = true;
      break;
    }
    if (turn >= socket.credit_bytes) break;  // the peer's reading brings another turn
    Spans spans;
    const std::size_t limit = std::min(kTurnBytes, socket.credit_bytes) - turn;
    const auto batch = stream.out.prepare_batch(packet_payload(socket), limit, spans);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) {
      result.signal |= stream.out.commit();
      const auto room = stream.out.request_space(packet_payload(socket));
      if (!room.ok()) return faulty();
      if (*room) continue;
      return result;
    }
    const std::size_t taken = take_from_program(socket, spans, *batch);
    VMBUS_FAULT(kPumpOutRead);
    stream.out.finish_batch(taken);
    result.signal |= stream.out.commit();
    VMBUS_FAULT(kPumpOutPublished);
    socket.bytes_sent += taken;
    turn += taken;
  }
  return result;
}

// FreeBSD's SHUT_WR says nothing to the peer until the socket is closed or shut altogether.
bool keeps_fin(const Socket& socket) {
  return !socket.closed && socket.has(proto::kEndedLocalWrite) &&
         !socket.has(proto::kEndedLocalRead) && socket.obeys("shut-wr=silent");
}

}  // namespace

Delivery give_to_program(Socket& socket, iovec* pieces, std::size_t count) {
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  const ssize_t length = ::sendmsg(socket.b.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (length >= 0) return {.taken = static_cast<std::size_t>(length)};
  if (errno == EAGAIN) socket.b_writable = false;
  return {.refused = errno == EPIPE || errno == ECONNRESET};
}

Counter received_counter(const Stream& stream) {
  return stream.side() == Side::kGuest ? Counter::kBytesHostToGuest : Counter::kBytesGuestToHost;
}

// Nothing is gathered: FIN, the peer's close, or just empty for now.
PumpResult at_end_of_ring(Socket& socket, bool signal) {
  Stream& stream = *socket.stream;
  if (stream.in.at_fin()) {
    stream.in.consume_fin();
    socket.ended |= proto::kEndedPeerWrite;
    return {.signal = stream.in.commit() || signal};
  }
  if (stream.in.ended()) return {.signal = signal};
  signal |= stream.in.commit();
  const auto asleep = stream.in.prepare_to_sleep();
  if (!asleep.ok()) return faulty();
  if (!*asleep) return {.more = true, .signal = signal};
  if (stream.peer_closed) socket.ended |= proto::kEndedPeerWrite;
  return {.signal = signal};
}

PumpResult pump_out(Socket& socket, Counters& counters) {
  if (socket.stream == nullptr || socket.stream->peer_closed) {
    discard(socket, counters);
    refuse_writers(socket);
    return {.more = !nothing_to_take(socket)};
  }
  Stream& stream = *socket.stream;
  // Where the peer's SHUT_RD is known, nothing is worth sending but the end.
  const bool unread = socket.has(proto::kEndedPeerRead);
  PumpResult result = unread ? discard(socket, counters) : fill_ring(socket);
  if (result.fault || !socket.b_ended || stream.fin_sent || keeps_fin(socket)) return result;
  if (!stream.out.write_fin().ok()) return faulty();
  stream.fin_sent = true;
  result.signal |= stream.out.commit();
  VMBUS_FAULT(kPumpOutFin);
  return result;
}

PumpResult pump_in(Socket& socket, Counters& counters) {
  if (socket.has(proto::kEndedPeerWrite)) return {};
  const bool to_be_read =
      socket.stream == nullptr || !(socket.closed || socket.has(proto::kEndedLocalRead));
  if (socket.carries_records() && to_be_read) return pump_records_in(socket, counters);
  const bool may_hold = socket.has_low_water() && socket.stream != nullptr;
  if (may_hold && to_be_read) return pump_to_low_water(socket, counters);
  if (!socket.inbox.empty() || socket.stream == nullptr) return pump_inbox(socket);
  if (socket.closed) return drain(socket, counters);
  // After SHUT_RD nobody reads: the ring fills and the peer waits, as on the real bus.
  if (socket.has(proto::kEndedLocalRead)) return {};
  Stream& stream = *socket.stream;
  PumpResult result;
  std::size_t turn = 0;
  while (socket.b_writable) {
    Spans spans;
    ring::PipeReader::Gathered gathered;
    const auto batch = stream.in.gather_batch(gathered, spans, kTurnBytes);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) return at_end_of_ring(socket, result.signal);
    if (turn >= kTurnBytes) {
      result.more = true;
      break;
    }
    const Delivery delivery = give_to_program(socket, as_iovec(spans), batch->span_count);
    if (delivery.refused) break;
    VMBUS_FAULT(kPumpInGiven);
    stream.in.consume(gathered, delivery.taken);
    // Linux' hv_sock gives room back only when it has emptied the ring.
    if (socket.obeys("credit=gradual")) result.signal |= stream.in.commit();
    VMBUS_FAULT(kPumpInConsumed);
    socket.bytes_received += delivery.taken;
    counters.add(received_counter(stream), delivery.taken);
    turn += delivery.taken;
  }
  return result;
}

void rescue_ring(Socket& socket) {
  if (socket.stream == nullptr || socket.closed || socket.has(proto::kEndedLocalRead)) return;
  Stream& stream = *socket.stream;
  std::array<std::byte, 16 * 1024> block;
  while (true) {
    const auto length = stream.in.read(block);
    if (!length.ok() || *length == 0) return;
    socket.inbox.insert(socket.inbox.end(), block.begin(),
                        block.begin() + static_cast<std::ptrdiff_t>(*length));
  }
}

}  // namespace vmbus::emu
