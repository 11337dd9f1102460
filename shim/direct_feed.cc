// DirectEnd: the pump's turn for a peer that waits in the kernel, done by the program that has just written.
#include <sys/socket.h>

#include "ringbuf/fault_point.h"
#include "shim/direct.h"
#include "shim/feeds.h"
#include "shim/real.h"

namespace vmbus::shim {
namespace {

using ring::SharedCell;

long send_split(int b, const ring::SplitSpan& data) {
  iovec parts[2] = {{data.first.data, data.first.size}, {data.second.data, data.second.size}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = data.second.size == 0 ? 1 : 2;
  return real::call(SYS_sendmsg, b, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

std::uint64_t DirectEnd::key() const { return feed_key(entry_.bus, index_, generation_); }

// The peer is to be signalled, for the packet that was just written. True: it has been. With the own out
// gate held: so nobody writes behind that packet, and the daemon ends neither end's lane meanwhile.
bool DirectEnd::feed_reader() const {
  const FeedUse feed(key());
  if (!feed) return false;
  const std::uint32_t opposite = proto::opposite_lane(index_);
  proto::Lane& peer = area_.lane(opposite);
  // Who sleeps there needs no carrier. Whoever comes to sleep from now on finds the packet first.
  if (SharedCell(peer.sleepers).load_seq_cst() != 0) return false;
  const proto::Gate gate(peer.in_gate);
  if (!gate.try_take(feed.generation(), client_)) return false;
  VMBUS_FAULT(kFeedGateTaken);
  InTurn turn;
  const bool is_fed = feed_turn(peer, feed.fd(), &turn);
  const std::uint32_t asked = gate.give(feed.generation(), client_);
  VMBUS_FAULT(kGateGiven);
  if ((asked & proto::kGateAwaited) != 0) wake_awaiting(peer.in_gate);
  if (turn.wakes_writer) wake_writer_of(index_);
  if ((asked & proto::kGateWanted) != 0) ring_look(opposite);
  return is_fed;
}

// With both gates held. Into an empty carrier alone: then bytes that are found there after this process's
// death are the marked packet's (LaneEnd::settle_feed()).
bool DirectEnd::feed_turn(proto::Lane& peer, int b, InTurn* turn) const {
  const SharedCell<std::uint32_t> in_flags(peer.in_flags);
  const bool may_feed = out_.interrupt_mask().load_seq_cst() == 0 &&
                        (in_flags.load_seq_cst() & proto::kLaneEnded) == 0 &&
                        SharedCell(peer.shown).load_seq_cst() == 0;
  if (!may_feed) return false;
  const ring::ReadPosition position = proto::load_position(peer);
  auto reader = ring::ReadTurn::begin(out_, position);
  if (!reader) return false;  // nonsense, which the pump will find
  const ring::SplitSpan data = reader->only_packet();
  const std::size_t bytes = data.first.size + data.second.size;
  if (bytes == 0 || !real::is_queue_empty(b)) return false;
  // SYNC(lane.fed): the mark first, then the flag, then the bytes, then the position.
  SharedCell(peer.fed).store_seq_cst(proto::fed_at(position.index));
  VMBUS_FAULT(kFeedMarked);
  in_flags.fetch_or(proto::kLaneCarrierHolds);
  VMBUS_FAULT(kFeedHolds);
  const long sent = send_split(b, data);
  VMBUS_FAULT(kFeedSent);
  bool is_fed = false;
  if (sent > 0) is_fed = note_fed(peer, *reader, static_cast<std::size_t>(sent), bytes, turn);
  SharedCell(peer.fed).store_seq_cst(0);
  VMBUS_FAULT(kFeedUnmarked);
  return is_fed;
}

// `sent` of the packet's `bytes` are in the carrier. True: all.
bool DirectEnd::note_fed(proto::Lane& peer, ring::ReadTurn& reader, std::size_t sent,
                         std::size_t bytes, InTurn* turn) const {
  const bool whole = sent == bytes;
  const std::uint32_t index = reader.position().index;
  if (whole && !reader.skip_packet()) return false;
  // SYNC(lane.position): as in receive_turn().
  proto::store_position(peer, whole ? reader.position()
                                    : ring::ReadPosition{index, static_cast<std::uint32_t>(sent)});
  VMBUS_FAULT(kFeedPosition);
  if (whole) turn->wakes_writer = reader.commit();
  VMBUS_FAULT(kFeedReleased);
  const SharedCell<std::uint64_t> total(peer.bytes_in);
  total.store_relaxed(total.load_relaxed() + sent);
  VMBUS_FAULT(kFeedCounted);
  return whole;
}

}  // namespace vmbus::shim
