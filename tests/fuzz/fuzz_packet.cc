// Any operations on a ring with any damage to it in between: errors are fine, nothing else is.
//
// Input: byte 0 data pages, byte 1 first index; then records of 6 bytes: action, where, a 32-bit
// value. Actions below RingActions::kCount are operations; then come stores to the control page and
// to the data.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tests/support/ring_actions.h"
#include "tests/support/ring_fixture.h"

namespace {

using namespace vmbus::ring;
using vmbus::ring::testing::HeapRing;
using vmbus::ring::testing::RingActions;

constexpr std::size_t kHeadBytes = 2;
constexpr std::size_t kRecordBytes = 6;

void damage_control_page(const RingMemory& memory, std::uint8_t where, std::uint32_t value) {
  const std::array words{memory.write_index(), memory.read_index(), memory.interrupt_mask(),
                         memory.pending_send_size(), memory.feature_bits()};
  words[where % words.size()].store_relaxed(value);
}

// Near an index, where packets begin, or anywhere. The value becomes the lower half of the word.
void damage_data(const RingMemory& memory, std::uint8_t where, std::uint32_t value) {
  const std::uint32_t words = memory.data_bytes() / kWordBytes;
  const std::uint32_t base = (where & 0x80) != 0 ? memory.read_index().load_relaxed() / kWordBytes
                                                 : std::uint32_t{where} * 8;
  const std::uint32_t index = (base + (where & 7)) % words * kWordBytes;
  memory.store_word(index, (memory.load_word(index) & ~std::uint64_t{0xFFFFFFFF}) | value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kHeadBytes) return 0;
  HeapRing ring((1U + data[0] % 6) * kPageBytes);
  ring.start_at(data[1] * (ring.memory().data_bytes() / 256));
  RingActions actions(ring.memory());

  std::span<const std::uint8_t> rest(data + kHeadBytes, size - kHeadBytes);
  for (; rest.size() >= kRecordBytes; rest = rest.subspan(kRecordBytes)) {
    std::uint32_t value = 0;
    std::memcpy(&value, rest.data() + 2, sizeof(value));
    const std::uint32_t action = rest[0] % (RingActions::kCount + 2);
    if (action < RingActions::kCount) {
      actions.perform(action, value);
    } else if (action == RingActions::kCount) {
      damage_control_page(ring.memory(), rest[1], value);
    } else {
      damage_data(ring.memory(), rest[1], value);
    }
  }
  return 0;
}
