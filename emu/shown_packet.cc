#include "emu/shown_packet.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
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
  LaneEnd& lane = *socket.lane;
  // Whoever reads what is shown looks for more itself; nobody else does.
  in.memory().interrupt_mask().store_seq_cst(0);
  if (lane.shows_packet(in.position())) {
    if (!is_carrier_read(socket)) return {};
    lane.hide_packet();
    if (!step_over_packet(in)) return {.fault = true};
    socket.reads_unseen = true;
    return {.more = true, .signal = commit_by_credit(socket)};
  }
  if (!socket.b_writable) return {};
  OnePacket spans;
  const auto packet = in.gather_batch(spans, ring::kMaxPipePayloadBytes, 1);
  if (!packet.ok()) return {.fault = true};
  if (packet->bytes == 0) return at_end_of_ring(socket, false);
  // Before its bytes can be read.
  lane.show_packet(in.position());
  const ssize_t length = put_into_carrier(socket, spans, packet->span_count);
  const auto shown = static_cast<std::size_t>(std::max<ssize_t>(length, 0));
  if (shown != packet->bytes) {
    lane.hide_packet();
    in.consume(shown);  // the carrier has no room for all of it
  }
  socket.reader_turn = kFirstReaderTurn;
  socket.bytes_received += shown;
  counters.add(received_counter(*socket.stream), shown);
  return {};
}

}  // namespace vmbus::emu
