#include "emu/protocol/lane.h"

#include "ringbuf/fault_point.h"

namespace vmbus::proto {

// SYNC(lane.gate): compare-and-swap from free, seq_cst, so it acquires; pairs with the store of free in
// give(). Whoever gets in sees all that the last one did to ring and lane.
GateTaken Gate::take(std::uint32_t generation, std::uint32_t owner) const {
  std::uint64_t seen = make(generation, kGateFree);
  if (word_.compare_exchange(seen, make(generation, owner))) return GateTaken::kYes;
  const bool same = seen >> 32 == generation;
  return same && (low(seen) & kGateOwner & kGateClosed) == 0 ? GateTaken::kBusy : GateTaken::kNever;
}

// SYNC(lane.gate): releases; pairs with take().
std::uint32_t Gate::give(std::uint32_t generation, std::uint32_t owner) const {
  std::uint64_t seen = make(generation, owner);
  while (seen >> 32 == generation && (low(seen) & kGateOwner) == owner) {
    if (word_.compare_exchange(seen, make(generation, kGateFree))) {
      return low(seen) & (kGateWanted | kGateAwaited);
    }
  }
  return 0;
}

bool Gate::want(std::uint32_t generation, std::uint32_t how) const {
  std::uint64_t seen = word_.load_seq_cst();
  while (seen >> 32 == generation && is_held(low(seen))) {
    if ((low(seen) & how) == how || word_.compare_exchange(seen, seen | how)) return true;
  }
  return false;
}

void CarrierSends::begin() const {
  change([](std::uint64_t word) { return (word + kNumberOne + kCountOne) | kDirty; });
}

void CarrierSends::end() const {
  change([](std::uint64_t word) { return word - kCountOne; });
}

void CarrierSends::keep(bool keeps) const {
  if (((word_.load_seq_cst() & kKept) != 0) == keeps) return;
  change([keeps](std::uint64_t word) { return keeps ? word | kKept : word & ~kKept; });
}

ring::ReadPosition load_position(Lane& lane) {
  const std::uint64_t word = ring::SharedCell(lane.position).load_relaxed();
  return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
}

void store_position(Lane& lane, ring::ReadPosition position) {
  const std::uint64_t word = std::uint64_t{position.taken_bytes} << 32 | position.index;
  ring::SharedCell(lane.position).store_seq_cst(word);
}

// SYNC(lane.bell): what the bell is about was stored before, seq_cst; the daemon takes the bit away
// before it looks, so a bit that was set already is one it has yet to look for.
bool LaneArea::ring(std::uint32_t lane, Bell bell) const {
  const std::uint64_t bit = std::uint64_t{1} << (lane % 64);
  const bool is_first = (ring::SharedCell(bells(bell)[lane / 64]).fetch_or(bit) & bit) == 0;
  VMBUS_FAULT(kBellSet);
  return is_first;
}

}  // namespace vmbus::proto
