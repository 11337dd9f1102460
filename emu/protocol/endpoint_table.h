// EndpointTable: what every socket of a bus is, readable by every program on it.
//
// One sealed memfd a bus. The daemon alone writes (it mapped the file before F_SEAL_FUTURE_WRITE);
// programs map it read-only, get it with Welcome, and find entries by the tag of a carrier
// (carrier.h). The table outlives fork, exec and SCM_RIGHTS, so a program that received a
// descriptor can still answer getsockname() for it.
//
// Reading     Copy the entry with read_endpoint(): a sequence lock, so the copy is whole; then
//             compare `cookie` with the descriptor's SO_COOKIE where it matters. An entry whose
//             cookie is 0 is free.
// Changing    Only by a request (control.proto). The daemon writes the entry first and makes the
//             carrier ready second: whoever wakes sees the new state.
// Trust       Programs trust their daemon (same uid, checked); the daemon never reads its decisions
//             from here.
#ifndef VMBUS_EMU_PROTOCOL_ENDPOINT_TABLE_H_
#define VMBUS_EMU_PROTOCOL_ENDPOINT_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace vmbus::proto {

inline constexpr std::uint64_t kEndpointTableMagic = 0x3154455355424d56;  // "VMBUSET1"
inline constexpr std::uint32_t kEndpointTableVersion = 4;
inline constexpr std::uint32_t kEndpointCapacity = 65536;
inline constexpr std::size_t kMaxNameBytes = 36;  // SOCKADDR_HV, the longest
// SO_VM_SOCKETS_BUFFER_SIZE as Linux has it.
inline constexpr std::uint64_t kDefaultBufferSize = 262144;
// Seconds from which on a connect time-out is ERANGE: Linux' limit at 1000 Hz, LONG_MAX / HZ - 1,
// but not more than connect_timeout_us can say.
inline constexpr std::int64_t kMaxConnectTimeoutSeconds = 9'223'372'036'854;

enum class EndpointState : std::uint8_t {
  kFree = 0,
  kFresh,  // no name
  kBound,
  kListening,
  kConnecting,
  kConnected,
  kFailed,  // a connect attempt ended with so_error or was cancelled; may connect again
};

// What has ended, of Endpoint::ended. Bits are only ever added while connected.
enum EndpointEnded : std::uint8_t {
  kEndedLocalRead = 1,   // shutdown(SHUT_RD) here
  kEndedLocalWrite = 2,  // shutdown(SHUT_WR) here
  kEndedPeerWrite = 4,   // the peer sent FIN, or is gone: after the queued bytes, end of file
  kEndedPeerGone = 8,    // the peer closed, or the channel was withdrawn: send gives EPIPE
  kEndedReset =
      16,  // the connection was torn down under this end: ECONNRESET, once the queue is read
  kEndedPeerRead = 32,   // the peer shut its reading side, and its transport says so: EPIPE
  kEndedForgotten = 64,  // shut here after the peer was gone and all read: recv gives ENOTCONN
};

enum EndpointFlags : std::uint8_t {
  kFlagSendBufferLow = 1,  // A's SO_SNDBUF is not what it is to be: the shim sets it once connected
};

