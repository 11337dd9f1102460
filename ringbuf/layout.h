// The wire of one ring: control page, packet descriptor, extensions, trailer, with every offset
// proved.
//
// Nothing here has behaviour. Indices and lengths in these structs come from shared memory and mean
// nothing until ring_reader.cc, ring_writer.cc or packet.cc has checked a private copy of them.
// Contract    docs/ring.md
#ifndef VMBUS_RINGBUF_LAYOUT_H_
#define VMBUS_RINGBUF_LAYOUT_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace vmbus::ring {

inline constexpr std::uint32_t kPageBytes = 4096;

// Everything in the data pages starts at a multiple of 8, so an aligned 8-byte word never wraps.
inline constexpr std::uint32_t kWordBytes = 8;

// One ring GPADL lists at most 8,190 pages for both rings of a channel. The largest data area is
// what remains beside this ring's control page and the smallest possible other ring (two pages).
inline constexpr std::uint32_t kMaxDataPages = 8190 - 3;

// First page of every ring. Little-endian; both ends map it, both write to it.
//
//   offset  size  field              written by  meaning
//        0     4  write_index        producer    where the next packet goes
//        4     4  read_index         consumer    where the oldest packet starts
//        8     4  interrupt_mask     consumer    nonzero: do not signal new data
//       12     4  pending_send_size  producer    bytes it waits for; 0: not waiting
//       16    48  (reserved)                     write 0, ignore on read
//       64     4  feature_bits       producer    bit 0: honours pending_send_size
//       68  4028  (reserved)                     write 0, ignore on read
//
// Indices are byte offsets into the data pages: multiples of 8, below their size.
// Equal indices mean empty, so 8 bytes always stay free.
struct ControlPage {
  std::uint32_t write_index;
  std::uint32_t read_index;
  std::uint32_t interrupt_mask;
  std::uint32_t pending_send_size;
  std::array<std::uint32_t, 12> reserved_16;
  std::uint32_t feature_bits;
  std::array<std::byte, 4028> reserved_68;
};
static_assert(offsetof(ControlPage, write_index) == 0 && offsetof(ControlPage, read_index) == 4);
static_assert(offsetof(ControlPage, interrupt_mask) == 8);
static_assert(offsetof(ControlPage, pending_send_size) == 12);
static_assert(offsetof(ControlPage, feature_bits) == 64 && sizeof(ControlPage) == kPageBytes);
static_assert(std::is_trivially_copyable_v<ControlPage> && std::is_standard_layout_v<ControlPage>);
static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

// feature_bits, bit 0: this ring's producer uses pending_send_size and wants to be told of space.
inline constexpr std::uint32_t kFeaturePendingSendSize = 1;

// The numbers Linux lists; a reader accepts the four that carry data today and refuses the rest.
enum class PacketType : std::uint16_t {
  kDataInBand = 6,
  kDataTransferPages = 7,
  kDataGpaDirect = 9,
  kCompletion = 0xB,
};

// Head of every packet.
//
//   offset  size  field           meaning
//        0     2  type            PacketType
//        2     2  data_offset8    packet start to payload, in 8-byte units; at least 2
//        4     2  length8         descriptor + extension + padded payload, in 8-byte units; no
//        trailer 6     2  flags           bit 0: completion requested; the rest 0 8     8
//        transaction_id  chosen by the requester, comes back in the completion
struct PacketDescriptor {
  std::uint16_t type;
  std::uint16_t data_offset8;
  std::uint16_t length8;
  std::uint16_t flags;
  std::uint64_t transaction_id;
};
static_assert(offsetof(PacketDescriptor, data_offset8) == 2);
static_assert(offsetof(PacketDescriptor, length8) == 4 && offsetof(PacketDescriptor, flags) == 6);
static_assert(offsetof(PacketDescriptor, transaction_id) == 8 && sizeof(PacketDescriptor) == 16);

inline constexpr std::uint32_t kDescriptorBytes = sizeof(PacketDescriptor);
inline constexpr std::uint16_t kFlagCompletionRequested = 1;

// length8 has 16 bits, whatever the ring's size.
inline constexpr std::uint32_t kMaxLength8 = 0xFFFF;

// Last 8 bytes of every packet, not counted by length8. Release readers ignore it; UEFI debug
// builds assert it, so it is always written.
struct Trailer {
  std::uint32_t reserved;     // 0
  std::uint32_t start_index;  // write index when this packet was begun: its own start
};
static_assert(offsetof(Trailer, start_index) == 4 && sizeof(Trailer) == kWordBytes);

inline constexpr std::uint32_t kTrailerBytes = sizeof(Trailer);

// Extension of kDataTransferPages, at offset 16: this header, then range_count TransferRange words.
struct TransferPagesHeader {
  std::uint16_t set_id;
  std::uint8_t sender_owns_set;  // Linux only; may hold garbage
  std::uint8_t reserved;         // may hold garbage
  std::uint32_t range_count;
};
static_assert(offsetof(TransferPagesHeader, range_count) == 4);
static_assert(sizeof(TransferPagesHeader) == kWordBytes);

struct TransferRange {
  std::uint32_t byte_count;
  std::uint32_t byte_offset;  // inside the memory of the set
};
static_assert(offsetof(TransferRange, byte_offset) == 4 && sizeof(TransferRange) == kWordBytes);

// Extension of kDataGpaDirect, at offset 16: this header, then per range one GpaRangeHeader and as
// many 8-byte page numbers as the range touches pages.
struct GpaDirectHeader {
  std::uint32_t reserved;     // may hold garbage
  std::uint32_t range_count;  // at least 1
};
static_assert(offsetof(GpaDirectHeader, range_count) == 4 && sizeof(GpaDirectHeader) == kWordBytes);

struct GpaRangeHeader {
  std::uint32_t byte_count;
  std::uint32_t byte_offset;  // in the first page, at most 0xFFF
};
static_assert(offsetof(GpaRangeHeader, byte_offset) == 4 && sizeof(GpaRangeHeader) == kWordBytes);

// First 8 bytes of the payload of each packet on a pipe; then `length` data bytes, then padding.
struct PipeHeader {
  std::uint32_t type;  // PipePacketType in pipe.h
  std::uint32_t length;
};
static_assert(offsetof(PipeHeader, length) == 4 && sizeof(PipeHeader) == kWordBytes);

inline constexpr std::uint32_t kPipeHeaderBytes = sizeof(PipeHeader);

}  // namespace vmbus::ring

#endif  // VMBUS_RINGBUF_LAYOUT_H_
