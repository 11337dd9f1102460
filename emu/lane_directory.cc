#include "emu/lane_directory.h"

namespace vmbus::emu {

std::optional<std::uint32_t> LaneDirectory::allocate_pair() {
  if (!free_pairs_.empty()) {
    const std::uint32_t first = free_pairs_.back();
    free_pairs_.pop_back();
    return first;
  }
  if (unused_ == proto::kLanes) return std::nullopt;
  const std::uint32_t first = unused_;
  unused_ += 2;
  return first;
}

void LaneDirectory::assign(std::uint32_t lane, std::uint64_t cookie) {
  if (lane >= cookies_.size()) cookies_.resize(lane + 1);
  cookies_[lane] = cookie;
}

}  // namespace vmbus::emu
