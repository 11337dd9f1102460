// LoopbackRings: the ring pair of a connection inside one partition, shared by its two ends, freed
// with the second.
//
// No channel describes it (real systems have none there either); the rings stand in the partition's
// own memory: a guest's, or a memfd that the host has for this.
#ifndef VMBUS_EMU_HVSOCKET_LOOPBACK_RINGS_H_
#define VMBUS_EMU_HVSOCKET_LOOPBACK_RINGS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "emu/guest_memory.h"
#include "emu/partition.h"
#include "emu/ring_pair.h"

namespace vmbus::emu {

class LoopbackRings {
 public:
  // Null when the memory is full. REQUIRES: the memory outlives the rings.
  static std::shared_ptr<LoopbackRings> in(GuestMemory& memory, std::size_t each_ring_bytes);
  LoopbackRings(GuestMemory& memory, const RingPair& pair);
  ~LoopbackRings();
  LoopbackRings(const LoopbackRings&) = delete;
  LoopbackRings& operator=(const LoopbackRings&) = delete;

  ChannelRings rings() const { return pair_.addresses(memory_); }
  GuestMemory& memory() const { return memory_; }
  // The dialer's; the acceptor's follows. None: the memory's lanes are all in use.
  std::optional<std::uint32_t> first_lane() const { return first_lane_; }

  std::array<std::uint64_t, 2>
      sockets{};  // cookies of the ends, the dialer's first; 0: that end is finished

 private:
  GuestMemory& memory_;
  std::optional<std::uint32_t> first_lane_;
  RingPair pair_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_LOOPBACK_RINGS_H_
