// LiveRing: a ring that others write and read at this moment, judged as a stranger would: by the VMBus
// ring and pipe formats alone, written down here once more. Of ringbuf/ it has the door to shared memory.
//
//   read_index      write_index
//   | packet | packet |  not promised to anybody ...      (cyclic)
//
// Promise     What lies between the indices is whole packets, from before write_index says so until
//             read_index has passed them. So a packet counts only if read_index is still not behind its
//             start after it was copied.
// Laps        Indices come round. A look that took so long that a whole ring may have passed says
//             nothing (kOvertaken), and so does one whose packets were read under it.
// Never       Stores anything: the memory may be mapped read-only.
#ifndef VMBUS_TESTS_STRESS_LIVE_RING_H_
#define VMBUS_TESTS_STRESS_LIVE_RING_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vmbus::stress {

enum class Outcome : std::uint8_t {
  kFine,
  kOvertaken,  // nothing can be said of the rest
  kFault,      // the promise is broken: `what`
};

struct Look {
  Outcome outcome = Outcome::kFine;
  std::uint32_t packets = 0;  // judged, and right
  std::uint32_t payload_bytes = 0;
  bool has_end = false;  // the packet of length 0
  // Of a fault, for people: the rule, where, and what was copied there.
  std::string_view what{};
  std::uint32_t index = 0;
  std::uint32_t read_index = 0;
  std::uint32_t write_index = 0;
  std::array<std::uint64_t, 5> words{};
};

class LiveRing {
 public:
  // `largest_payload`: what its writer may put into one packet. REQUIRES: `data_bytes` is whole pages.
  LiveRing(const std::byte* control_page, const std::byte* data, std::uint32_t data_bytes,
           std::uint32_t largest_payload);

  // What stands between the indices now.
  Look look() const;
  // The packet that is announced next, as soon after that as can be; nothing, if none is for a while.
  Look look_at_next() const;

 private:
  class Walk;
  struct Frame;

  std::uint32_t load(std::uint32_t offset) const;
  std::uint64_t word(std::uint64_t index) const;
  Frame copy_frame(std::uint32_t start) const;
  std::string_view judge_controls() const;
  std::string_view judge(const Frame& frame, std::uint32_t readable) const;
  bool is_index(std::uint32_t value) const { return value < data_bytes_ && value % 8 == 0; }
  std::uint32_t distance(std::uint32_t from, std::uint32_t to) const {
    return to >= from ? to - from : data_bytes_ - from + to;
  }

  const std::byte* control_page_;
  const std::byte* data_;
  std::uint32_t data_bytes_;
  std::uint32_t largest_payload_;
  std::chrono::nanoseconds lap_;  // nobody writes and reads a whole ring in less
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_LIVE_RING_H_
