#include "shim/copy_pace.h"

#include <algorithm>

#include "shim/spin.h"

namespace vmbus::shim {
namespace {

constinit thread_local CopyPace t_pace;

}  // namespace

void CopyPace::note(std::size_t bytes, std::int64_t ns) {
  bytes_ += bytes;
  if (stage_ == Stage::kGo) {
    if (bytes_ >= kGoBytes) end_stage();
    return;
  }
  if (stage_ == Stage::kTrial && bytes_ <= kSettleBytes) return;
  const auto pace = std::max<std::int64_t>(ns, 0) * 1000 / static_cast<std::int64_t>(bytes);
  // A handler may have been here in between.
  if (laps_ < kLaps) {
    paces_[laps_++] = static_cast<std::uint32_t>(std::min<std::int64_t>(pace, UINT32_MAX));
  }
  if (laps_ >= kLaps) end_stage();
}

// Not the mean: a thread may have to wait for its CPU in the middle of a copy.
std::uint32_t CopyPace::median_pace() {
  auto* const middle = paces_.begin() + kLaps / 2;
  std::nth_element(paces_.begin(), middle, paces_.end());
  return *middle;
}

void CopyPace::end_stage() {
  switch (stage_) {
    case Stage::kGo:
      stage_ = Stage::kOwn;
      break;
    case Stage::kOwn:
      own_pace_ = median_pace();
      stage_ = Stage::kTrial;
      break;
    case Stage::kTrial:
      // By an eighth, or it is not worth leaving what the caches are used to.
      if (std::uint64_t{median_pace()} * 9 / 8 < own_pace_) way_ = other();
      stage_ = Stage::kGo;
      break;
  }
  bytes_ = 0;
  laps_ = 0;
}

void CopyLap::begin(proto::Lane& reader, std::size_t bytes) {
  const CopyPace& pace = t_pace;
  const bool is_own_cache = pace.way() == ring::CopyWay::kCached && !pace.is_timed();
  if (!is_own_cache && last_seen(reader) != SeenOn::kAnotherCpu) return;
  bytes_ = bytes;
  way_ = pace.way();
  if (pace.is_timed()) begun_ns_ = monotonic_ns();
}

void CopyLap::note() const { t_pace.note(bytes_, begun_ns_ != 0 ? monotonic_ns() - begun_ns_ : 0); }

}  // namespace vmbus::shim
