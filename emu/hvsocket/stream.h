// Stream: one end of an established connection: the ring it writes, the ring it reads, and who
// hears its signals.
//
// The other end is a Stream too: of the same partition (loopback) or, on a channel, on the other
// side of the bus. Threads     The loop thread.
#ifndef VMBUS_EMU_HVSOCKET_STREAM_H_
#define VMBUS_EMU_HVSOCKET_STREAM_H_

#include <cstdint>
#include <memory>

#include "emu/hvsocket/loopback_rings.h"
#include "emu/partition.h"
#include "emu/ring_rest.h"
#include "ringbuf/pipe_reader.h"
#include "ringbuf/pipe_writer.h"

namespace vmbus::emu {

enum class Side : std::uint8_t { kHost, kGuest, kLoopback };

class Stream {
 public:
  // Opens both rings at the given end. Null when a control page holds nonsense (a hostile guest's
  // host end).
  static std::unique_ptr<Stream> on_channel(Side side, Partition& bus, proto::Relid relid,
                                            const ChannelRings& rings);
  // `end` 0 dialled and writes the pair's first ring; 1 accepted.
  static std::unique_ptr<Stream> on_loopback(std::shared_ptr<LoopbackRings> pair, std::size_t end);

  Side side() const { return side_; }
  Partition* bus() const { return bus_; }        // null: loopback
  proto::Relid relid() const { return relid_; }  // 0: loopback
  const std::shared_ptr<LoopbackRings>& pair() const { return pair_; }
  std::size_t end() const { return end_; }
  // Where its rings are, unless a GPADL's pages are scattered.
  GuestMemory& memory() const { return pair_ != nullptr ? pair_->memory() : bus_->memory(); }
  std::uint64_t loopback_peer() const { return pair_->sockets[1 - end_]; }

  ring::PipeWriter out;
  ring::PipeReader in;
  bool fin_sent = false;
  bool peer_closed =
      false;  // the peer writes no more, whether or not it said so: after the ring, end of file
  RingRest in_rest;              // of the ring that this end reads (idle_rings.cc)
  bool in_rest_watched = false;  // its end is among those that are looked at
  std::uint64_t signals_sent = 0;
  std::uint64_t signals_received = 0;

 private:
  Stream(Side side, Partition* bus, proto::Relid relid) : side_(side), bus_(bus), relid_(relid) {}
  static std::unique_ptr<Stream> open(std::unique_ptr<Stream> stream, const ring::RingPages& out,
                                      const ring::RingPages& in);

  Side side_;
  Partition* bus_;
  proto::Relid relid_;
  std::shared_ptr<LoopbackRings> pair_;
  std::size_t end_ = 0;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_STREAM_H_