// Rows of the quirk table (profile.h) that the shim itself obeys, where they depart from `default`.
enum EndpointQuirks : std::uint32_t {
  kQuirkNoPeek = 1U << 0,           // MSG_PEEK: EOPNOTSUPP once data is there
  kQuirkNoPeekAtOnce = 1U << 1,     // ... before waiting
  kQuirkWaitallBuffer = 1U << 2,    // ENOMEM from buffer_size on instead of 16385
  kQuirkWaitallAny = 1U << 3,       // no ENOMEM
  kQuirkKeepsPeerName = 1U << 4,    // getpeername works after an own shutdown
  kQuirkKeepsLowWater = 1U << 5,    // SO_RCVLOWAT can be set on a connection
  kQuirkCountsOutq = 1U << 6,       // SIOCOUTQ works
  kQuirkEmptyIsInvalid = 1U << 7,   // send and recv of no bytes: EINVAL
  kQuirkNoSendAfterFin = 1U << 8,   // send after the peer's FIN: EPIPE
  kQuirkShutReadIsError = 1U << 9,  // recv after an own SHUT_RD: ESHUTDOWN
  kQuirkNoSigpipe = 1U << 10,       // vintage below 6.7
  kQuirkNoIoctls = 1U << 11,        // below 6.11: protocol ioctls give EOPNOTSUPP
  kQuirkNoInq = 1U << 12,           // below 6.17: no FIONREAD
  kQuirkKeepsPassCred = 1U << 13,   // below 6.16: SO_PASSCRED is stored
  kQuirkLowWaterPoll = 1U << 14,    // recv and poll wait for SO_RCVLOWAT bytes
  kQuirkZerocopy = 1U << 15,        // MSG_ZEROCOPY works
  kQuirkReadsStream = 1U << 16,     // a receive from the ring goes on behind its packet
  kQuirkPeerBuffer = 1U << 17,      // what is unread stays within the peer's buffer size
  kQuirkRoomOfRing = 1U << 18,     // what the ring has no room for is not sent, and not shown twice
  kQuirkCreditDrained = 1U << 19,  // a receive gives room back once the ring is empty
  kQuirkInqPacket = 1U << 20,      // FIONREAD: what is left of the current packet
  kQuirkFinLate = 1U << 21,        // poll: no RDHUP for a FIN that no recv has come to
  kQuirkLingers = 1U << 22,        // close waits for SO_LINGER while bytes are unsent
};

// One socket. 256 bytes.
//
//   offset  size  field              meaning
//        0     4  sequence           odd while the daemon writes
//        4     4  generation         counts the uses of this entry
//        8     8  cookie             SO_COOKIE of the carrier's end A; 0: free
//       16     2  family             as the program asked: 40, 34 or 43
//       18     1  type               SOCK_STREAM or SOCK_SEQPACKET
//       19     1  state              EndpointState
//       20     1  ended              EndpointEnded
//       21     1  flags              EndpointFlags
//       22     2  protocol           what SO_PROTOCOL reads
//       24     4  so_error           pending error; cleared by TakeError alone
//       28     4  quirks             EndpointQuirks
//       32     4  send_buffer        SO_SNDBUF as it reads (bytes)
//       36     4  receive_buffer     SO_RCVBUF as it reads (bytes)
//       40     4  receive_low_water  SO_RCVLOWAT
//       44     4  local_cid          what GET_LOCAL_CID would answer in this socket's partition
//       48     8  buffer_size        SO_VM_SOCKETS_BUFFER_SIZE
//       56     8  buffer_min_size
//       64     8  buffer_max_size
//       72     8  connect_timeout_us SO_VM_SOCKETS_CONNECT_TIMEOUT, microseconds
//       80     4  hv_connect_timeout_ms  HVSOCKET_CONNECT_TIMEOUT
//       84     4  hv_options         bit n: HVSOCKET option number 1 << n is set
//       88     2  local_bytes        valid bytes of local_name (the getsockname length)
//       90     2  peer_bytes         valid bytes of peer_name; 0: no peer
//       92     4  stored_options     bits: SO_REUSEADDR 1, SO_KEEPALIVE 2, SO_BROADCAST 4,
//                                    SO_OOBINLINE 8, SO_ZEROCOPY 16, SO_PASSCRED 32
//       96    36  local_name         a sockaddr of `family`
//      132    36  peer_name          a sockaddr of `family`
//      168     4  priority           SO_PRIORITY
//      172     4  held_bytes         arrived, and held back below the low-water mark
//      176     8  peer_buffer_size   the peer's SO_VM_SOCKETS_BUFFER_SIZE: its largest record
//      184     4  memory             which memory holds the rings, for a program that works them itself
//                                    (lane.h); 0: none may
//      188     4  lane               this end's
//      192     4  lane_generation    of its gates
//      196     4  in_first_page      of that memory: data pages of the ring that this end reads
//      200     4  in_pages
//      204     4  out_first_page     data pages of the ring that this end writes
//      208     4  out_pages
//      212     4  packet_bytes       payload of the largest packet that this end writes
//      216     4  in_control_page    of the ring that this end reads
//      220     4  out_control_page   of the ring that this end writes
//      224    32  (reserved)         0
struct Endpoint {
  std::uint32_t sequence;
  std::uint32_t generation;
  std::uint64_t cookie;
  std::uint16_t family;
  std::uint8_t type;
  EndpointState state;
  std::uint8_t ended;
  std::uint8_t flags;
  std::uint16_t protocol;
  std::int32_t so_error;
  std::uint32_t quirks;
  std::uint32_t send_buffer;
  std::uint32_t receive_buffer;
  std::uint32_t receive_low_water;
  std::uint32_t local_cid;
  std::uint64_t buffer_size;
  std::uint64_t buffer_min_size;
  std::uint64_t buffer_max_size;
  std::uint64_t connect_timeout_us;
  std::uint32_t hv_connect_timeout_ms;
  std::uint32_t hv_options;
  std::uint16_t local_bytes;
  std::uint16_t peer_bytes;
  std::uint32_t stored_options;
  std::array<std::uint8_t, kMaxNameBytes> local_name;
  std::array<std::uint8_t, kMaxNameBytes> peer_name;
  std::uint32_t priority;
  std::uint32_t held_bytes;
  std::uint64_t peer_buffer_size;
  std::uint32_t memory;
  std::uint32_t lane;
  std::uint32_t lane_generation;
  std::uint32_t in_first_page;
  std::uint32_t in_pages;
  std::uint32_t out_first_page;
  std::uint32_t out_pages;
  std::uint32_t packet_bytes;
  std::uint32_t in_control_page;
  std::uint32_t out_control_page;
  std::array<std::uint64_t, 4> reserved_224;
};
static_assert(sizeof(Endpoint) == 256);
static_assert(offsetof(Endpoint, buffer_size) == 48 && offsetof(Endpoint, local_name) == 96);
static_assert(offsetof(Endpoint, peer_name) == 132 && offsetof(Endpoint, priority) == 168);
static_assert(offsetof(Endpoint, peer_buffer_size) == 176 && offsetof(Endpoint, memory) == 184);
static_assert(offsetof(Endpoint, packet_bytes) == 212 &&
              offsetof(Endpoint, in_control_page) == 216);
