// Partition: one guest. Its memory, its SynIC, and the two halves of its VMBus, host and guest,
// which exchange real message bytes through the SynIC's slots. This header is what the hvsocket
// layer sees of all that.
//
// Threads     The daemon's loop thread alone.
// Re-entry    Every call below only changes state and queues messages; nothing calls back before
//             run().
// Order       run() delivers until nothing is left: messages first in, first out per direction,
//             then event flags.
// Contract    docs/architecture.md, docs/protocol.md
#ifndef VMBUS_EMU_PARTITION_H_
#define VMBUS_EMU_PARTITION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "emu/bus_error.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/version.h"
#include "ringbuf/ring_memory.h"

namespace vmbus::emu {

class Counters;
class GuestMemory;
class MessageLog;
class Partition;

// A channel's rings, mapped.
struct ChannelRings {
  ring::RingPages guest_to_host;
  ring::RingPages host_to_guest;
};

// One hvsocket channel on offer. The wire knows no more than this (docs/protocol.md, "The offer").
struct HvsockOffer {
  proto::Relid relid;
  proto::Guid service;            // interface id
  proto::Guid endpoint;           // instance id
  bool for_guest_accept = false;  // true: the host dials, the guest accepts
};

// The host's socket service, as the host half of the bus calls it.
class HostChannelEvents {
 public:
  virtual ~HostChannelEvents() = default;
  // TL_CONNECT_REQUEST. Answer (now or later): host_offer() with the same endpoint, or
  // host_refuse_connect().
  virtual void on_tl_connect(Partition& guest, const proto::Guid& endpoint,
                             const proto::Guid& service) = 0;
  // OPEN_CHANNEL with valid rings (others the bus refuses itself). Answer with
  // host_complete_open().
  virtual void on_channel_open(Partition& guest, proto::Relid relid, const ChannelRings& rings) = 0;
  // CLOSE_CHANNEL: the guest writes no more. Finish reading, then host_complete_close(); until then
  // the rings stay mapped and GPADL_TORNDOWN waits.
  virtual void on_channel_close(Partition& guest, proto::Relid relid) = 0;
  // The relid is dead: RELID_RELEASED (for an offer never opened: the guest refuses), UNLOAD or a
  // new contact. The rings are unmapped when this returns; nothing may be called for the relid
  // again.
  virtual void on_channel_released(Partition& guest, proto::Relid relid) = 0;
  // The guest signalled the channel: data, or space, or both.
  virtual void on_host_signal(Partition& guest, proto::Relid relid) = 0;
};

// The guest's socket driver, as the guest half of the bus calls it.
class GuestChannelEvents {
 public:
  virtual ~GuestChannelEvents() = default;
  // Version agreed and ALL_OFFERS_DELIVERED seen; or the host refused every version (connected =
  // false).
  virtual void on_contact(Partition& guest, bool connected) = 0;
  // An hvsocket OFFER_CHANNEL. Answer: guest_open(), guest_refuse(), or nothing (strict).
  virtual void on_offer(Partition& guest, const HvsockOffer& offer) = 0;
  virtual void on_tl_connect_result(Partition& guest, const proto::Guid& endpoint,
                                    const proto::Guid& service, std::int32_t status) = 0;
  // OPEN_CHANNEL_RESULT, or a failure before it (GPADL refused, rescinded while opening): ok =
  // false.
  virtual void on_open_result(Partition& guest, proto::Relid relid, bool ok,
                              const ChannelRings& rings) = 0;
  // RESCIND of a channel that the driver was told of. The rings stay the guest's until
  // guest_close().
  virtual void on_rescind(Partition& guest, proto::Relid relid) = 0;
  virtual void on_guest_signal(Partition& guest, proto::Relid relid) = 0;
  // UNLOAD_COMPLETE.
  virtual void on_unloaded(Partition& guest) = 0;
};

// Which system a guest's programs expect. kWsl: Linux, on a host that lets only listeners on its own
// VM id serve it.
enum class Flavour { kLinux, kFreeBsd, kWsl };

struct PartitionConfig {
  std::string name;
  proto::Guid vm_id;
  std::uint32_t cid = 3;
  Flavour flavour = Flavour::kLinux;
  // The newest version the guest half asks for and the host half grants; tests lower it.
  proto::ProtocolVersion newest = proto::ProtocolVersion::kV5_3;
  std::uint64_t memory_bytes = std::uint64_t{2} << 30;
};

struct PartitionStatus {
  const char* connection = "";       // state of the guest half's connection, for people
  proto::ProtocolVersion version{};  // valid while connected
  bool connected = false;
  std::uint32_t channels = 0;  // relids in use
  std::uint64_t memory_in_use_bytes = 0;
};

class Partition {
 public:
  // Makes guest memory (sparse, sealed) and idle halves. Error: errno of memfd_create, ftruncate or
  // mmap.
  static tl::expected<std::unique_ptr<Partition>, int> create(PartitionConfig config,
                                                              HostChannelEvents& host,
                                                              GuestChannelEvents& guest,
                                                              Counters& counters, MessageLog& log);
  ~Partition();
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;

