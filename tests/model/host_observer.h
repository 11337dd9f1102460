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

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "emu/control/effect.h"
#include "emu/control/host_half.h"
#include "emu/protocol/messages.h"

namespace vmbus::model {

class HostObserver {
 public:
  // Before the host gets a message: what it obliges the host to.
  void guest_posts(const emu::HostHalf& host, std::span<const std::byte> bytes) {
    teardown_in_hand_.reset();
    const auto decoded =
        proto::decode(bytes, proto::Direction::kGuestToHost, host.connection().negotiated());
    const auto* message = std::get_if<proto::Message>(&decoded);
    if (message == nullptr || host.connection().paused()) return;
    if (const auto* header = std::get_if<proto::WithTail<proto::GpadlHeader>>(message)) {
      ++created_due_[header->fixed.gpadl_id];
    } else if (const auto* teardown = std::get_if<proto::GpadlTeardown>(message)) {
      ++torndown_due_[teardown->gpadl_id];
      teardown_in_hand_ = teardown->gpadl_id;
    } else if (const auto* open = std::get_if<proto::OpenChannel>(message)) {
      guest_opens(host, *open);
    } else if (const auto* longer = std::get_if<proto::OpenChannel2>(message)) {
      guest_opens(host, longer->open);
    }
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

  void guest_opens(const emu::HostHalf& host, const proto::OpenChannel& open) {
    using State = emu::Channel::State;
    const emu::Channel* channel = host.channels().find(open.relid);
    if (channel == nullptr) return;
    if (channel->state() != State::kOffered && channel->state() != State::kClosing) return;
    channels_[open.relid].results_due = 1;
    channels_[open.relid].asked = open.ring_gpadl;
  }
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
  // A teardown that was refused has no answer.
  void look_at(const emu::Reject&) {
    if (teardown_in_hand_) --torndown_due_[*teardown_in_hand_];
    teardown_in_hand_.reset();
  }
  void look_at(const emu::Deliver& effect) {
    if (effect.foreign) return;
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
  void look_at_message(const proto::VersionResponse2&) { all_quiet(); }
  void look_at_message(const auto&) {}

  void all_quiet() {
    for (const auto& [relid, channel] : channels_) {
      must(!channel.connected && !channel.mapped && !channel.offered, "(2) unloaded while in use");
    }
    created_due_.clear();
    torndown_due_.clear();
  }

  std::map<proto::Relid, Seen> channels_;
  std::map<proto::GpadlId, int> created_due_;
  std::map<proto::GpadlId, int> torndown_due_;
  std::optional<proto::GpadlId> teardown_in_hand_;
};

}  // namespace vmbus::model

#endif  // VMBUS_TESTS_MODEL_HOST_OBSERVER_H_
