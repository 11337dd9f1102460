// Socket: what the daemon knows of one socket, from socket() to the last close of its carrier's end
// A.
//
// Data alone: Sockets owns and changes them, HostService and GuestDriver move them through connect
// and accept, Pump moves their bytes. Programs see a part of it through the endpoint table.
#ifndef VMBUS_EMU_HVSOCKET_SOCKET_H_
#define VMBUS_EMU_HVSOCKET_SOCKET_H_

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "emu/event_loop.h"
#include "emu/hvsocket/quirks.h"
#include "emu/hvsocket/stream.h"
#include "emu/owned_fd.h"
#include "emu/partition.h"
#include "emu/protocol/address.h"
#include "emu/protocol/endpoint_table.h"

namespace vmbus::emu {

class Guest;
struct Socket;

// Which partition a socket belongs to. `auto` sockets decide at bind, connect or listen
// (docs/architecture.md).
enum class Home : std::uint8_t { kUndecided, kHost, kGuest };

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
  std::uint32_t hv_options = 0;
};

// A connection that found its listener's queue full: it is answered when there is room, or given up
// by its maker.
struct WaitingPeer {
  enum class Kind : std::uint8_t { kFromGuest, kFromHost, kLoopback };
  Kind kind;
  Partition* guest = nullptr;  // kFromGuest, kFromHost
  proto::Relid relid{};        // kFromGuest, kFromHost
  std::uint64_t dialer = 0;    // kLoopback: the connecting socket's cookie
};

struct Listener {
  std::uint32_t backlog = 0;
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
  bool plugged = false;  // A shows no OUT; otherwise connect() has not answered yet
};

struct Socket {
  // Identity, fixed at birth.
  std::uint32_t entry = 0;
  std::uint64_t cookie = 0;
  ino_t inode = 0;
  OwnedFd b;
  WatchId watch{};
  std::uint32_t pid = 0;
  std::string program;
  proto::AddressKind kind = proto::AddressKind::kVsock;
  std::uint8_t type = 0;
  std::string partition;  // "auto", "host" or a guest's name
  Profile profile = kDefaultProfile;

  Home home = Home::kUndecided;
  Guest* guest = nullptr;  // home kGuest: its own; undecided and bound: where the port is held

  proto::EndpointState state = proto::EndpointState::kFresh;
  std::uint8_t ended = 0;  // proto::EndpointEnded
  std::uint8_t flags = 0;  // proto::EndpointFlags
  int so_error = 0;
  proto::Address local;
  proto::Address peer;
  SocketOptions options;

  std::unique_ptr<Listener> listener;  // kListening
  std::unique_ptr<Attempt> attempt;    // kConnecting
  std::unique_ptr<Stream> stream;      // kConnected, while the rings may be touched
  std::vector<std::byte> inbox;   // rest of a ring that went away: to be read before end of file
  std::vector<std::byte> outbox;  // taken or peeked from B ahead of what B still holds
  bool outbox_is_last = false;    // B's queue is left unread (SHUT_WR): the outbox is all there is

  // Pump. Edges seen and not yet used up.
  bool b_readable = true;
  bool b_writable = true;
  bool b_ended = false;  // end of file at B, or outbox_is_last and the outbox sent
  bool queued = false;   // in the run queue
  bool closed = false;   // A's last copy is gone
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;

  const Quirks& quirks() const { return *profile.quirks; }
  // What a connect says that nobody answers: Windows knows a refusal, AF_VSOCK a reset.
  int refusal() const { return kind == proto::AddressKind::kHyperV ? ECONNREFUSED : ECONNRESET; }
  bool has(std::uint8_t bits) const { return (ended & bits) != 0; }
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_SOCKET_H_