static_assert(std::is_trivially_copyable_v<Endpoint> && std::is_standard_layout_v<Endpoint>);

// First page of the file; the entries follow at kEndpointTableHeaderBytes.
//
//   offset  size  field        meaning
//        0     8  magic        kEndpointTableMagic
//        8     4  version      kEndpointTableVersion
//       12     4  capacity     entries that follow
//       16     8  bus_id       random, new with every daemon
//       24     4  daemon_pid
//       28     4  default_cid  what an `auto` program's GET_LOCAL_CID answers
//       32     4  resets       guests' ends that a reset of their device has ended; poll() asks, since
//                              their carriers cannot show ERR
//       36     4  (reserved)   0
struct EndpointTableHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t capacity;
  std::uint64_t bus_id;
  std::uint32_t daemon_pid;
  std::uint32_t default_cid;
  std::uint32_t resets;
  std::uint32_t reserved_36;
};
static_assert(sizeof(EndpointTableHeader) == 40 && offsetof(EndpointTableHeader, resets) == 32);

inline constexpr std::size_t kEndpointTableHeaderBytes = 4096;
inline constexpr std::size_t kEndpointTableBytes =
    kEndpointTableHeaderBytes + sizeof(Endpoint) * std::size_t{kEndpointCapacity};

// Copies an entry, whole. Spins only while the daemon is inside its few stores, yields the CPU where it
// may be waiting for that, and gives up (false) after a tenth of a second: it died, or was stopped,
// inside them.
bool read_endpoint(const Endpoint& shared, Endpoint* copy);

// Was any end reset? One load. The daemon notes it before it writes the entry.
bool any_was_reset(const EndpointTableHeader& shared);
void note_reset(EndpointTableHeader& shared);

// The daemon's side: replaces every field but `sequence` by the image's.
void write_endpoint(Endpoint& shared, const Endpoint& image);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_ENDPOINT_TABLE_H_