  const PartitionConfig& config() const;
  PartitionStatus status() const;
  GuestMemory& memory();

  // ---- host half
  // -------------------------------------------------------------------------------------------
  // OFFER_CHANNEL (flags 0x2011, user_defined as the sheet's 4.2).
  BusResult<proto::Relid> host_offer(const proto::Guid& service, const proto::Guid& endpoint,
                                     bool for_guest_accept);
  void host_refuse_connect(const proto::Guid& endpoint,
                           const proto::Guid& service);  // TL_CONNECT_RESULT, from 4.1
  BusResult<void> host_complete_open(proto::Relid relid, bool ok);
  BusResult<void> host_complete_close(proto::Relid relid);
  // RESCIND. REQUIRES: the caller touches the channel's rings no more.
  BusResult<void> host_rescind(proto::Relid relid);
  // HvSignalEvent towards the guest: sets the channel's event flag. Ignored for a channel that is
  // not open.
  void host_signal(proto::Relid relid);

  // ---- guest half
  // ------------------------------------------------------------------------------------------
  void
  guest_contact();  // INITIATE_CONTACT ... ALL_OFFERS_DELIVERED; no-op when connected or under way
  BusResult<void> guest_tl_connect(const proto::Guid& endpoint,
                                   const proto::Guid& service);  // TL_CONNECT_REQUEST
  // Allocates both rings (bytes include the control page; rounded up to a size class' pages),
  // GPADL, OPEN_CHANNEL.
  BusResult<void> guest_open(proto::Relid relid, std::size_t guest_to_host_bytes,
                             std::size_t host_to_guest_bytes);
  // Lets go: CLOSE_CHANNEL if open, then teardown and release as the sheet's 7.3 rule 6 orders;
  // after a RESCIND no teardown. The rings return to the pool when the protocol allows. The driver
  // hears no more of this relid.
  BusResult<void> guest_close(proto::Relid relid);
  BusResult<void> guest_refuse(
      proto::Relid relid);                // RELID_RELEASED for an offer that was not opened
  void guest_signal(proto::Relid relid);  // HvSignalEvent towards the host
  void guest_unload();                    // UNLOAD; on_unloaded() follows

  // ---- the loop
  // --------------------------------------------------------------------------------------------
  bool has_work() const;
  // Delivers queued messages and event flags to either half until nothing is left (callbacks may
  // add more).
  void run();
  // While the guest's processors stand still, its half handles nothing: messages wait in its SynIC's
  // slots and behind them, signals in its event flags. The host's half goes on.
  void stop_processors(bool stopped);

 private:
  struct Parts;
  explicit Partition(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_PARTITION_H_
