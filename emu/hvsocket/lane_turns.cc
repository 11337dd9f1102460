// Sockets: the pump's turns at rings that programs work too, and who looks after those that nobody
// looks at.  Contract    docs/lanes.md
#include <algorithm>
#include <chrono>
#include <utility>

#include "emu/hvsocket/sockets.h"
#include "emu/shown_packet.h"

namespace vmbus::emu {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{1};
// A gate is held for one copy. Only when a connection is torn away (its guest is removed, say) does the
// daemon wait for it, and no longer than this many looks: a millisecond or so.
constexpr int kForcedLooks = 10'000;
constexpr std::chrono::milliseconds kCloseInterval{100};
constexpr int kPatientCloses = 20;

struct LanePlace {
  GuestMemory* memory;
  std::optional<std::uint32_t> lane;
};

LanePlace place_of(const Stream& stream) {
  if (stream.side() == Side::kLoopback) {
    const auto first = stream.pair()->first_lane();
    const auto end = static_cast<std::uint32_t>(stream.end());
    return {&stream.pair()->memory(), first ? std::optional(*first + end) : std::nullopt};
  }
  const bool host_end = stream.side() == Side::kHost;
  return {&stream.bus()->memory(), LaneDirectory::lane_of_channel(stream.relid(), host_end)};
}

// What the pump alone can do: bytes held back below a low-water mark or for a small buffer of the peer's,
// records.
bool is_for_pump_alone(const Socket& socket) {
  return socket.carries_records() || socket.obeys("low-water-poll=on") ||
         socket.obeys("peer-buffer=on");
}

// Is the next packet shown in the carrier, and its room kept until it is read?
bool shows_packets(const Socket& socket) {
  return socket.heeds_room() && !socket.reads_unseen && !socket.closed &&
         !socket.has(proto::kEndedPeerWrite | proto::kEndedLocalRead) && socket.inbox.empty();
}

PumpResult not_begun(Turn turn) {
  return {.more = turn == Turn::kAgain, .fault = turn == Turn::kFault};
}

bool carrier_is_empty(const Socket& socket) { return queued_at_b(socket.b.get()) == 0; }

// The pump has more to send than it could.
bool keeps_bytes(const Socket& socket) {
  return !socket.b_ended && (socket.b_readable || !socket.outbox.empty());
}

}  // namespace

void Sockets::open_lane(Socket& socket) {
  if (socket.stream == nullptr) return;
  const Stream& stream = *socket.stream;
  const LanePlace place = place_of(stream);
  const bool stand_in_memory = place.memory->contains(stream.in.memory().data_pages().data()) &&
                               place.memory->contains(stream.out.memory().data_pages().data());
  if (!place.lane || !stand_in_memory) return;
  // Nor may a program be told anything by somebody who was stopped at an earlier connection of this place.
  const bool is_kept = place.memory->is_kept(*place.lane) ||
                       place.memory->is_kept(proto::opposite_lane(*place.lane));
  if (is_kept || is_for_pump_alone(socket)) {
    return LaneEnd::leave_to_pump(place.memory->lanes().lane(*place.lane));
  }
  socket.lane = std::make_unique<LaneEnd>(*place.memory, *place.lane, ++last_lane_generation_,
                                          stream, socket.b.get());
  place.memory->lane_directory().assign(*place.lane, socket.cookie);
  // It is born watched, so that no program has to ring for that with its first bytes; but nobody reads it yet.
  static_cast<void>(socket.stream->in.prepare_to_sleep());
  watch_lane(socket);
}

bool Sockets::close_lane(Socket& socket, bool forced) {
  if (socket.lane == nullptr) return true;
  LaneEnd& lane = *socket.lane;
  bool closed = lane.close(*socket.stream, is_client_, false);
  for (int look = 0; forced && !closed; ++look) {
    closed = lane.close(*socket.stream, is_client_, look == kForcedLooks);
  }
  if (!closed) return false;
  counters_.add(Counter::kBytesDirect, lane.bytes_in() + lane.bytes_out());
  socket.bytes_received += lane.bytes_in();
  socket.bytes_sent += lane.bytes_out();
  lane.memory().lane_directory().assign(lane.index(), 0);
  socket.lane.reset();
  end_plug(socket);
  return true;
}

