#include "ringbuf/copy_way.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/ring_fixture.h"

namespace vmbus::ring {
namespace {

// Every start and length about a line, and no byte beside it.
TEST(CopyWayTest, CopiesJustThat) {
  constexpr std::size_t kRoom = 64;
  for (const CopyWay way : {CopyWay::kCached, CopyWay::kPastCache}) {
    for (std::size_t start = 0; start < kRoom; start += 3) {
      for (std::size_t bytes = 0; bytes <= 4 * kRoom; bytes += bytes < 150 ? 1 : 31) {
        const testing::Bytes from = testing::pattern(bytes + 1);
        alignas(64) std::array<std::byte, 6 * kRoom> to{};
        copy(to.data() + start, from.data() + 1, bytes, way);
        for (std::size_t i = 0; i < to.size(); ++i) {
          const bool inside = i >= start && i < start + bytes;
          ASSERT_EQ(to.at(i), inside ? from.at(i - start + 1) : std::byte{0})
              << bytes << " at " << start << ", byte " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace vmbus::ring
