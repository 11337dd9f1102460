#include "tests/stress/stream.h"

#include <algorithm>
#include <cstring>

namespace vmbus::stress {
namespace {

constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
constexpr std::uint64_t kNearby = 2u << 20;  // bytes around the place where others' are looked for
constexpr std::size_t kClueBytes = 24;

}  // namespace

// splitmix64 of a counter.
std::uint64_t Stream::word(std::uint64_t number) const {
  std::uint64_t mixed = seed_ + (number + 1) * 0x9E37'79B9'7F4A'7C15;
  mixed = (mixed ^ mixed >> 30) * 0xBF58'476D'1CE4'E5B9;
  mixed = (mixed ^ mixed >> 27) * 0x94D0'49BB'1331'11EB;
  return mixed ^ mixed >> 31;
}

void Stream::fill(std::uint64_t place, std::span<std::byte> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::uint64_t at = place + done;
    const std::uint64_t value = word(at / kWordBytes);
    const std::size_t skipped = at % kWordBytes;
    const std::size_t count = std::min(kWordBytes - skipped, bytes.size() - done);
    std::memcpy(bytes.data() + done, reinterpret_cast<const char*>(&value) + skipped, count);
    done += count;
  }
}

bool Stream::matches(std::uint64_t place, std::span<const std::byte> bytes) {
  if (expected_.size() < bytes.size()) expected_.resize(bytes.size());
  fill(place, std::span(expected_).first(bytes.size()));
  return bytes.empty() || std::memcmp(expected_.data(), bytes.data(), bytes.size()) == 0;
}

std::string Stream::explain(std::uint64_t place, std::span<const std::byte> bytes) const {
  std::vector<std::byte> right(bytes.size());
  fill(place, right);
  const auto wrong = std::ranges::mismatch(bytes, right).in1;
  const auto skipped = static_cast<std::size_t>(wrong - bytes.begin());
  const std::uint64_t at = place + skipped;
  const auto clue = bytes.subspan(skipped, std::min(kClueBytes, bytes.size() - skipped));
  const std::uint64_t from = at > kNearby ? at - kNearby : 0;
  std::vector<std::byte> around(2 * kNearby);
  fill(from, around);
  const auto found = std::ranges::search(around, clue);
  std::string text = "a wrong byte at " + std::to_string(at) + ", in a receive of " +
                     std::to_string(bytes.size()) + " bytes at " + std::to_string(place) + "; ";
  if (found.empty() || clue.size() < kWordBytes) return text + "what is there belongs nowhere near";
  const auto belongs = from + static_cast<std::uint64_t>(found.begin() - around.begin());
  return text + "what is there belongs to " + std::to_string(belongs);
}

}  // namespace vmbus::stress
