#include "emu/partition.h"

#include <optional>
#include <utility>

#include "emu/guest_memory.h"
#include "emu/guest_side.h"
#include "emu/host_side.h"
#include "emu/message_crossing.h"
#include "emu/ring_pair.h"
#include "emu/synic.h"

namespace vmbus::emu {
namespace {

constexpr std::uint32_t kVpCount = 1;  // the guest half runs on one processor

// What the guest half calls itself, in the client id of INITIATE_CONTACT.
constexpr proto::Guid kGuestHalfClientId{
    0x76D5'4C02, 0x1B7A, 0x4E0F, {0x9A, 0x31, 0x5C, 0x0E, 0x42, 0xD7, 0x88, 0xB6}};

}  // namespace

struct Partition::Parts {
  Parts(PartitionConfig partition_config, std::unique_ptr<GuestMemory> guest_memory,
        Counters& counters, MessageLog& log)
      : config(std::move(partition_config)),
        memory(std::move(guest_memory)),
        synic(kVpCount),
        crossing(config.name, counters, log) {}

  PartitionConfig config;
  std::unique_ptr<GuestMemory> memory;
  Synic synic;
  MessageCrossing crossing;
  std::optional<HostSide> host;  // both set as soon as the partition has its address
  std::optional<GuestSide> guest;
  bool running = false;
  bool stopped = false;  // the guest's processors
};

tl::expected<std::unique_ptr<Partition>, int> Partition::create(PartitionConfig config,
                                                                HostChannelEvents& host,
                                                                GuestChannelEvents& guest,
                                                                Counters& counters,
                                                                MessageLog& log) {
  auto memory = GuestMemory::create(config.memory_bytes);
  if (!memory) return tl::unexpected(memory.error());
  auto parts = std::make_unique<Parts>(std::move(config), std::move(*memory), counters, log);
  std::unique_ptr<Partition> partition(new Partition(std::move(parts)));
  Parts& p = *partition->parts_;
  const HostConfig host_config{.newest = p.config.newest,
                               .pins_memory = false,
                               .vp_count = kVpCount,
                               .memory_pages = p.memory->page_count()};
  const GuestConfig guest_config{.newest = p.config.newest, .client_id = kGuestHalfClientId};
  p.host.emplace(host_config, *partition, p.synic, *p.memory, host, p.crossing);
  p.guest.emplace(guest_config, *partition, p.synic, *p.memory, guest, p.crossing);
  return partition;
}

Partition::Partition(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Partition::~Partition() = default;

const PartitionConfig& Partition::config() const { return parts_->config; }

GuestMemory& Partition::memory() { return *parts_->memory; }

PartitionStatus Partition::status() const {
  const GuestHalf& half = parts_->guest->half();
  PartitionStatus status;
  status.connection = GuestHalf::state_name(half.state());
  status.connected = half.state() == GuestHalf::State::kConnected;
  if (half.negotiated()) status.version = half.negotiated()->version;
  status.channels = static_cast<std::uint32_t>(parts_->host->half().channels().size());
  status.memory_in_use_bytes = parts_->memory->bytes_in_use();
  return status;
}

// ---- host half ----------------------------------------------------------------------------------

BusResult<proto::Relid> Partition::host_offer(const proto::Guid& service,
                                              const proto::Guid& endpoint, bool for_guest_accept) {
  return parts_->host->offer(service, endpoint, for_guest_accept);
}

void Partition::host_refuse_connect(const proto::Guid& endpoint, const proto::Guid& service) {
  parts_->host->refuse_connect(endpoint, service);
}

BusResult<void> Partition::host_complete_open(proto::Relid relid, bool ok) {
  return parts_->host->complete_open(relid, ok);
}

BusResult<void> Partition::host_complete_close(proto::Relid relid) {
  return parts_->host->complete_close(relid);
}

BusResult<void> Partition::host_rescind(proto::Relid relid) { return parts_->host->rescind(relid); }
void Partition::host_signal(proto::Relid relid) { parts_->host->signal(relid); }

// ---- guest half ---------------------------------------------------------------------------------

void Partition::guest_contact() { parts_->guest->contact(); }
void Partition::guest_unload() { parts_->guest->unload(); }

BusResult<void> Partition::guest_tl_connect(const proto::Guid& endpoint,
                                            const proto::Guid& service) {
  return parts_->guest->tl_connect(endpoint, service);
}

BusResult<void> Partition::guest_open(proto::Relid relid, std::size_t guest_to_host_bytes,
                                      std::size_t host_to_guest_bytes) {
  return parts_->guest->open(relid, guest_to_host_bytes, host_to_guest_bytes);
}

BusResult<void> Partition::guest_close(proto::Relid relid) { return parts_->guest->close(relid); }
BusResult<void> Partition::guest_refuse(proto::Relid relid) { return parts_->guest->refuse(relid); }
void Partition::guest_signal(proto::Relid relid) { parts_->guest->signal(relid); }

// ---- the loop -----------------------------------------------------------------------------------

bool Partition::has_work() const {
  return parts_->host->has_work() || (!parts_->stopped && parts_->guest->has_work());
}

void Partition::stop_processors(bool stopped) { parts_->stopped = stopped; }

void Partition::run() {
  Parts& p = *parts_;
  if (std::exchange(p.running, true)) return;  // called from a callback: the outer run() goes on
  while (has_work()) {
    bool worked = true;
    while (worked) {
      const bool host_worked = p.host->handle_messages();
      worked = (!p.stopped && p.guest->handle_messages()) || host_worked;
    }
    // Behind the messages: a signal never overtakes the OPEN_CHANNEL_RESULT of its channel.
    p.host->handle_signals();
    if (!p.stopped) p.guest->handle_signals();
  }
  p.running = false;
}

}  // namespace vmbus::emu
