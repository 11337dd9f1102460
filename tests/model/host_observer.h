// HostObserver: looks at the effects of a HostHalf, one after the other, and says what must not be.
//
//   (1) A relid is on offer once, and again only after its release.
//   (2) Nobody may signal a channel, and none of its pages is mapped, when RESCIND, GPADL_TORNDOWN
//       of its rings, UNLOAD_COMPLETE or VERSION_RESPONSE goes out.
//   (3) Signals are connected before the device opens, and that is before OPEN_CHANNEL_RESULT.
//   (4) Each OPEN_CHANNEL has one result, or the RESCIND instead; each GPADL_HEADER one GPADL_CREATED;
//       each GPADL_TEARDOWN one GPADL_TORNDOWN at most.
#ifndef VMBUS_TESTS_MODEL_HOST_OBSERVER_H_
#define VMBUS_TESTS_MODEL_HOST_OBSERVER_H_

#include <map>
#include <string>
#include <utility>
#include <variant>

#include "emu/control/effect.h"
#include "emu/protocol/messages.h"

namespace vmbus::model {

class HostObserver {
 public:
  // What the guest did, as far as it obliges the host.
  void guest_opens(proto::Relid relid, proto::GpadlId rings) {
    channels_[relid].results_due = 1;
    channels_[relid].asked = rings;
  }
  void guest_lends(proto::GpadlId id) { ++created_due_[id]; }
  void guest_tears_down(proto::GpadlId id) { ++torndown_due_[id]; }
  void guest_tear_down_refused(proto::GpadlId id) { --torndown_due_[id]; }
  void guest_starts_afresh() {
    created_due_.clear();
    torndown_due_.clear();
  }

  void see(const emu::HostEffect& effect) {
    std::visit([this](const auto& typed) { look_at(typed); }, effect);
  }

  std::string violation;

 private:
  struct Seen {
    bool offered = false;
    bool rescinded = false;
    bool connected = false;
    bool mapped = false;
    int results_due = 0;
    proto::GpadlId asked{};  // by the last open
    proto::GpadlId rings{};  // mapped
  };

  void must(bool condition, const char* rule) {
    if (!condition && violation.empty()) violation = rule;
  }
  void look_at(const emu::ConnectSignals& effect) {
    must(!channels_[effect.relid].connected, "(3) connected twice");
    channels_[effect.relid].connected = true;
  }
  void look_at(const emu::OpenDevice& effect) {
    Seen& channel = channels_[effect.relid];
    must(channel.connected && !channel.mapped, "(3) opened before it was connected");
    channel.mapped = true;
    channel.rings = channel.asked;
  }
  void look_at(const emu::CloseDevice& effect) {
    must(channels_[effect.relid].mapped, "(3) closed without an open");
  }
  void look_at(const emu::DisconnectSignals& effect) {
    must(channels_[effect.relid].connected, "(3) disconnected without a connect");
    channels_[effect.relid].connected = false;
  }
  void look_at(const emu::UnmapRings& effect) { channels_[effect.relid].mapped = false; }
  void look_at(const emu::ReleaseDevice& effect) {
    channels_[effect.relid].offered = false;
    channels_[effect.relid].results_due = 0;
  }
  void look_at(const emu::RetargetSignals& effect) {
    must(channels_[effect.relid].connected, "(3) moved without a connect");
  }
  void look_at(const emu::AskListener&) {}
  void look_at(const emu::UseInterruptPage&) {}
  void look_at(const emu::Reject&) {}
  void look_at(const emu::Deliver& effect) {
    const auto decoded =
        proto::decode(effect.message.bytes(), proto::Direction::kHostToGuest,
                      proto::Negotiated{proto::ProtocolVersion::kV6_0, proto::kAllFeatures});
    std::visit([this](const auto& typed) { look_at_message(typed); },
               std::get<proto::Message>(decoded));
  }

  void look_at_message(const proto::OfferChannel& message) {
    Seen& channel = channels_[message.relid];
    must(!channel.offered, "(1) offered while on offer");
    channel = Seen{};
    channel.offered = true;
  }
  void look_at_message(const proto::RescindChannelOffer& message) {
    Seen& channel = channels_[message.relid];
    must(channel.offered && !channel.rescinded, "(1) rescinded without an offer");
    must(!channel.connected && !channel.mapped, "(2) rescinded while the rings are mapped");
    channel.rescinded = true;
    channel.results_due = 0;
  }
  void look_at_message(const proto::OpenChannelResult& message) {
    Seen& channel = channels_[message.relid];
    must(channel.offered && !channel.rescinded, "(4) result for a channel that is not on offer");
    must(channel.results_due-- == 1, "(4) result without an open");
    const bool ready = channel.connected && channel.mapped;
    must(ready == message.status.ok(), "(3) result that does not fit the device");
  }
  void look_at_message(const proto::GpadlCreated& message) {
    must(created_due_[message.gpadl_id]-- > 0, "(4) GPADL_CREATED without a header");
  }
  void look_at_message(const proto::GpadlTorndown& message) {
    must(torndown_due_[message.gpadl_id]-- > 0, "(4) GPADL_TORNDOWN without a teardown");
    for (const auto& [relid, channel] : channels_) {
      must(!channel.mapped || channel.rings != message.gpadl_id, "(2) torn down while mapped");
    }
  }
  void look_at_message(const proto::UnloadComplete&) { all_quiet(); }
  void look_at_message(const proto::VersionResponse&) { all_quiet(); }
  void look_at_message(const auto&) {}

  void all_quiet() {
    for (const auto& [relid, channel] : channels_) {
      must(!channel.connected && !channel.mapped && !channel.offered, "(2) unloaded while in use");
    }
  }

  std::map<proto::Relid, Seen> channels_;
  std::map<proto::GpadlId, int> created_due_;
  std::map<proto::GpadlId, int> torndown_due_;
};

}  // namespace vmbus::model

#endif  // VMBUS_TESTS_MODEL_HOST_OBSERVER_H_
