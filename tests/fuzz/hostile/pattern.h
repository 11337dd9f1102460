// Pattern: an endless stream of bytes that both ends can make from a number, and random choices.
#ifndef VMBUS_TESTS_FUZZ_HOSTILE_PATTERN_H_
#define VMBUS_TESTS_FUZZ_HOSTILE_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace vmbus::hostile {

// splitmix64: small, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t word() {
    std::uint64_t mixed = state_ += 0x9E37'79B9'7F4A'7C15;
    mixed = (mixed ^ mixed >> 30) * 0xBF58'476D'1CE4'E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D0'49BB'1331'11EB;
    return mixed ^ mixed >> 31;
  }
  std::uint32_t word32() { return static_cast<std::uint32_t>(word()); }
  // From 0 to `limit` - 1.
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(word() % limit); }
  bool one_in(std::uint32_t count) { return below(count) == 0; }
  // A length of 1 to `longest` bytes, small ones as likely as large ones.
  std::size_t length(std::size_t longest);

 private:
  std::uint64_t state_;
};

class Pattern {
 public:
  explicit Pattern(std::uint64_t seed) : words_(seed) {}

  void fill(std::span<std::byte> bytes);
  // False: the next bytes of the stream are others.
  bool matches(std::span<const std::byte> bytes);

 private:
  std::byte next();

  Random words_;
  std::uint64_t word_ = 0;
  unsigned left_ = 0;  // bytes of it
};

}  // namespace vmbus::hostile

#endif  // VMBUS_TESTS_FUZZ_HOSTILE_PATTERN_H_
