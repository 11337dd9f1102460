// Stream: bytes that depend on a seed and on their place, so that a lost, doubled or moved one shows where
// it happened.
#ifndef VMBUS_TESTS_STRESS_STREAM_H_
#define VMBUS_TESTS_STRESS_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vmbus::stress {

class Stream {
 public:
  explicit Stream(std::uint64_t seed) : seed_(seed) {}

  // The bytes from `place` on.
  void fill(std::uint64_t place, std::span<std::byte> bytes) const;
  bool matches(std::uint64_t place, std::span<const std::byte> bytes);
  // What is wrong with bytes that do not match: where it begins, and where these bytes belong.
  std::string explain(std::uint64_t place, std::span<const std::byte> bytes) const;

 private:
  std::uint64_t word(std::uint64_t number) const;

  std::uint64_t seed_;
  std::vector<std::byte> expected_;
};

}  // namespace vmbus::stress

#endif  // VMBUS_TESTS_STRESS_STREAM_H_
