// Socket: what the daemon knows of one socket, from socket() to the last close of its carrier's end
// A.
//
// Data alone: Sockets owns and changes them, HostService and GuestDriver move them through connect
// and accept, Pump moves their bytes. Programs see a part of it through the endpoint table.
#ifndef VMBUS_EMU_HVSOCKET_SOCKET_H_
#define VMBUS_EMU_HVSOCKET_SOCKET_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "emu/event_loop.h"
#include "emu/hvsocket/lane_end.h"
#include "emu/hvsocket/stream.h"
#include "emu/owned_fd.h"
#include "emu/partition.h"
#include "emu/protocol/address.h"
#include "emu/protocol/endpoint_table.h"
#include "emu/protocol/profile.h"

namespace vmbus::emu {

class Guest;
struct Socket;

// Which partition a socket belongs to. `auto` sockets decide at bind, connect or listen
// (docs/architecture.md).
enum class Home : std::uint8_t { kUndecided, kHost, kGuest };

// Whose rules a socket follows: those of its process at socket(), or of its listener.
struct Profile {
  std::string text = "default";  // as `vmbus ps` shows it
  proto::QuirkValues quirks = proto::kDefaultQuirks;
};
// Many sockets', who mostly have the same. Never null.
using SharedProfile = std::shared_ptr<const Profile>;

inline constexpr std::uint32_t kStoredZeroCopy = 16;  // a bit of SocketOptions::stored

// The options a program can read back; defaults as a fresh AF_VSOCK socket of Linux 6.18.
struct SocketOptions {
  std::uint32_t send_buffer = 212992;
  std::uint32_t receive_buffer = 212992;
  std::uint32_t receive_low_water = 1;
  std::uint32_t priority = 0;
  std::uint32_t stored = 0;  // bits of Endpoint::stored_options
  std::uint64_t buffer_size = 262144;
  std::uint64_t buffer_min_size = 128;
  std::uint64_t buffer_max_size = 262144;
  std::uint64_t connect_timeout_us = 2'000'000;
  std::uint32_t hv_connect_timeout_ms = 2000;
  std::uint32_t hv_options = 0;  // HVSOCKET_ numbers as bits
};

// A connection that found its listener's queue full: it is answered when there is room, or given up
// by its maker. The ticket says which wait this is: a relid, or a socket that connects again, may
// stand for another connection by then.
struct WaitingPeer {
  enum class Kind : std::uint8_t { kFromGuest, kFromHost, kLoopback };
  Kind kind;
  std::uint64_t ticket = 0;
  Partition* guest = nullptr;  // kFromGuest, kFromHost
  proto::Relid relid{};        // kFromGuest, kFromHost
  std::uint64_t dialer = 0;    // kLoopback: the connecting socket's cookie
};

// A place in a listener's waiting queue, as the one who waits keeps it. Ticket 0: none.
struct QueuePlace {
  std::uint64_t listener = 0;  // cookie
  std::uint64_t ticket = 0;
};

struct Listener {
  std::uint32_t backlog = 0;
  std::size_t most_waiting =
      0;  // in the carrier's queue: not more, though some may have been taken
  std::deque<WaitingPeer> waiting;
  std::deque<OwnedFd> undelivered;  // accepted ends that the carrier's queue had no room for
};

// A connect under way.
struct Attempt {
  proto::Guid service;
  proto::Guid endpoint;        // instance id of the offer
  Partition* guest = nullptr;  // whose bus carries it
  proto::Relid relid{};        // once offered
  TimerId timer{};
  QueuePlace place{};    // loopback, while the listener has no room
  bool plugged = false;  // A shows no OUT; otherwise connect() has not answered yet
};

// A close that waits until nothing is unsent: the daemon's end of its line (control.proto, Linger).
struct LingeringClose {
  OwnedFd line;
  WatchId watch{};
};

struct Socket {
  // Identity, fixed at birth.
  std::uint32_t entry = 0;
  std::uint64_t cookie = 0;
  ino_t inode = 0;  // of A; 0: nobody has asked yet
  OwnedFd b;
  WatchId watch{};
  std::uint32_t pid = 0;
  std::string program;
  proto::AddressKind kind = proto::AddressKind::kVsock;
  std::uint8_t type = 0;
  std::string partition;  // "auto", "host" or a guest's name
  SharedProfile profile;
  std::uint32_t protocol = 0;  // as socket() was asked
  bool works_rings = false;    // its program does, with hooks: mode ring
  bool is_spare = false;       // nobody has asked for it yet (emu/spare_sockets.h)