// Who holds a gate rings when it is done. One that was stopped, or lies, does not: after a while the
// connection ends without it, and without its pages being used again while it lives.
bool Sockets::close_lane_in_time(Socket& socket) {
  if (close_lane(socket, socket.lane_closes >= kPatientCloses)) return true;
  if (std::exchange(socket.closes_lane, true)) return false;
  loop_.after(kCloseInterval, [this, cookie = socket.cookie] {
    Socket* again = find(cookie);
    if (again == nullptr) return;
    again->closes_lane = false;
    ++again->lane_closes;
    queue(*again);
  });
  return false;
}

// ---- turns --------------------------------------------------------------------------------------

PumpResult Sockets::turn_out(Socket& socket) {
  if (socket.lane == nullptr) return pump_out(socket, counters_);
  LaneEnd& lane = *socket.lane;
  const bool expected = lane.expects_sends();
  const Turn turn = lane.begin_out(*socket.stream, is_client_);
  if (turn != Turn::kYes) return not_begun(turn);
  if (socket.is_plugged && !lift_plug(socket)) {
    lane.end_out(*socket.stream, true, [] { return false; });
    return {};
  }
  const std::uint64_t sent_before = socket.bytes_sent;
  const PumpResult result = pump_out(socket, counters_);
  const bool unexpected = socket.bytes_sent != sent_before && !expected && !lane.expects_sends();
  if (unexpected) lane.mark_raw();
  lane.end_out(*socket.stream, keeps_bytes(socket), [&socket] { return carrier_is_empty(socket); });
  return result;
}

// What comes next from the ring is for the carrier, as it is, or for a program. REQUIRES: it has a lane.
bool Sockets::takes_plain_bytes(const Socket& socket) {
  constexpr std::uint8_t kOver = proto::kEndedPeerWrite | proto::kEndedLocalRead;
  return !socket.lane->in_closed() && !socket.heeds_room() && !socket.closed &&
         !socket.has(kOver) && socket.inbox.empty();
}

// Its program takes from the ring, and is watched: what is put into the carrier, it would have to fetch from there
// with a call each, and while it does so the next comes there, too. With the in gate held.
bool Sockets::is_left_to_reader(const Socket& socket) {
  const Stream& stream = *socket.stream;
  return takes_plain_bytes(socket) && socket.lane->is_watched() && !stream.peer_closed &&
         stream.in.memory().interrupt_mask().load_relaxed() != 0;
}

PumpResult Sockets::turn_in(Socket& socket) {
  if (socket.lane == nullptr) return pump_in(socket, counters_);
  LaneEnd& lane = *socket.lane;
  const Turn turn = lane.begin_in(*socket.stream, is_client_);
  if (turn != Turn::kYes) return not_begun(turn);
  if (is_left_to_reader(socket)) {
    lane.end_in(*socket.stream, false);
    return {};
  }
  const std::uint64_t received_before = socket.bytes_received;
  const auto is_shown = [&] {
    return !lane.in_closed() && lane.shows_packet(socket.stream->in.position());
  };
  const bool shows = is_shown() || (!lane.in_closed() && shows_packets(socket));
  const PumpResult result = shows ? show_packet(socket, counters_) : pump_in(socket, counters_);
  if (is_shown()) wait_for_reader(socket);
  const bool gave = socket.bytes_received != received_before;
  lane.end_in(*socket.stream, gave);
  if (gave) lane.wake_sleepers();
  return result;
}

// ---- room ---------------------------------------------------------------------------------------

void Sockets::wait_for_room(Socket& socket, int a) {
  const bool sends = socket.lane != nullptr && socket.stream != nullptr && !socket.is_plugged &&
                     !socket.has(proto::kEndedLocalWrite) && !socket.stream->fin_sent;
  if (!sends) return;
  if (socket.lane->begin_out(*socket.stream, is_client_) == Turn::kYes) {
    const auto room = socket.stream->out.request_space(1);
    socket.is_plugged = room.ok() && !*room && plug_.fill(a);
    socket.lane->end_out(*socket.stream, socket.is_plugged || keeps_bytes(socket),
                         [&socket] { return carrier_is_empty(socket); });
  }
  if (socket.is_plugged) return;
  // There is room again, or may be: who waits for the edge of OUT gets it. What the pump waited for, it
  // asks for anew.
  raise_out_edge(a, socket.type);
  queue(socket);
}

