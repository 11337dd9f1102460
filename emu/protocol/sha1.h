// SHA-1 (RFC 3174), for name-based GUIDs alone.  Not for security: collisions can be made.
#ifndef VMBUS_EMU_PROTOCOL_SHA1_H_
#define VMBUS_EMU_PROTOCOL_SHA1_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vmbus::proto {

class Sha1 {
 public:
  using Digest = std::array<std::uint8_t, 20>;

  void update(std::span<const std::uint8_t> bytes);
  // Ends the computation: nothing may follow.
  Digest finish();

 private:
  static constexpr std::size_t kBlockBytes = 64;

  void compress();

  std::array<std::uint32_t, 5> state_{0x6745'2301, 0xEFCD'AB89, 0x98BA'DCFE, 0x1032'5476,
                                      0xC3D2'E1F0};
  std::array<std::uint8_t, kBlockBytes> block_{};
  std::uint64_t total_bytes_ = 0;
};

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_SHA1_H_
