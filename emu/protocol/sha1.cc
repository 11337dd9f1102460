#include "emu/protocol/sha1.h"

#include <bit>

namespace vmbus::proto {

void Sha1::update(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) {
    block_[total_bytes_ % kBlockBytes] = byte;
    total_bytes_ += 1;
    if (total_bytes_ % kBlockBytes == 0) compress();
  }
}

Sha1::Digest Sha1::finish() {
  const std::uint64_t total_bits = total_bytes_ * 8;
  constexpr std::array<std::uint8_t, 1> kEndMark{0x80};
  constexpr std::array<std::uint8_t, 1> kZero{0};
  update(kEndMark);
  while (total_bytes_ % kBlockBytes != kBlockBytes - sizeof total_bits) update(kZero);

  std::array<std::uint8_t, sizeof total_bits> length;
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<std::uint8_t>(total_bits >> (56 - 8 * i));
  }
  update(length);

  Digest digest;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

void Sha1::compress() {
  std::array<std::uint32_t, 80> w;
  for (std::size_t t = 0; t < 16; ++t) {
    w[t] = std::uint32_t{block_[4 * t]} << 24 | std::uint32_t{block_[4 * t + 1]} << 16 |
           std::uint32_t{block_[4 * t + 2]} << 8 | std::uint32_t{block_[4 * t + 3]};
  }
  for (std::size_t t = 16; t < w.size(); ++t) {
    w[t] = std::rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  }

  auto [a, b, c, d, e] = state_;
  for (std::size_t t = 0; t < w.size(); ++t) {
    const std::uint32_t mix = t < 20   ? (b & c) | (~b & d)
                              : t < 40 ? b ^ c ^ d
                              : t < 60 ? (b & c) | (b & d) | (c & d)
                                       : b ^ c ^ d;
    constexpr std::array<std::uint32_t, 4> kRound{0x5A82'7999, 0x6ED9'EBA1, 0x8F1B'BCDC,
                                                  0xCA62'C1D6};
    const std::uint32_t next = std::rotl(a, 5) + mix + e + w[t] + kRound[t / 20];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  state_ = {state_[0] + a, state_[1] + b, state_[2] + c, state_[3] + d, state_[4] + e};
}

}  // namespace vmbus::proto
