// GuestDriver: a guest kernel's socket driver (hv_sock): its ports, its connects, and the offers it
// accepts.
//
//   a guest program connects   dial() -> TL_CONNECT_REQUEST -> on_offer() -> guest_open() ->
//   on_open_result() the host connects          on_offer(for_guest_accept) -> a listener? ->
//   guest_open() -> on_open_result() the end                    finish() -> guest_close(), or the
//   host's RESCIND first
//
// Threads     The loop thread.
// Invariants  (1) A channel in channels_ is the driver's: the bus reports to it and it will
//             guest_close() it. (2) A channel without socket was abandoned and is closed as soon as
//             the bus allows.
#ifndef VMBUS_EMU_HVSOCKET_GUEST_DRIVER_H_
#define VMBUS_EMU_HVSOCKET_GUEST_DRIVER_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "emu/hvsocket/port_table.h"
#include "emu/hvsocket/socket.h"
#include "emu/partition.h"

namespace vmbus::emu {

class Guest;
class Sockets;

class GuestDriver final : public GuestChannelEvents {
 public:
  GuestDriver(Sockets& sockets, Guest& guest, std::uint32_t first_automatic_port)
      : sockets_(sockets), guest_(guest), ports_(first_automatic_port) {}

  PortTable& ports() { return ports_; }
  // PortTable::listener(), less those whose last close the loop has not come to yet.
  Socket* live_listener(proto::Cid cid, proto::Port port);

  // Starts a connect to the host. The socket has its local port; the outcome comes through Sockets.
  void dial(Socket& socket);
  // The attempt is over for the socket (time limit, signal, close); what is under way is let go.
  void abandon(Socket& socket);
  // The socket's stream ended: gives the channel back.
  void finish(Socket& socket);
  // The socket that dials under this endpoint's name, and has no offer yet. Null: none does.
  Socket* dialer(const proto::Guid& endpoint) const;
  // The cookie of the channel's socket; 0: it has none.
  std::uint64_t socket_of(proto::Relid relid) const;
  // A listener has room again (or is going away: `listener` null): answers a waiting host connect.
  void answer_waiting(const WaitingPeer& peer, Socket* listener);

  void on_contact(Partition& bus, bool connected) override;
  void on_offer(Partition& bus, const HvsockOffer& offer) override;
  void on_tl_connect_result(Partition& bus, const proto::Guid& endpoint, const proto::Guid& service,
                            std::int32_t status) override;
  void on_open_result(Partition& bus, proto::Relid relid, bool ok,
                      const ChannelRings& rings) override;
  void on_rescind(Partition& bus, proto::Relid relid) override;
  void on_guest_signal(Partition& bus, proto::Relid relid) override;
  void on_unloaded(Partition& bus) override;

 private:
  struct Channel {
    std::uint64_t socket = 0;  // cookie; 0: abandoned, or not accepted yet
    bool accepting = false;    // the host dialled
    proto::Port port{};        // accepting: the listener's
    proto::Port host_port{};   // accepting: what the peer's name shows
    QueuePlace place{};        // accepting: while the listener has no room
  };

  void send_request(Socket& socket);
  void accept_offer(const HvsockOffer& offer);
  void finish_dial(Channel& channel, proto::Relid relid, bool ok, const ChannelRings& rings);
  void finish_accept(Channel& channel, proto::Relid relid, bool ok, const ChannelRings& rings);
  void open(proto::Relid relid, const Socket& sized_by, bool accepting);
  void let_go(proto::Relid relid);

  Sockets& sockets_;
  Guest& guest_;
  PortTable ports_;
  std::uint32_t next_old_peer_port_ = 0x80000000;  // what Linux before 5.5 calls its peers
  std::unordered_map<std::uint32_t, std::uint64_t> connecting_;  // local port -> socket
  std::unordered_map<proto::Relid, Channel> channels_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_GUEST_DRIVER_H_
