// Ranges of guest memory: what a GPADL is made of.
//
// A range buffer is a sequence of 64-bit words.  Each range is one head word and its page numbers:
//
//   word       field        meaning
//      0       byte_count   low 32 bits
//              byte_offset  high 32 bits; into the first page
//   1..pages   pfns         pages = ceil((byte_offset + byte_count) / 4096)
//
// The guest cuts the buffer into one GPADL_HEADER and as many GPADL_BODY messages as it takes; the
// host puts it together again, then validates it.
//
// Trust       A buffer that came from a guest may hold anything; take_range() checks every field.
// Never       Blocks, allocates, throws, or makes a system call.
// Contract    docs/protocol.md, "GPADLs"
#ifndef VMBUS_EMU_PROTOCOL_GPA_RANGE_H_
#define VMBUS_EMU_PROTOCOL_GPA_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "emu/protocol/ids.h"
#include "emu/protocol/message_codec.h"
#include "ringbuf/result.h"

namespace vmbus::proto {

// ---- Reading ------------------------------------------------------------------------------------

enum class GpaRangeError : std::uint8_t {
  kEmptyRange,      // the buffer ends where a range should start
  kEmptyByteCount,  // a range of no bytes
  kOffsetTooLarge,  // byte_offset is not inside a page
  kOverflow,        // byte_offset + byte_count does not fit in 32 bits
  kRangeTooSmall,   // the buffer ends before the last page number
};

// One range; `pfns` points into the buffer it was taken from.
struct GpaRange {
  std::uint32_t byte_count{};
  std::uint32_t byte_offset{};
  std::span<const std::uint64_t> pfns{};
};

// Takes the first range off the front of `words`, which on failure stays as it was.  To walk a
// buffer, call it once per range.
[[nodiscard]] Result<GpaRange, GpaRangeError> take_range(std::span<const std::uint64_t>& words);

// Are there `range_count` good ranges?  Words behind them are ignored; no ranges at all are good.
[[nodiscard]] Result<void, GpaRangeError> validate_ranges(std::span<const std::uint64_t> words,
                                                          std::size_t range_count);

// The two rings of a channel in one GPADL: page numbers, control page first.
struct RingPages {
  std::span<const std::uint64_t> guest_to_host{};
  std::span<const std::uint64_t> host_to_guest{};
};

enum class RingShapeError : std::uint8_t {
  kBadRange,           // take_range() refuses it
  kNotOneRange,        // rings come in exactly one
  kNotPageAligned,     // it starts or ends inside a page
  kDownstreamOutside,  // the second ring starts at the first page, or behind the last one
  kRingTooSmall,       // a ring of a control page without data
};

// REQUIRES: `words` is the whole range buffer.
[[nodiscard]] Result<RingPages, RingShapeError> ring_pages(std::span<const std::uint64_t> words,
                                                           std::size_t range_count,
                                                           std::uint32_t downstream_page_offset);

// ---- Writing ------------------------------------------------------------------------------------

// A GPADL_HEADER counts its buffer in 16 bits, which caps it at 8191 words.
inline constexpr std::size_t kMaxRangeBufferWords = 0xFFFF / sizeof(std::uint64_t);
inline constexpr std::size_t kMaxRangePages = kMaxRangeBufferWords - 1;

inline constexpr std::size_t kWordsPerGpadlHeader =
    (kMaxMessageBytes - sizeof(GpadlHeader)) / sizeof(std::uint64_t);
inline constexpr std::size_t kWordsPerGpadlBody =
    (kMaxMessageBytes - sizeof(GpadlBody)) / sizeof(std::uint64_t);
static_assert(kWordsPerGpadlHeader == 27 && kWordsPerGpadlBody == 28);

// Writes one range of whole pages to `out`; returns the words it took.
// REQUIRES: 1 <= pfns.size() <= kMaxRangePages, out.size() > pfns.size().
std::span<const std::uint64_t> build_page_range(std::span<const Pfn> pfns,
                                                std::span<std::uint64_t> out);

// Cuts a range buffer into messages: one GPADL_HEADER, then full GPADL_BODYs and the rest.
class GpadlMessages {
 public:
  // `words` must outlive the object.
  // REQUIRES: words.size() <= kMaxRangeBufferWords.
  GpadlMessages(Relid relid, GpadlId gpadl_id, std::span<const std::uint64_t> words,
                std::uint16_t range_count);

  // The next message; nullopt behind the last one.
  std::optional<EncodedMessage> next();

 private:
  GpadlHeader header_;
  std::span<const std::uint64_t> rest_;
  bool header_sent_ = false;
};

// Puts a message's data in place: fills `missing` from the front with the whole words of `tail`.
// Returns how many; what is left of `tail` is surplus and ignored.
std::size_t copy_words(std::span<const std::byte> tail, std::span<std::uint64_t> missing);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_GPA_RANGE_H_
