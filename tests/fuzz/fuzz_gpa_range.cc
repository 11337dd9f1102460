// Any range buffer: validating, walking and splitting it must stay inside the buffer, agree with
// one another, and a GPADL cut into messages must come together again.
//
// Input: byte 0 range count, byte 1 downstream page, then 64-bit words.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "emu/protocol/gpa_range.h"

namespace {

using namespace vmbus::proto;
using Words = std::vector<std::uint64_t>;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_walk(std::span<const std::uint64_t> words, std::size_t range_count) {
  const bool valid = validate_ranges(words, range_count).ok();
  std::size_t walked = 0;
  std::uint64_t used_words = 0;
  for (std::span<const std::uint64_t> rest = words; walked < range_count; ++walked) {
    const auto range = take_range(rest);
    if (!range) break;
    used_words += 1 + range->pfns.size();
    require(used_words + rest.size() == words.size());
    const std::uint64_t end = std::uint64_t{range->byte_offset} + range->byte_count;
    require(range->byte_offset < kPageBytes && range->byte_count != 0);
    require(range->pfns.size() == (end + kPageBytes - 1) / kPageBytes);
  }
  require(valid == (walked == range_count));
}

void check_rings(std::span<const std::uint64_t> words, std::size_t range_count,
                 std::uint32_t downstream) {
  const auto rings = ring_pages(words, range_count, downstream);
  if (!rings) return;
  require(validate_ranges(words, range_count).ok() && range_count == 1);
  require(rings->guest_to_host.size() == downstream && rings->host_to_guest.size() >= 2);
  require(rings->guest_to_host.data() == words.data() + 1);
  require(rings->host_to_guest.data() == words.data() + 1 + downstream);
}

// What the host makes of one message: its words go to the front of `missing`.
std::size_t receive(const EncodedMessage& encoded, std::span<std::uint64_t> missing) {
  constexpr Negotiated kNegotiated{.version = ProtocolVersion::kV5_3};
  const DecodeResult decoded = decode(encoded.bytes(), Direction::kGuestToHost, kNegotiated);
  const auto* message = std::get_if<Message>(&decoded);
  require(message != nullptr);
  if (const auto* header = std::get_if<WithTail<GpadlHeader>>(message)) {
    return copy_words(header->tail, missing);
  }
  const auto* body = std::get_if<WithTail<GpadlBody>>(message);
  require(body != nullptr);
  return copy_words(body->tail, missing);
}

void check_messages(std::span<const std::uint64_t> words, std::uint16_t range_count) {
  Words arrived(words.size());
  std::span<std::uint64_t> missing = arrived;
  GpadlMessages messages(Relid{1}, GpadlId{2}, words, range_count);
  while (const std::optional<EncodedMessage> encoded = messages.next()) {
    missing = missing.subspan(receive(*encoded, missing));
  }
  require(missing.empty() && std::ranges::equal(arrived, words));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kChoiceBytes = 2;
  if (size < kChoiceBytes) return 0;
  const auto tail = std::as_bytes(std::span(data, size)).subspan(kChoiceBytes);
  Words words(std::min(tail.size() / sizeof(std::uint64_t), kMaxRangeBufferWords));
  copy_words(tail, words);

  check_walk(words, data[0]);
  check_rings(words, data[0], data[1]);
  check_messages(words, data[0]);
  return 0;
}
