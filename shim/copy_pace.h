// How a thread copies large pieces into rings that are read on another CPU: the way that has been faster lately.
//
// What is faster depends on where the machine's CPUs keep a line that both use, which nothing tells, and which
// changes while virtual machines are moved (docs/decisions/0009): so both ways are timed, now and then.
#ifndef VMBUS_SHIM_COPY_PACE_H_
#define VMBUS_SHIM_COPY_PACE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "emu/protocol/lane.h"
#include "ringbuf/copy_way.h"

namespace vmbus::shim {

// Chooses between the two ways: the one in use is timed for a few copies, then the other one is tried and timed, then
// the faster one is used for some megabytes.
class CopyPace {
 public:
  static constexpr std::size_t kLaps = 15;  // that are timed, each way
  static constexpr std::size_t kSettleBytes =
      256 * 1024;  // not timed: a ring left by the other way
  static constexpr std::size_t kGoBytes = 64 * 1024 * 1024;  // until both are timed again

  // The next copy's.
  ring::CopyWay way() const { return stage_ == Stage::kTrial ? other() : way_; }
  bool is_timed() const { return stage_ != Stage::kGo; }
  // Of a copy made so; nanoseconds, if it was timed.
  void note(std::size_t bytes, std::int64_t ns);

 private:
  enum class Stage : std::uint8_t { kOwn, kTrial, kGo };

  ring::CopyWay other() const {
    return way_ == ring::CopyWay::kCached ? ring::CopyWay::kPastCache : ring::CopyWay::kCached;
  }
  std::uint32_t median_pace();
  void end_stage();

  Stage stage_ = Stage::kOwn;
  ring::CopyWay way_ = ring::CopyWay::kCached;
  std::size_t bytes_ = 0;  // of this stage
  std::size_t laps_ = 0;
  std::uint32_t own_pace_ = 0;
  std::array<std::uint32_t, kLaps> paces_{};  // picoseconds a byte
};

// One copy into the ring that the end of lane `reader` reads.
class CopyLap {
 public:
  [[gnu::always_inline]] CopyLap(proto::Lane& reader, std::size_t bytes) {
    if (bytes >= kPacedBytes) [[unlikely]]
      begin(reader, bytes);
  }
  ring::CopyWay way() const { return way_; }
  // It was made, all of it.
  [[gnu::always_inline]] void end() const {
    if (bytes_ != 0) [[unlikely]]
      note();
  }

 private:
  // Shorter ones are in the reader's way anyhow: a line or two in front of it.
  static constexpr std::size_t kPacedBytes = 4096;

  void begin(proto::Lane& reader, std::size_t bytes);
  void note() const;

  ring::CopyWay way_ = ring::CopyWay::kCached;
  std::size_t bytes_ = 0;  // 0: the thread's pace has nothing to do with it
  std::int64_t begun_ns_ = 0;
};

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_COPY_PACE_H_
