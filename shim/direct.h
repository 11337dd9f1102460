// DirectEnd: a program's turns at the rings of one connected socket, past the daemon's pump.
//
// Made on the stack by a data call (transfer.cc). It moves what can be moved at once, or within a spin,
// and then lets the call go on in the kernel, on the carrier, where waiting is exactly what it is for
// any socket. Nothing it does has to be undone by anybody who uses the descriptor in another way.
//
// Trust       The peer, and every program of the partition, may write anything into rings and lanes:
//             ringbuf judges each word. A nonsensical ring is left to the daemon, which ends the
//             connection.
// Gates       Held for one copy, with signals blocked if the program handles any, never across a
//             call that waits. One that stays taken sends the call through the carrier.
// Contract    docs/lanes.md
#ifndef VMBUS_SHIM_DIRECT_H_
#define VMBUS_SHIM_DIRECT_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "emu/protocol/endpoint_table.h"
#include "emu/protocol/lane.h"
#include "ringbuf/read_turn.h"
#include "ringbuf/ring_memory.h"
#include "shim/fd_table.h"
#include "shim/signals.h"

namespace vmbus::shim {

// A program's vector of buffers.
struct Parts {
  const iovec* parts;
  std::size_t count;
  std::size_t bytes;  // altogether
};

// Nothing was moved: the call goes on in the kernel. Outside of every result.
inline constexpr long kThroughCarrier = -5001;

class DirectEnd {
 public:
  // Empty: not connected, no lane, or this process may not or cannot work rings.
  static DirectEnd of(int fd, FdEntry entry, const proto::Endpoint& endpoint);
  explicit operator bool() const { return lane_ != nullptr; }

  // A count above 0, or kThroughCarrier. `may_wait`: the call is allowed to, so it may spin.
  long receive(const Parts& to, int flags, bool may_wait);
  // How much of it is in the ring now, more than 0; or kThroughCarrier.
  long send(const Parts& from, bool may_wait);

  // Around what the program sends in the kernel.
  void begin_carrier_send() const { sends().begin(); }
  void end_carrier_send() const { sends().end(); }

  // Before somebody looks for bytes in the carrier alone: the pump brings what is there.
  void cool();
  // Bytes in the ring that a receive would find.
  long readable_bytes();

 private:
  // What is to be done once the gate is given up.
  struct InTurn {
    bool signals_peer = false;
    bool needs_look = false;
    bool again = false;
    bool spins = false;
  };

  proto::CarrierSends sends() const {
    return proto::CarrierSends(lane_->carrier_sends, generation_);
  }
  bool may_write() const;
  bool take(std::uint64_t& word);
  // Also rings what `turn` says. Signals come through only then: a handler may end the program, or
  // never come back here.
  void give(std::uint64_t& word, const InTurn& turn);
  void ring_look() const;
  void ring_peer() const;
  static long report_error(std::uint32_t& where, InTurn* turn);

  long receive_turn(const Parts& to, std::size_t limit, int flags, bool may_spin, InTurn* turn);
  long receive_from_carrier(const Parts& to, int flags) const;
  Result<std::size_t, ring::RingError> read_parts(ring::ReadTurn& reader, const Parts& to,
                                                  std::size_t limit, int flags) const;
  void stay_warm(InTurn* turn);
  bool holds_all(std::size_t bytes);
  static bool spin_past(ring::SharedWord index, std::uint32_t seen, std::uint64_t& gate);

  long write_turn(const Parts& from, std::size_t skip);
  long write_packets(const Parts& from, std::size_t skip, std::size_t wanted, InTurn* turn);

  int fd_ = -1;
  FdEntry entry_{};
  std::uint32_t client_ = 0;
  std::uint32_t generation_ = 0;
  std::uint32_t index_ = 0;  // of the lane
  std::uint32_t packet_bytes_ = 0;
  bool one_packet_ = true;  // a receive from the ring ends with its packet
  BlockedSignals signals_;
  proto::Lane* lane_ = nullptr;
  proto::LaneArea area_;
  ring::RingMemory in_;
  ring::RingMemory out_;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_DIRECT_H_
