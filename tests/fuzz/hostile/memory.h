// GuestView: a guest's memory as the attacker sees it: mapped whole, with the lanes and rings in it that
// the table of endpoints says are in use. All stores go through it, and none leaves the memory.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_MEMORY_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "emu/protocol/endpoint_table.h"
#include "emu/protocol/lane.h"
#include "ringbuf/layout.h"
#include "tests/fuzz/hostile/control.h"
#include "tests/fuzz/hostile/pattern.h"

namespace vmbus::hostile {

struct RingView {
  ring::ControlPage* control = nullptr;
  std::byte* data = nullptr;
  std::uint32_t data_bytes = 0;
};

// One end of a connection whose rings are in the memory.
struct Target {
  proto::Lane* lane = nullptr;
  std::uint32_t lane_index = 0;
  std::uint32_t generation = 0;
  std::uint64_t cookie = 0;
  RingView in;
  RingView out;

  bool is_of(int fd) const;
};

class GuestView {
 public:
  // By way of a connection of this program's: `carrier`. Empty: it has no memory (any more).
  static std::optional<GuestView> of(const Control& control, int carrier);

  // Whose rings are here, as of now.
  std::vector<Target> targets() const;
  std::uint64_t* bells() const { return reinterpret_cast<std::uint64_t*>(base_ + page_bytes_); }
  // Any word of the lanes, or of the pages that rings were seen in so far.
  std::uint64_t& any_word(Random& random) const;
  // A page of a ring becomes a hole in the file.
  void punch_hole(const RingView& ring, Random& random) const;

 private:
  GuestView(const Control& control, int fd, std::byte* base, std::size_t page_bytes)
      : table_(control.table()), fd_(fd), base_(base), page_bytes_(page_bytes) {}
  std::optional<RingView> ring_at(std::uint32_t control_page, std::uint32_t first_page,
                                  std::uint32_t pages) const;

  const proto::Endpoint* table_;
  int fd_;
  std::byte* base_;
  std::size_t page_bytes_;
  std::uint32_t id_ = 0;
};

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_MEMORY_H_
