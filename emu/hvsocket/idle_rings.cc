// Sockets: rings at rest give the memory of their free pages back to the machine.
//
// VMBus indices walk the whole ring, so one in use has all its pages after a lap; once nothing has moved in
// it for a while, all but its control page and what is unread in it may go. They come back, as zeroes, with
// the next write.
//
// Who         Each end looks after the ring that it reads: whoever writes into that one brings this end a
//             turn of the pump, or this end's program is watched (docs/lanes.md, "Sleeping").
// Safe        With the writer's out gate held, nobody is between "there is room" and "it is published". A reader
//             may be at work: it never touches what lies before its own index. A program that has the gate is
//             not waited for: another look comes.
// At rest     There is no timer while there is nothing to give back.
// Contract    docs/lanes.md, "Memory"
#include <algorithm>
#include <chrono>

#include "emu/hvsocket/sockets.h"
#include "ringbuf/free_pages.h"

namespace vmbus::emu {
namespace {

// Rings in one go: each is a system call of 10 µs or so, and others wait meanwhile.
constexpr int kRingsATurn = 32;
constexpr std::chrono::milliseconds kBreath{1};

// Changes whenever bytes are written into the ring that `socket` reads, or read from it. The totals, because
// after some laps both indices may be the same again.
std::uint64_t mark_of(const Socket& socket) {
  const ring::RingMemory& ring = socket.stream->in.memory();
  std::uint64_t mark = socket.bytes_received;
  if (socket.lane != nullptr) mark += socket.lane->bytes_in();
  for (const std::uint32_t index :
       {ring.write_index().load_relaxed(), ring.read_index().load_relaxed()}) {
    mark = (mark ^ index) * 0x9E37'79B9'7F4A'7C15U;
    mark ^= mark >> 29;
  }
  return mark;
}

bool is_empty(const ring::RingMemory& ring) {
  return ring.write_index().load_relaxed() == ring.read_index().load_relaxed();
}

bool is_same(const ring::RingMemory& one, const ring::RingMemory& other) {
  return one.control_page() == other.control_page() &&
         one.data_pages().data() == other.data_pages().data() &&
         one.data_bytes() == other.data_bytes();
}

bool drop(const GuestMemory& memory, const ring::Span& pages) {
  return pages.size == 0 || memory.drop({pages.data, pages.size});
}

}  // namespace

void Sockets::watch_ring(Socket& socket) {
  Stream& stream = *socket.stream;
  if (stream.in_rest_watched) return;
  // What is unread now may be read without a turn.
  if (is_empty(stream.in.memory()) && !stream.in_rest.has_moved(mark_of(socket))) return;
  stream.in_rest_watched = true;
  used_rings_.push_back(socket.cookie);
  if (used_rings_.size() == 1) look_at_rings_in(ring_rest_ / 2);
}

void Sockets::look_at_rings() {
  const auto now = std::chrono::steady_clock::now();
  int left = kRingsATurn;
  std::erase_if(used_rings_, [&](std::uint64_t cookie) {
    Socket* socket = find(cookie);
    if (socket == nullptr || socket->stream == nullptr) return true;
    Stream& stream = *socket->stream;
    const std::uint64_t mark = mark_of(*socket);
    if (!stream.in_rest.rests(mark, now, ring_rest_) || left == 0) return false;
    --left;
    stream.in_rest_watched = !give_pages_back(*socket, mark);
    return !stream.in_rest_watched;
  });
  if (used_rings_.empty()) return;
  look_at_rings_in(left == 0 ? kBreath : ring_rest_ / 2);
}

void Sockets::look_at_rings_in(std::chrono::milliseconds delay) {
  ring_look_ = loop_.after(std::max(delay, kBreath), [this] { look_at_rings(); });
}

void Sockets::set_ring_rest(std::chrono::milliseconds rest) {
  ring_rest_ = rest;
  loop_.cancel(ring_look_);
  if (!used_rings_.empty()) look_at_rings_in(rest / 2);
}

// False: a program is about to write.
bool Sockets::give_pages_back(Socket& socket, std::uint64_t mark) {
  Stream& stream = *socket.stream;
  const ring::RingMemory& ring = stream.in.memory();
  Socket* writer = peer_of(socket);
  // One that has gone leaves no lane to hold, but it may still be at it; and the ring goes soon.
  const bool can_give = writer != nullptr && writer->stream != nullptr && !stands_still(*writer) &&
                        stream.memory().contains(ring.data_pages().data()) &&
                        is_same(writer->stream->out.memory(), ring);
  if (!can_give) return true;
  if (writer->lane != nullptr && writer->lane->hold_out(is_client_) != Turn::kYes) return false;
  const auto free = ring::free_pages(ring);  // of a nonsensical ring a turn of the pump speaks
  const bool dropped =
      free.ok() && drop(stream.memory(), free->first) && drop(stream.memory(), free->second);
  if (writer->lane != nullptr) writer->lane->let_go_of_out();
  stream.in_rest.gave_back(mark);
  stream.memory().drop_tables(ring.data_pages());
  if (dropped) counters_.add(Counter::kRingsGivenBack);
  return true;
}

}  // namespace vmbus::emu
