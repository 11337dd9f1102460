#include "emu/shown_packet.h"

#include <array>

#include "emu/hvsocket/carrier_end.h"
#include "emu/hvsocket/lane_end.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kMostSpans = 2;  // of one packet: the ring may wrap
using OnePacket = std::array<ring::Span, kMostSpans>;

// Does the socket give room back now, after a packet was read?
bool commit_by_credit(Socket& socket) {
  ring::PipeReader& in = socket.stream->in;
  const bool keeps = socket.obeys("credit=drained") && in.readable_bytes() != 0;
  return !keeps && in.commit();
}

}  // namespace

bool step_over_packet(ring::PipeReader& reader) {
  OnePacket spans;
  ring::PipeReader::Gathered gathered;
  const auto packet = reader.gather_batch(gathered, spans, ring::kMaxPipePayloadBytes, 1);
  if (!packet.ok() || packet->bytes == 0) return false;
  reader.consume(gathered, packet->bytes);
  return true;
}

PumpResult show_packet(Socket& socket, Counters& counters) {
  ring::PipeReader& in = socket.stream->in;
  LaneEnd& lane = *socket.lane;
  // Whoever reads what is shown looks for more itself; nobody else does.
  in.memory().interrupt_mask().store_seq_cst(0);
  if (lane.shows_packet(in.position())) {
    if (queued_at_a(socket.b.get()) != 0) return {};
    lane.hide_packet();
    if (!step_over_packet(in)) return {.fault = true};
    socket.reads_unseen = true;
    return {.more = true, .signal = commit_by_credit(socket)};
  }
  if (!socket.b_writable) return {};
  OnePacket spans;
  ring::PipeReader::Gathered gathered;
  const auto packet = in.gather_batch(gathered, spans, ring::kMaxPipePayloadBytes, 1);
  if (!packet.ok()) return {.fault = true};
  if (packet->bytes == 0) return at_end_of_ring(socket, false);
  // Before its bytes can be read.
  lane.show_packet(in.position());
  std::array<iovec, kMostSpans> pieces{};
  for (std::size_t i = 0; i < packet->span_count; ++i) pieces[i] = {spans[i].data, spans[i].size};
  const std::size_t shown = give_to_program(socket, pieces.data(), packet->span_count).taken;
  if (shown != packet->bytes) {
    lane.hide_packet();
    in.consume(gathered, shown);  // the carrier has no room for all of it
  }
  socket.reader_turn = kFirstReaderTurn;
  socket.bytes_received += shown;
  counters.add(received_counter(*socket.stream), shown);
  return {};
}

}  // namespace vmbus::emu
