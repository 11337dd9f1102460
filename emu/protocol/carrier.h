// The carrier: the pair of AF_UNIX stream ends that stands in for one Hyper-V socket.
//
//     application ── A ═══════════ B ── vmbusd
//
// A is the program's descriptor: poll, select, epoll, dup, fork, exec and SCM_RIGHTS work on it
// because the kernel does them. The daemon keeps B and nothing else, from socket() to the last
// close of A, wherever A's copies are. A program that sends to A's owner may have a copy of B (a feed:
// docs/lanes.md), and so has the undertaker then (emu/undertaker.h).
//
// Who does what
//   birth       The daemon makes the pair, tags A (carrier_tag) and sends it with CreatedSocket;
//               accepted ends travel inside the listener's carrier (below).
//   data        PUMP: what the program writes to A the daemon reads from B, and the other way. A hooked
//               call may also work the rings itself (lane.h), around what the carrier holds.
//   readable    A byte or end of file from B: IN. shutdown(B, SHUT_WR): IN and RDHUP, when the
//               peer sent FIN or is gone.
//   not OUT     The daemon *plugs* A: SO_SNDBUF at its minimum, one record of kPlugBytes sent into
//               A. It can, because each request about a socket brings a copy of A. Plugged while
//               connecting, while listening, and after SHUT_WR (where the plug and whatever was
//               queued stay unread at B until the last close, the daemon having copied the data
//               out with MSG_PEEK). Taking the plug from B makes A writable again, with an edge.
//   SHUT_RD     shutdown(A, SHUT_RD), by the daemon.
//   EPIPE       The shim reads it in the entry. A writer that no hook sees is let write for another
//               carrier's worth of bytes after the peer has gone, then the daemon shuts B for
//               reading: the kernel gives EPIPE and SIGPIPE, and A shows HUP.
//   last close  HUP on B, and the kernel's socket diagnostics no longer know A (both directions
//               shut also gives HUP).
//   death       HUP on A while the entry says neither "both shut" nor "peer gone": the daemon is
//               gone; calls give ECONNRESET.
//
// connect       The daemon answers a Connect request at once. Error 0: connected (an OUT edge was
//               raised on A). EINPROGRESS: A is plugged. The attempt ends by writing state and
//               so_error to the endpoint table, then unplugging. The entry's kFlagSendBufferLow
//               tells the shim to raise A's SO_SNDBUF to kSendBufferBytes.
// accept        Each waiting connection is one byte (kAcceptByte) in the listener's carrier, from
//               B to A, with the accepted socket's own end A attached by SCM_RIGHTS (blocking,
//               close-on-exec as MSG_CMSG_CLOEXEC asks). The kernel gives fairness among
//               processes, EINTR, SO_RCVTIMEO, and the fate of a queue at close.
#ifndef VMBUS_EMU_PROTOCOL_CARRIER_H_
#define VMBUS_EMU_PROTOCOL_CARRIER_H_

#include <cstddef>
#include <cstdint>

namespace vmbus::proto {

inline constexpr std::uint32_t kControlProtocol = 6;
inline constexpr std::size_t kMaxControlBytes = 16384;

// One record this large, with SO_SNDBUF at the kernel's minimum (4608), takes OUT away; 193 bytes
// is the least.
inline constexpr std::size_t kPlugBytes = 256;
inline constexpr int kMinimumSendBuffer = 0;         // the kernel raises it to its own minimum
inline constexpr int kSendBufferBytes = 212992 / 2;  // setsockopt doubles it
// Of a carrier of records (SOCK_SEQPACKET), which passes each as a whole or not at all: the most that
// Linux' defaults let a program set, and the largest record that fits.
inline constexpr int kRecordSendBufferBytes = 212992;
inline constexpr std::size_t kMaxRecordBytes = 2 * kRecordSendBufferBytes - 32;
inline constexpr unsigned char kAcceptByte = 'A';

// SetOption with this level is none of the program's: it begins and ends a receive on a socket whose
// bytes are held back below SO_RCVLOWAT (so that A shows no IN); or the ring is full, and A is to show
// no OUT until it has room.
inline constexpr int kCarrierLevel = -1;
inline constexpr int kReceiveEnds = 0;
inline constexpr int kReceiveBegins = 1;
inline constexpr int kRoomWanted = 2;

// A's SO_MAX_PACING_RATE (64 bits, settable on AF_UNIX, meaningless there): magic in the high half,
// entry below. A hint that costs one system call; SO_COOKIE against the endpoint table is the
// proof.
inline constexpr std::uint64_t kCarrierTagMagic = 0x564d4255'00000000;  // "VMBU"
constexpr std::uint64_t carrier_tag(std::uint32_t entry) { return kCarrierTagMagic | entry; }
constexpr bool is_carrier_tag(std::uint64_t tag) {
  return (tag & 0xffffffff'00000000) == kCarrierTagMagic;
}
constexpr std::uint32_t carrier_entry(std::uint64_t tag) { return static_cast<std::uint32_t>(tag); }

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_CARRIER_H_
