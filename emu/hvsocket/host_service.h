// HostService: the host's socket service: which host listener gets a guest's connection (VmId
// rules), the host's own connects, and the life of each offer.
//
//   a guest connects        on_tl_connect() -> a listener? host_offer() : host_refuse_connect()
//                           on_channel_open() -> room? accept, host_complete_open(true)
//   a host program connects dial() -> host_offer(for_guest_accept) -> on_channel_open() -> connected
//   the end                 finish() -> host_rescind(); never waits for the guest's CLOSE_CHANNEL
//
// Names       (VmId, ServiceId). An AF_VSOCK socket of the host on port P stands at (wildcard,
//             service of P).
// Threads     The loop thread.
#ifndef VMBUS_EMU_HVSOCKET_HOST_SERVICE_H_
#define VMBUS_EMU_HVSOCKET_HOST_SERVICE_H_

#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "emu/event_loop.h"
#include "emu/hvsocket/service_registry.h"
#include "emu/hvsocket/socket.h"
#include "emu/partition.h"
#include "emu/protocol/address.h"

namespace vmbus::emu {

class Sockets;

// What the host calls an address: the VmId it listens for.
proto::Guid listening_vm_id(const proto::Address& local);

// What becomes of a connection whose guest is paused, migrated or reset; the harshest last.
enum class Fate : std::uint8_t {
  kStays,
  kEnds,   // the host withdraws its channel: end of file and EPIPE in the guest
  kReset,  // the guest's device is reset: ECONNRESET at both ends
};

class HostService final : public HostChannelEvents {
 public:
  explicit HostService(Sockets& sockets) : sockets_(sockets) {}

  // ---- names
  // The socket that keeps others from binding `address`; null: it is free. Listeners exclude each
  // other, and so do bound sockets on the shared VmIds.
  Socket* holder(const proto::Address& address) const;
  void hold(Socket& socket);
  void release(const Socket& socket);
  // A free automatic port for an AF_VSOCK socket of the host.
  proto::Port pick_port();
  // The listener for a connection from a guest, the most specific first: its own VmId, children,
  // wildcard. A WSL guest is served by the first alone.
  Socket* listener_for_guest(const PartitionConfig& guest, const proto::Guid& service);
  // The listener for a connection from the host itself: loopback, wildcard.
  Socket* listener_for_host(const proto::Guid& service);

  // ---- registered services
  ServiceRegistry& services() { return services_; }
  const ServiceRegistry& services() const { return services_; }
  // Keeps the registry this socket from being one end of a connection to that guest?
  bool bars(const Socket& end, const PartitionConfig& guest, const proto::Guid& service) const;
  // Must the service of a name that a host's socket binds be registered, and is not? Names that no
  // ordinary virtual machine is reached by need not: the host's own loopback, a WSL guest's VmId.
  bool bars_name(const Socket& socket, const proto::Address& name) const;

  // ---- connections
  void dial(Socket& socket, Partition& bus);
  void abandon(Socket& socket);
  void finish(Socket& socket);
  // A listener has room again (or is going away: `listener` null): answers a waiting guest connect.
  void answer_waiting(const WaitingPeer& peer, Socket* listener);
  // The cookie of the channel's socket; 0: it has none.
  std::uint64_t socket_of(Partition& bus, proto::Relid relid) const;
  // Every connection to this guest ends as a reset at the host's end (vm remove --force).
  void reset_all(Partition& bus);
  // The connections of this guest that `fate` does not let stay. Either end may be null: of those not
  // made yet, which end only with Attempts::kEnd.
  enum class Attempts : std::uint8_t { kWait, kEnd };
  using FateOf = Fate (*)(const Socket* host_end, const Socket* guest_end);
  void end_channels(Partition& bus, FateOf fate, Attempts attempts);

  void on_tl_connect(Partition& bus, const proto::Guid& endpoint,
                     const proto::Guid& service) override;
  void on_channel_open(Partition& bus, proto::Relid relid, const ChannelRings& rings) override;
  void on_channel_close(Partition& bus, proto::Relid relid) override;
  void on_channel_released(Partition& bus, proto::Relid relid) override;
  void on_host_signal(Partition& bus, proto::Relid relid) override;

 private:
  static constexpr std::uint32_t kFirstAutomaticPort = 0x40000000;
  using Key = std::pair<Partition*, std::uint32_t>;
  struct Channel {
    std::uint64_t socket = 0;  // cookie; 0: nobody's yet, or no longer
    bool dialled = false;      // a host program connects; otherwise the guest does
    bool rescinded = false;    // only RELID_RELEASED is missing
    proto::Guid service{};
    proto::Guid endpoint{};
    ChannelRings rings{};  // of an open that waits for room
    QueuePlace place{};    // meanwhile
    TimerId limit{};       // meanwhile
  };

  Socket* find(const proto::Guid& vm_id, const proto::Guid& service) const;
  bool is_wsl(const proto::Guid& vm_id) const;
  Socket* find_live(const proto::Guid& vm_id, const proto::Guid& service);
  bool make_offer(Socket& socket, Partition& bus);
  void not_answered(Socket& dialer);
  bool let_go_of_closed(Partition& bus, const proto::Guid& endpoint, const proto::Guid& service);
  void accept(Partition& bus, proto::Relid relid, Channel& channel, Socket& listener);
  void wait_for_room(Partition& bus, proto::Relid relid, Channel& channel, const Socket& listener);
  void stop_waiting(Channel& channel);
  void refuse_open(Partition& bus, proto::Relid relid, Channel& channel);
  void rescind(Partition& bus, proto::Relid relid, Channel& channel);
  std::vector<Key> channels_of(const Partition& bus) const;
  void end_channel(const Key& key, Fate fate);

  Sockets& sockets_;
  ServiceRegistry services_;
  std::unordered_multimap<proto::Guid, Socket*> names_;  // by service
  std::map<Key, Channel> channels_;
  std::uint32_t next_port_ = kFirstAutomaticPort;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_HOST_SERVICE_H_
