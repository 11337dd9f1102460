#include "tests/fuzz/hostile/attacker.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <vector>

#include "ringbuf/pipe.h"
#include "ringbuf/shared_word.h"
#include "tests/fuzz/hostile/control.h"
#include "tests/fuzz/hostile/memory.h"
#include "tests/fuzz/hostile/pattern.h"
#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::hostile {
namespace {

using proto::Lane;
using ring::SharedCell;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

enum class Lie : std::uint8_t {
  kIndices,    // of a ring
  kWakeRules,  // mask, pending size, feature bits
  kPackets,    // heads where reader and writer are
  kGates,      // owners and generations
  kPositions,  // of the reader within a packet
  kFlags,      // carrier holds, watched, ended, sleepers, raw, ...
  kSends,      // what is on its way in the carrier
  kCounts,     // turns, bytes, CPUs
  kBells,      // and many requests to look at them
  kErrors,     // the ring is nonsense, says a program
  kToggle,     // one word, two values, as fast as it goes
  kHoles,      // pages of a ring that are no longer there
  kAnything,   // any word
  kCount,
};
constexpr auto kLies = static_cast<std::size_t>(Lie::kCount);

class Attack {
 public:
  Attack(const Control& control, GuestView view, std::uint64_t seed)
      : control_(control), view_(view), random_(seed) {}

  void run() {
    while (!is_told_to_end(milliseconds(random_.below(25)))) {
      const std::vector<Target> targets = view_.targets();
      if (targets.empty()) continue;
      campaign(targets[random_.below(static_cast<std::uint32_t>(targets.size()))]);
    }
    std::printf("attacker: %llu lies;", static_cast<unsigned long long>(stores_));
    for (const std::uint64_t count : campaigns_) {
      std::printf(" %llu", static_cast<unsigned long long>(count));
    }
    std::printf("\n");
  }

 private:
  void campaign(const Target& target) {
    const auto lie = static_cast<Lie>(random_.below(kLies));
    ++campaigns_[static_cast<std::size_t>(lie)];
    const auto end = Clock::now() + milliseconds(1 + random_.below(20));
    const bool is_gentle = random_.one_in(2);
    do {
      tell(lie, target, end);
      ++stores_;
      if (random_.one_in(64)) ring_a_bell(target);
    } while (Clock::now() < end && !is_gentle);
    ring_a_bell(target);
  }

  void tell(Lie lie, const Target& target, Clock::time_point end) {
    Lane& lane = *target.lane;
    const RingView& ring = random_.one_in(2) ? target.in : target.out;
    switch (lie) {
      case Lie::kIndices:
        return set(random_.one_in(2) ? ring.control->write_index : ring.control->read_index,
                   index_near(ring));
      case Lie::kWakeRules:
        return lie_about_waking(ring);
      case Lie::kPackets:
        return forge_packet(ring);
      case Lie::kGates:
        return set(random_.one_in(2) ? lane.in_gate : lane.out_gate, gate_word(target));
      case Lie::kPositions:
        return set(lane.position, std::uint64_t{odd_number()} << 32 | index_near(target.in));
      case Lie::kFlags:
        return set(flag_of(lane), random_.one_in(4) ? random_.word32() : random_.below(8));
      case Lie::kSends:
        return set(lane.carrier_sends, with_generation(target, odd_number()));
      case Lie::kCounts:
        return lie_about_counts(lane);
      case Lie::kBells:
        return flood();
      case Lie::kErrors:
        if (random_.one_in(200)) set(random_.one_in(2) ? lane.in_error : lane.out_error, 1u);
        return;
      case Lie::kToggle:
        return toggle(target, ring, end);
      case Lie::kHoles:
        if (random_.one_in(50)) view_.punch_hole(ring, random_);
        return;
      case Lie::kAnything:
        if (random_.one_in(20)) set(view_.any_word(random_), random_.word());
        return;
      case Lie::kCount:
        return;
    }
  }

  template <typename Word>
  static void set(Word& word, Word value) {
    SharedCell(word).store_relaxed(value);
  }

  // Small, large, or near a power of two.
  std::uint32_t odd_number() {
    switch (random_.below(4)) {
      case 0:
        return random_.below(64);
      case 1:
        return random_.word32();
      case 2:
        return ~random_.below(64);
      default:
        return (1u << random_.below(32)) + random_.below(3) - 1;
    }
  }

  // Mostly one that a ring may have.
  std::uint32_t index_near(const RingView& ring) {
    const std::uint32_t size = ring.data_bytes;
    const std::uint32_t word =
        SharedCell(random_.one_in(2) ? ring.control->write_index : ring.control->read_index)
            .load_relaxed();
    switch (random_.below(8)) {
      case 0:
        return odd_number();
      case 1:
        return size - 8;
      case 2:
        return random_.below(size / 8) * 8;
      default:
        return (word + random_.below(17) * 8 - 64) % size;
    }
  }

  void lie_about_waking(const RingView& ring) {
    set(ring.control->interrupt_mask, random_.below(2));
    set(ring.control->pending_send_size, random_.one_in(2) ? 0 : odd_number());
    set(ring.control->feature_bits, random_.below(2));
  }

