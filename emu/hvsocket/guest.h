// Guest: one guest as the daemon runs it: its bus (Partition) and its socket driver.
// GuestList: all of them.
//
// A guest called "guest" always exists. One that was removed stays in the list, unfindable, until
// its last socket is gone, and only then gives its CID back.
#ifndef VMBUS_EMU_HVSOCKET_GUEST_H_
#define VMBUS_EMU_HVSOCKET_GUEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "emu/guest_spec.h"
#include "emu/hvsocket/guest_driver.h"
#include "emu/partition.h"

namespace vmbus::emu {

class HostService;
class Sockets;

inline constexpr std::string_view kDefaultGuestName = "guest";
inline constexpr std::uint32_t kFirstGuestCid = 3;

class Guest {
 public:
  Guest(Sockets& owner, std::uint32_t first_automatic_port)
      : driver_(owner, *this, first_automatic_port) {}

  Partition& bus() { return *bus_; }
  const Partition& bus() const { return *bus_; }
  GuestDriver& driver() { return driver_; }
  const PartitionConfig& config() const { return bus_->config(); }
  void set_bus(std::unique_ptr<Partition> bus) { bus_ = std::move(bus); }

  bool permanent = false;                 // added by hand: keeps the daemon running
  bool removed = false;                   // vm remove --force: no new sockets
  bool paused = false;                    // Sockets::pause_guest()
  std::uint32_t sockets = 0;              // that live in it
  std::vector<std::uint64_t> held_dials;  // cookies: connects that go on when it is resumed

 private:
  GuestDriver driver_;
  std::unique_ptr<Partition> bus_;
};

class GuestList {
 public:
  GuestList(Sockets& sockets, HostService& host, Counters& counters, MessageLog& log)
      : sockets_(sockets), host_(host), counters_(counters), log_(log) {}

  // Error: for people, cause and remedy.
  tl::expected<Guest*, std::string> add(const GuestSpec& spec);
  // Forgets removed guests without sockets. Call outside of any guest's callbacks.
  void collect();

  Guest* find(std::string_view name) const;
  Guest* find_cid(std::uint32_t cid) const;
  Guest* find_vm_id(const proto::Guid& vm_id) const;
  Guest* find_flavour(Flavour flavour) const;  // the first
  Guest& default_guest() const { return *guests_.front(); }
  Guest& of(const Partition& bus) const;
  const std::vector<std::unique_ptr<Guest>>& all() const { return guests_; }

 private:
  // The first that was not removed.
  template <typename Matches>
  Guest* find_if(Matches matches) const {
    for (const auto& guest : guests_) {
      if (!guest->removed && matches(*guest)) return guest.get();
    }
    return nullptr;
  }
  std::uint32_t lowest_free_cid() const;
  bool cid_taken(std::uint32_t cid) const;

  Sockets& sockets_;
  HostService& host_;
  Counters& counters_;
  MessageLog& log_;
  std::vector<std::unique_ptr<Guest>> guests_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_HVSOCKET_GUEST_H_