  Home home = Home::kUndecided;
  Guest* guest = nullptr;  // home kGuest: its own; undecided and bound: where the port is held

  proto::EndpointState state = proto::EndpointState::kFresh;
  std::uint8_t ended = 0;  // proto::EndpointEnded
  std::uint8_t flags = 0;  // proto::EndpointFlags
  int so_error = 0;
  bool reset_pending = false;  // after-reset=pending: a blocking connect() collects it
  proto::Address local;
  proto::Address peer;
  SocketOptions options;
  std::uint64_t peer_buffer_size =
      proto::kDefaultBufferSize;  // the peer's SO_VM_SOCKETS_BUFFER_SIZE

  std::unique_ptr<Listener> listener;  // kListening
  std::uint64_t alive_in = 0;          // the last request (Sockets::Answering) that found it open
  std::unique_ptr<Attempt> attempt;    // kConnecting
  std::unique_ptr<Stream> stream;      // kConnected, while the rings may be touched
  std::unique_ptr<LaneEnd> lane;       // with a stream whose rings programs may work themselves
  int lane_closes = 0;                 // tries to close it that found a program at it
  bool closes_lane = false;            // another try is due
  std::vector<std::byte> inbox;   // taken from a ring ahead of B: parts of records, bytes below the
                                  // low-water mark, the rest of a ring that went away
  std::vector<std::byte> outbox;  // taken or peeked from B ahead of what B still holds
  bool outbox_is_last = false;    // B's queue is left unread (SHUT_WR): the outbox is all there is

  std::vector<LingeringClose> lingering;

  // Pump. Edges seen and not yet used up.
  bool b_readable = true;
  bool b_writable = true;
  bool b_ended = false;                 // end of file at B, or outbox_is_last and the outbox sent
  bool queued = false;                  // in the run queue
  bool closed = false;                  // A's last copy is gone
  int receives = 0;                     // under way, where bytes are held back
  std::uint32_t held_bytes = 0;         // of the inbox, while they wait for the low-water mark
  std::size_t credit_bytes = SIZE_MAX;  // what may be sent before the peer reads
  bool waits_for_credit = false;        // a timer brings another turn
  bool owes_credit = false;             // the peer waits for this socket's program to read
  bool reads_unseen = false;      // the program reads the carrier past our hooks (shown_packet.h)
  bool waits_for_reader = false;  // a timer looks whether it has read,
  std::chrono::milliseconds reader_turn{};  // after so long
  bool is_plugged = false;                  // A shows no OUT, because the ring has no room
  bool is_fed = false;                      // programs have copies of B, and the undertaker has one
  bool watches_room = true;                 // OUT edges of B are asked for
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_discarded = 0;  // since the peer is gone

  // The value of a row of the quirk table. A row for the other side of the bus counts as in profile
  // `default`; while the side is undecided, guests' rules hold.
  std::uint32_t quirk(proto::Quirk row) const {
    const proto::QuirkScope scope = proto::row_of(row).scope;
    const auto other = home == Home::kHost ? proto::QuirkScope::kGuest : proto::QuirkScope::kHost;
    return (scope == other ? proto::kDefaultQuirks : profile->quirks)[row];
  }
  bool obeys(proto::Setting setting) const { return quirk(setting.quirk) == setting.value; }
  // Is the socket's Linux older than this one?
  bool before(proto::Setting vintage) const { return profile->quirks.before(vintage); }
  bool reaches_itself() const { return obeys("loopback=on") && !before("vintage=5.6"); }
  // What a connect says that nobody answers. Inside one partition Windows knows a refusal, AF_VSOCK
  // a reset; across the bus the quirk table says it.
  int near_refusal() const {
    return kind == proto::AddressKind::kHyperV ? ECONNREFUSED : ECONNRESET;
  }
  int refusal() const {
    if (obeys("refusal=timeout")) return ETIMEDOUT;
    return obeys("refusal=refused") ? ECONNREFUSED : near_refusal();
  }
  // No more is sent than the ring has room for, and none is moved out of it unread.
  bool heeds_room() const { return works_rings && obeys("room=ring"); }
  bool has(std::uint8_t bits) const { return (ended & bits) != 0; }
  // Bytes below SO_RCVLOWAT stay in the inbox, so that A shows no IN.
  bool has_low_water() const {
    return options.receive_low_water > 1 && !carries_records() && obeys("low-water-poll=on");
  }
  bool carries_records() const { return type == SOCK_SEQPACKET; }
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SOCKET_H_