  // A head with lengths that do not fit together, or nearly do.
  void forge_packet(const RingView& ring) {
    const std::uint32_t start = index_near(ring) % ring.data_bytes / 8 * 8;
    const std::uint32_t payload =
        random_.one_in(2) ? random_.below(ring::kMaxPipePayloadBytes + 2) : odd_number();
    const std::uint64_t length8 = random_.one_in(4) ? random_.below(0x10000) : payload / 8 + 3;
    set_word(ring, start, 6 | std::uint64_t{2} << 16 | (length8 & 0xFFFF) << 32);
    set_word(ring, start + 16,
             (random_.one_in(4) ? random_.below(4) : 1) | std::uint64_t{payload} << 32);
    if (random_.one_in(8)) set_word(ring, start, random_.word());
  }

  static void set_word(const RingView& ring, std::uint32_t index, std::uint64_t value) {
    ring::store_once(ring.data + index % ring.data_bytes, value);
  }

  std::uint64_t with_generation(const Target& target, std::uint32_t low) {
    const std::uint32_t generation =
        random_.one_in(4) ? target.generation + random_.below(3) - 1 : target.generation;
    return std::uint64_t{generation} << 32 | low;
  }

  std::uint64_t gate_word(const Target& target) {
    const std::array<std::uint32_t, 6> owners{proto::kGateFree,   proto::kGateDaemon,
                                              proto::kGateClosed, random_.below(64),
                                              random_.word32(),   proto::kGateFree};
    const std::uint32_t bits = random_.below(4) * proto::kGateWanted;
    return with_generation(target, owners[random_.below(owners.size())] | bits);
  }

  std::uint32_t& flag_of(Lane& lane) {
    const std::array<std::uint32_t*, 6> flags{&lane.in_flags,    &lane.sleepers,
                                              &lane.raw,         &lane.out_sleepers,
                                              &lane.room_wanted, &lane.in_flags};
    return *flags[random_.below(flags.size())];
  }

  void lie_about_counts(Lane& lane) {
    set(lane.in_turns, random_.word32());
    set(lane.bytes_in, random_.word());
    set(lane.bytes_out, random_.word());
    set(lane.cpu, random_.below(4));
  }

  // Signals for whoever is there and whoever is not.
  void flood() {
    const std::size_t words = proto::LaneArea::kBellBytes / sizeof(std::uint64_t);
    std::uint64_t* bells = view_.bells();
    for (std::size_t i = 0; i < words; ++i) {
      if (!random_.one_in(3)) set(bells[i], ~std::uint64_t{0});
    }
    rings_ += static_cast<std::uint64_t>(control_.ring(64));
  }

  // Against whoever swaps until it succeeds, or looks until it is quiet.
  void toggle(const Target& target, const RingView& ring, Clock::time_point end) {
    const auto between = [end](auto& word, auto one, auto other) {
      do {
        for (int i = 0; i < 500; ++i) {
          set(word, one);
          set(word, other);
        }
      } while (Clock::now() < end);
    };
    Lane& lane = *target.lane;
    const auto index = [this, &ring] { return index_near(ring); };
    switch (random_.below(6)) {
      case 0:
        return between(random_.one_in(2) ? lane.in_gate : lane.out_gate, gate_word(target),
                       gate_word(target));
      case 1:
        return between(lane.carrier_sends, with_generation(target, odd_number()),
                       with_generation(target, odd_number()));
      case 2:
        return between(ring.control->write_index, index(), index());
      case 3:
        return between(ring.control->read_index, index(), index());
      case 4:
        return change_length(ring, end);
      default:
        return between(flag_of(lane), random_.below(8), random_.below(8));
    }
  }

  // Of the packet that is read next, again and again: what was judged is not what is read.
  void change_length(const RingView& ring, Clock::time_point end) {
    do {
      const std::uint32_t start = SharedCell(ring.control->read_index).load_relaxed() / 8 * 8;
      if (start >= ring.data_bytes) return;
      std::byte* header = ring.data + (start + 16) % ring.data_bytes;
      const std::uint64_t seen = ring::load_once(header);
      const std::uint64_t shorter = (seen & 0xFFFF'FFFF) | std::uint64_t{1 + random_.below(64)}
                                                               << 32;
      for (int i = 0; i < 20; ++i) {
        ring::store_once(header, shorter);
        ring::store_once(header, seen);
      }
    } while (Clock::now() < end);
  }

  void ring_a_bell(const Target& target) {
    const std::uint32_t lane = random_.one_in(2) ? target.lane_index : target.lane_index ^ 1;
    const std::size_t kind = random_.one_in(2) ? 0 : proto::kLanes / 64;
    SharedCell(view_.bells()[kind + lane / 64]).fetch_or(std::uint64_t{1} << lane % 64);
    rings_ += static_cast<std::uint64_t>(control_.ring(1));
  }

  const Control& control_;
  GuestView view_;
  Random random_;
  std::uint64_t stores_ = 0;
  std::uint64_t rings_ = 0;
  std::array<std::uint64_t, kLies> campaigns_{};
};

std::optional<GuestView> get_at_memory(const Control& control, std::uint32_t cid,
                                       std::uint32_t port) {
  const int fd = dial(cid, port);
  if (fd < 0) return std::nullopt;
  const auto view = GuestView::of(control, fd);
  ::close(fd);
  return view;
}

}  // namespace

void attack(std::uint32_t cid, std::uint32_t port, std::uint64_t seed) {
  const Control control;
  std::optional<GuestView> view;
  // Another attacker may be at this one's connection.
  while (!view) view = get_at_memory(control, cid, port);
  Attack(control, *view, seed).run();
}

}  // namespace vmbus::hostile
