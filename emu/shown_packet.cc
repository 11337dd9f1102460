#include "emu/shown_packet.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "emu/hvsocket/lane_end.h"

namespace vmbus::emu {
namespace {

using OnePacket = std::array<ring::Span, 2>;

bool is_carrier_read(const Socket& socket) {
  int unread = 0;
  return ::ioctl(socket.b.get(), SIOCOUTQ, &unread) == 0 && unread == 0;
}

// Does the socket give room back now, after a packet was read?
bool commit_by_credit(Socket& socket) {
  ring::PipeReader& in = socket.stream->in;
  const bool keeps = socket.obeys("credit=drained") && in.readable_bytes() != 0;
  return !keeps && in.commit();
}

// How many bytes of the packet the carrier took; -1: nobody will ever read them.
ssize_t put_into_carrier(Socket& socket, const OnePacket& spans, std::size_t count) {
  std::array<iovec, 2> pieces{};
  for (std::size_t i = 0; i < count; ++i) pieces[i] = {spans[i].data, spans[i].size};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const ssize_t length = ::sendmsg(socket.b.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (length >= 0) return length;
  if (errno == EAGAIN) socket.b_writable = false;
  return errno == EPIPE || errno == ECONNRESET ? -1 : 0;
}

}  // namespace

bool step_over_packet(ring::PipeReader& reader) {
  OnePacket spans;
  const auto packet = reader.gather_batch(spans, ring::kMaxPipePayloadBytes, 1);
  if (!packet.ok() || packet->bytes == 0) return false;
  reader.consume(packet->bytes);
  return true;
}

PumpResult show_packet(Socket& socket, Counters& counters) {
  ring::PipeReader& in = socket.stream->in;
  PumpResult result;
  if (socket.lane->shows_packet()) {
    if (!is_carrier_read(socket)) return {};
    if (!step_over_packet(in)) return {.fault = true};
    socket.lane->set_shows_packet(false);
    socket.reads_unseen = true;
    result.signal = commit_by_credit(socket);
  }
  if (!socket.b_writable) return result;
  OnePacket spans;
  const auto packet = in.gather_batch(spans, ring::kMaxPipePayloadBytes, 1);
  if (!packet.ok()) return {.fault = true};
  if (packet->bytes == 0) return at_end_of_ring(socket, result.signal);
  const ssize_t length = put_into_carrier(socket, spans, packet->span_count);
  if (length <= 0) return result;
  const auto shown = static_cast<std::size_t>(length);
  if (shown == packet->bytes) {
    socket.lane->set_shows_packet(true);
  } else {
    in.consume(shown);  // the carrier has no room for all of it
  }
  socket.bytes_received += shown;
  counters.add(received_counter(*socket.stream), shown);
  return result;
}

}  // namespace vmbus::emu
