#include "tests/fuzz/hostile/pattern.h"

#include <algorithm>

namespace vmbus::hostile {

std::size_t Random::length(std::size_t longest) {
  const std::size_t scale = longest >> below(20);
  return 1 + word() % std::max<std::size_t>(scale, 1);
}

std::byte Pattern::next() {
  if (left_ == 0) {
    word_ = words_.word();
    left_ = sizeof word_;
  }
  const auto byte = static_cast<std::byte>(word_);
  word_ >>= 8;
  --left_;
  return byte;
}

void Pattern::fill(std::span<std::byte> bytes) {
  for (std::byte& byte : bytes) byte = next();
}

bool Pattern::matches(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [this](std::byte byte) { return byte == next(); });
}

}  // namespace vmbus::hostile
