#include "emu/pump.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace vmbus::emu {
namespace {

// 256 KiB in 16 KiB packets, each in two spans where the ring wraps, with room to spare for
// 4,088-byte packets.
constexpr std::size_t kMaxSpans = 80;
constexpr std::uint32_t kStrictGuestPacketBytes =
    4088;  // Linux's hv_sock: a page less the pipe header

static_assert(sizeof(ring::Span) == sizeof(iovec) &&
                  offsetof(ring::Span, size) == offsetof(iovec, iov_len),
              "spans go to the kernel as they are");
using Spans = std::array<ring::Span, kMaxSpans>;

iovec* as_iovec(Spans& spans) { return reinterpret_cast<iovec*>(spans.data()); }

std::uint32_t packet_payload(const Socket& socket) {
  const bool small = socket.stream->side() == Side::kGuest && !socket.quirks().large_packets;
  return small ? kStrictGuestPacketBytes : ring::kMaxPipePayloadBytes;
}

// Fills the batch from the outbox, then from B. Bytes moved; 0 with socket.b_ended or !b_readable
// set otherwise.
std::size_t take_from_program(Socket& socket, Spans& spans, const ring::Batch& batch) {
  if (!socket.outbox.empty()) {
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
  if (socket.outbox_is_last) {
    socket.b_ended = true;
    return 0;
  }
  const ssize_t length =
      ::readv(socket.b.get(), as_iovec(spans), static_cast<int>(batch.span_count));
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

// The peer takes no more: empties B, so that a writer of A is not left waiting for ever.
PumpResult discard(Socket& socket, Counters& counters) {
  std::array<std::byte, 64 * 1024> scrap;
  counters.add(Counter::kBytesDiscarded, socket.outbox.size());
  socket.outbox.clear();
  if (socket.outbox_is_last) socket.b_ended = true;
  std::size_t turn = 0;
  while (!nothing_to_take(socket) && turn < kTurnBytes) {
    const ssize_t length = ::recv(socket.b.get(), scrap.data(), scrap.size(), 0);
    if (length > 0) {
      counters.add(Counter::kBytesDiscarded, static_cast<std::uint64_t>(length));
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

// 0 taken: either B is exhausted, or A was shut for reading (then nobody will ever read:
// `refused`).
struct Delivery {
  std::size_t taken = 0;
  bool refused = false;
};

Delivery give_to_program(Socket& socket, iovec* pieces, std::size_t count) {
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  const ssize_t length = ::sendmsg(socket.b.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (length >= 0) return {.taken = static_cast<std::size_t>(length)};
  if (errno == EAGAIN) socket.b_writable = false;
  return {.refused = errno == EPIPE || errno == ECONNRESET};
}

PumpResult pump_inbox(Socket& socket) {
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
  if (socket.inbox.empty() && socket.stream == nullptr) socket.ended |= proto::kEndedPeerWrite;
  return {};
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
  const auto asleep = stream.in.prepare_to_sleep();
  if (!asleep.ok()) return faulty();
  if (!*asleep) return {.more = true, .signal = signal};
  if (stream.peer_closed) socket.ended |= proto::kEndedPeerWrite;
  return {.signal = signal};
}

// A is closed, and its last bytes may still be on their way: the peer, which may be blocked in its
// own send before it reads them, must not be kept waiting.
PumpResult drain(Socket& socket, Counters& counters) {
  Stream& stream = *socket.stream;
  PumpResult result;
  for (std::size_t turn = 0; turn < kTurnBytes;) {
    Spans spans;
    const auto batch = stream.in.gather_batch(spans, kTurnBytes);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) return at_end_of_ring(socket, result.signal);
    stream.in.consume(batch->bytes);
    result.signal |= stream.in.commit();
    counters.add(Counter::kBytesDiscarded, batch->bytes);
    turn += batch->bytes;
  }
  result.more = true;
  return result;
}

}  // namespace

PumpResult pump_out(Socket& socket, Counters& counters) {
  if (socket.stream == nullptr || socket.stream->peer_closed) return discard(socket, counters);
  Stream& stream = *socket.stream;
  PumpResult result;
  std::size_t turn = 0;
  while (!nothing_to_take(socket)) {
    if (turn >= kTurnBytes) {
      result.more = true;
      break;
    }
    Spans spans;
    const auto batch = stream.out.prepare_batch(packet_payload(socket), kTurnBytes - turn, spans);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) {
      result.signal |= stream.out.commit();
      const auto room = stream.out.request_space(packet_payload(socket));
      if (!room.ok()) return faulty();
      if (*room) continue;
      return result;
    }
    const std::size_t taken = take_from_program(socket, spans, *batch);
    stream.out.finish_batch(taken);
    result.signal |= stream.out.commit();
    socket.bytes_sent += taken;
    turn += taken;
  }
  if (socket.b_ended && !stream.fin_sent) {
    if (!stream.out.write_fin().ok()) return faulty();
    stream.fin_sent = true;
    result.signal |= stream.out.commit();
  }
  return result;
}

PumpResult pump_in(Socket& socket, Counters& counters) {
  if (socket.has(proto::kEndedPeerWrite)) return {};
  if (!socket.inbox.empty() || socket.stream == nullptr) return pump_inbox(socket);
  if (socket.closed) return drain(socket, counters);
  // After SHUT_RD nobody reads: the ring fills and the peer waits, as on the real bus.
  if (socket.has(proto::kEndedLocalRead)) return {};
  Stream& stream = *socket.stream;
  PumpResult result;
  std::size_t turn = 0;
  while (socket.b_writable) {
    Spans spans;
    const auto batch = stream.in.gather_batch(spans, kTurnBytes);
    if (!batch.ok()) return faulty();
    if (batch->bytes == 0) return at_end_of_ring(socket, result.signal);
    if (turn >= kTurnBytes) {
      result.more = true;
      break;
    }
    const Delivery delivery = give_to_program(socket, as_iovec(spans), batch->span_count);
    if (delivery.refused) break;
    stream.in.consume(delivery.taken);
    result.signal |= stream.in.commit();
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
