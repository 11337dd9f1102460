// HostConnection: the host's side of one connection: contact, version and features, pause. Pure.
//
//               INITIATE_CONTACT   UNLOAD        PAUSE        RESUME       other messages
// Disconnected  Connected|refused  InvalidType   InvalidType  InvalidType  InvalidType
// Connected     starts afresh      Disconnected  Paused       ignored      HostHalf
// Paused        starts afresh      Disconnected  kPaused      Connected    kPaused
//
// Other hosts have states between these, because their devices take time to set up and to close.
// Here a device forgets its channel at once, so the answer goes out within the message.
//
// While paused, what the host sends is kept; it goes out, in order, before what ends the pause.
#ifndef VMBUS_EMU_CONTROL_HOST_CONNECTION_H_
#define VMBUS_EMU_CONTROL_HOST_CONNECTION_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "emu/control/effect.h"
#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/messages.h"
#include "emu/protocol/version.h"

namespace vmbus::emu {

// What the host is able to grant.
struct HostConfig {
  // Signals where the guest wants them, client ids, pause: these are implemented. Page pinning is
  // granted where the owner of the memory promises it. Monitor pages and encrypted memory are not
  // there, so their features are not granted.
  static constexpr proto::FeatureFlags kImplementedFeatures =
      proto::FeatureFlags{proto::Feature::kGuestSpecifiedSignalParameters} |
      proto::Feature::kChannelInterruptRedirection | proto::Feature::kClientId |
      proto::Feature::kPauseResume;

  proto::ProtocolVersion newest = proto::ProtocolVersion::kV6_0;
  bool pins_memory = false;
  std::uint32_t vp_count = 1;
  std::uint64_t memory_pages = 0;
};

class HostConnection {
 public:
  explicit HostConnection(const HostConfig& config) : config_(config) {}

  // INITIATE_CONTACT for somebody else: another SINT, or another trust level. Only a message that
  // came through the multiclient connection says whom it is for.
  bool is_for_others(proto::ConnectionId via, const proto::InitiateContact& contact) const;
  // The same as an answer, to the SINT that was meant; nobody else lives at another trust level.
  void refuse_for_others(const proto::InitiateContact& contact, HostEffects& effects) const;

  // INITIATE_CONTACT. The connection there was has ended; a new one begins unless there is an
  // error. Either way the answer is ready, and goes out with send_answer().
  Checked<void> start(const proto::InitiateContact2& request);
  void send_answer(HostEffects& effects);
  void end();

  // PAUSE and RESUME. Whatever was kept goes out with resume().
  void pause(HostEffects& effects);
  void resume(HostEffects& effects);

  // To the processor that the guest named.
  void send(const proto::Message& message, HostEffects& effects);

  bool connected() const { return negotiated_.has_value(); }
  bool paused() const { return paused_; }
  const std::optional<proto::Negotiated>& negotiated() const { return negotiated_; }
  bool at_least(proto::ProtocolVersion version) const {
    return negotiated_ && negotiated_->version >= version;
  }
  bool has(proto::Feature feature) const {
    return negotiated_ && negotiated_->features.contains(feature);
  }
  const std::optional<proto::Guid>& client_id() const { return client_id_; }
  std::optional<proto::Pfn> interrupt_page() const { return interrupt_page_; }

 private:
  std::optional<proto::ProtocolVersion> supported(std::uint32_t requested) const;
  bool can_be_set_up(proto::ProtocolVersion version, const proto::InitiateContact& contact) const;

  HostConfig config_;
  std::optional<proto::Negotiated> negotiated_;
  std::optional<proto::Guid> client_id_;
  std::optional<proto::Pfn> interrupt_page_;
  proto::Message answer_;
  SintTarget target_{};
  bool paused_ = false;
  std::vector<Deliver> kept_;  // while paused
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_CONTROL_HOST_CONNECTION_H_
