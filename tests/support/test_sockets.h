// TestSockets: a socket layer for tests of Partition, host service and guest driver in one. It says
// yes to everything unless told otherwise, and writes down what it was told.
#ifndef VMBUS_TESTS_SUPPORT_TEST_SOCKETS_H_
#define VMBUS_TESTS_SUPPORT_TEST_SOCKETS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "emu/partition.h"

namespace vmbus::emu {

inline proto::Guid port_guid(std::uint32_t port) {
  return {port, 0xFACB, 0x11E6, {0xBD, 0x58, 0x64, 0, 0x6A, 0x79, 0x86, 0xD3}};
}

class TestSockets final : public HostChannelEvents, public GuestChannelEvents {
 public:
  static constexpr std::size_t kGuestToHostBytes = 3 * proto::kPageBytes;
  static constexpr std::size_t kHostToGuestBytes = 5 * proto::kPageBytes;

  // ---- what it does
  bool listening = true;  // at the host
  bool accepting = true;  // in the guest; otherwise it refuses, or, if not `refusing`, ignores
  bool refusing = true;
  bool host_says_yes = true;     // to an open
  bool finish_closes = true;     // at once, and rescinds
  bool close_on_rescind = true;  // in the guest
  bool signal_at_open = false;   // from the host, before the guest knows that the channel is open
  bool run_in_callbacks = false;

  // ---- what it was told
  std::vector<std::string> events;
  std::vector<HvsockOffer> offers;
  std::map<proto::Relid, ChannelRings> host_rings;
  std::map<proto::Relid, ChannelRings> guest_rings;
  BusError last_error{};

  bool host_open(proto::Relid relid) const { return host_rings.contains(relid); }
  bool guest_open(proto::Relid relid) const { return guest_rings.contains(relid); }
  void forget() {
    events.clear();
    offers.clear();
  }

  // ---- host
  void on_tl_connect(Partition& guest, const proto::Guid& endpoint,
                     const proto::Guid& service) override {
    note(guest, "tl_connect " + std::to_string(service.data1));
    if (!listening || !guest.host_offer(service, endpoint, false)) {
      guest.host_refuse_connect(endpoint, service);
    }
  }
  void on_channel_open(Partition& guest, proto::Relid relid, const ChannelRings& rings) override {
    note(guest, "open " + std::to_string(relid.value));
    if (host_says_yes) host_rings[relid] = rings;
    check(guest.host_complete_open(relid, host_says_yes));
    if (signal_at_open) guest.host_signal(relid);
  }
  void on_channel_close(Partition& guest, proto::Relid relid) override {
    note(guest, "close " + std::to_string(relid.value));
    if (!finish_closes) return;
    host_rings.erase(relid);
    check(guest.host_complete_close(relid));
    check(guest.host_rescind(relid));
  }
  void on_channel_released(Partition& guest, proto::Relid relid) override {
    host_rings.erase(relid);
    note(guest, "released " + std::to_string(relid.value));
  }
  void on_host_signal(Partition& guest, proto::Relid relid) override {
    note(guest, "host_signal " + std::to_string(relid.value));
  }

  // ---- guest
  void on_contact(Partition& guest, bool connected) override {
    note(guest, connected ? "contact" : "no contact");
  }
  void on_offer(Partition& guest, const HvsockOffer& offer) override {
    offers.push_back(offer);
    note(guest, "offer " + std::to_string(offer.relid.value));
    if (accepting) {
      const auto opened = guest.guest_open(offer.relid, kGuestToHostBytes, kHostToGuestBytes);
      if (!opened) events.push_back("guest_open " + std::to_string(offer.relid.value) + " failed");
      check(opened);
    } else if (refusing) {
      check(guest.guest_refuse(offer.relid));
    }
  }
  void on_tl_connect_result(Partition& guest, const proto::Guid&, const proto::Guid& service,
                            std::int32_t) override {
    note(guest, "connect_result " + std::to_string(service.data1));
  }
  void on_open_result(Partition& guest, proto::Relid relid, bool ok,
                      const ChannelRings& rings) override {
    if (ok) guest_rings[relid] = rings;
    note(guest, "open_result " + std::to_string(relid.value) + (ok ? "" : " failed"));
  }
  void on_rescind(Partition& guest, proto::Relid relid) override {
    note(guest, "rescind " + std::to_string(relid.value));
    if (close_on_rescind) static_cast<void>(guest.guest_close(relid));
  }
  void on_guest_signal(Partition& guest, proto::Relid relid) override {
    note(guest, "guest_signal " + std::to_string(relid.value));
  }
  void on_unloaded(Partition& guest) override { note(guest, "unloaded"); }

 private:
  void note(Partition& guest, std::string event) {
    events.push_back(std::move(event));
    if (run_in_callbacks) guest.run();
  }
  void check(const BusResult<void>& result) {
    if (!result) last_error = result.error();
  }
};

}  // namespace vmbus::emu

#endif  // VMBUS_TESTS_SUPPORT_TEST_SOCKETS_H_
