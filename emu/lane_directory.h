// LaneDirectory: which socket each lane of a memory belongs to.
//
// A channel's two lanes follow from its relid: 2n for the guest's end, 2n + 1 for the host's. Ends of
// connections within the partition have no channel; their pairs come from the upper half.
#ifndef VMBUS_EMU_LANE_DIRECTORY_H_
#define VMBUS_EMU_LANE_DIRECTORY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "emu/protocol/ids.h"
#include "emu/protocol/lane.h"

namespace vmbus::emu {

class LaneDirectory {
 public:
  static constexpr std::uint32_t kFirstPairedLane = proto::kLanes / 2;

  // Above every relid there is none.
  static std::optional<std::uint32_t> lane_of_channel(proto::Relid relid, bool host_end) {
    const std::uint32_t lane = 2 * relid.value + (host_end ? 1 : 0);
    return lane < kFirstPairedLane ? std::optional(lane) : std::nullopt;
  }
  // Two lanes, the first of which is even; none when all are in use.
  std::optional<std::uint32_t> allocate_pair();
  void free_pair(std::uint32_t first_lane) { free_pairs_.push_back(first_lane); }

  void assign(std::uint32_t lane, std::uint64_t cookie);
  std::uint64_t socket_of(std::uint32_t lane) const {  // 0: nobody's
    return lane < cookies_.size() ? cookies_[lane] : 0;
  }

 private:
  std::vector<std::uint64_t> cookies_;  // grown to the highest lane that was assigned
  std::vector<std::uint32_t> free_pairs_;
  std::uint32_t unused_ = kFirstPairedLane;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_LANE_DIRECTORY_H_