// False: there is still no room. With the out gate held.
bool Sockets::lift_plug(Socket& socket) {
  Stream& stream = *socket.stream;
  const bool waits = !socket.closed && !socket.has(proto::kEndedLocalWrite) && !stream.peer_closed;
  if (waits && !stream.fin_sent) {
    const auto room = stream.out.request_space(1);
    if (room.ok() && !*room) return false;
  }
  end_plug(socket);
  return true;
}

void Sockets::end_plug(Socket& socket) {
  if (!std::exchange(socket.is_plugged, false)) return;
  const std::vector<std::byte> others = plug_.remove(socket.b.get());
  socket.outbox.insert(socket.outbox.end(), others.begin(), others.end());
  socket.b_readable = true;
}

// A program that reads past our hooks rings no bell.
void Sockets::wait_for_reader(Socket& socket) {
  if (std::exchange(socket.waits_for_reader, true)) return;
  loop_.after(socket.reader_turn, [this, cookie = socket.cookie] {
    Socket* waiting = find(cookie);
    if (waiting == nullptr) return;
    waiting->waits_for_reader = false;
    waiting->reader_turn = std::min(2 * waiting->reader_turn, kLastReaderTurn);
    const bool reads = !waiting->has(proto::kEndedLocalRead);
    if (reads && waiting->lane != nullptr) queue(*waiting);
  });
}

// ---- bells --------------------------------------------------------------------------------------

void Sockets::answer_bells() {
  for (const auto& guest : guests_.all()) answer_bells_of(guest->bus().memory());
  if (host_memory_ != nullptr) answer_bells_of(*host_memory_);
}

void Sockets::answer_bells_of(GuestMemory& memory) {
  const LaneDirectory& directory = memory.lane_directory();
  memory.lanes().answer(proto::Bell::kSignal, [&](std::uint32_t lane) {
    Socket* source = find(directory.socket_of(proto::opposite_lane(lane)));
    Socket* target = find(directory.socket_of(lane));
    if (source != nullptr && source->stream != nullptr) {
      signal_peer(*source);
    } else if (target != nullptr) {
      queue(*target);
    }
  });
  memory.lanes().answer(proto::Bell::kLook, [&](std::uint32_t lane) {
    Socket* socket = find(directory.socket_of(lane));
    if (socket == nullptr || socket->lane == nullptr) return;
    if (socket->lane->is_watched()) watch_lane(*socket);
    queue(*socket);
  });
}

// It may have ended anywhere: with a gate, with a bell to ring, with a mask that says it looks. Which lanes
// those are, nothing in them can tell for certain, so all get a turn; and so does a ring that is the pump's alone,
// whose indices and masks a liar had in his memory, too.
void Sockets::client_gone() {
  for (const auto& guest : guests_.all()) guest->bus().memory().let_go(is_client_);
  if (host_memory_ != nullptr) host_memory_->let_go(is_client_);
  answer_bells();
  for (const auto& [cookie, socket] : sockets_) {
    if (socket->stream == nullptr) continue;
    if (socket->lane != nullptr) {
      socket->lane->stop_watching();
      socket->lane->wake_all_sleepers();
    }
    queue(*socket);
  }
}

// ---- watching -----------------------------------------------------------------------------------

void Sockets::watch_lane(const Socket& socket) {
  if (std::ranges::find(watched_, socket.cookie) != watched_.end()) return;
  socket.lane->is_busy();
  watched_.push_back(socket.cookie);
  if (watched_.size() == 1) loop_.after(kWatchInterval, [this] { look_at_watched(); });
}

void Sockets::look_at_watched() {
  std::erase_if(watched_, [this](std::uint64_t cookie) {
    Socket* socket = find(cookie);
    if (socket == nullptr || socket->lane == nullptr) return true;
    if (socket->lane->is_busy()) return false;
    socket->lane->stop_watching();
    queue(*socket);
    return true;
  });
  if (!watched_.empty()) loop_.after(kWatchInterval, [this] { look_at_watched(); });
}

}  // namespace vmbus::emu
