// Wire structs of the messages about a whole connection, and of hvsock connects.  messages.h has
// the rules that all structs follow.
//
// Contract    docs/protocol.md, "Layouts"
#ifndef VMBUS_EMU_PROTOCOL_CONNECTION_MESSAGES_H_
#define VMBUS_EMU_PROTOCOL_CONNECTION_MESSAGES_H_

#include <bit>
#include <cstddef>
#include <cstdint>

#include "emu/protocol/guid.h"
#include "emu/protocol/ids.h"
#include "emu/protocol/message_header.h"
#include "emu/protocol/status.h"
#include "emu/protocol/version.h"

namespace vmbus::proto {

// ---- Contact ------------------------------------------------------------------------------------

// Bytes 16..23 of INITIATE_CONTACT, where they are not the interrupt page.
//   offset  size  field
//       16     1  sint      for messages; 5.0 and later, multiclient connection only
//       17     1  vtl       5.1 and later, multiclient connection only
//       20     4  features  6.0 and later
struct TargetInfo {
  std::uint8_t sint{};
  std::uint8_t vtl{};
  std::uint16_t reserved_18{};
  FeatureFlags features{};

  friend bool operator==(const TargetInfo&, const TargetInfo&) = default;
};
static_assert(sizeof(TargetInfo) == 8 && offsetof(TargetInfo, features) == 4);

// INITIATE_CONTACT
//   offset  size  field
//        8     4  requested_version     any number; parse_version() tells whether we know it
//       12     4  target_vp             for messages; honoured from 3.0
//       16     8  target_info           below 2.4: address of the interrupt page
//       24     8  parent_to_child_page  monitor page, or 0
//       32     8  child_to_parent_page  monitor page, or 0
struct InitiateContact {
  MessageHeader header{MessageType::kInitiateContact};
  std::uint32_t requested_version{};
  VpIndex target_vp{};
  TargetInfo target_info{};
  Gpa parent_to_child_page{};
  Gpa child_to_parent_page{};

  constexpr Gpa interrupt_page() const { return std::bit_cast<Gpa>(target_info); }
  friend bool operator==(const InitiateContact&, const InitiateContact&) = default;
};
static_assert(offsetof(InitiateContact, target_info) == 16 &&
              offsetof(InitiateContact, child_to_parent_page) == 32);

// INITIATE_CONTACT, long: 40 client_id, meaningful with the client_id feature.
struct InitiateContact2 {
  InitiateContact contact{};
  Guid client_id{};

  friend bool operator==(const InitiateContact2&, const InitiateContact2&) = default;
};
static_assert(offsetof(InitiateContact2, client_id) == 40);

enum class ConnectionState : std::uint8_t {
  kSuccessful = 0,
  kFailedLowResources = 1,
  kFailedUnknown = 2,
};

// VERSION_RESPONSE
//   offset  size  field
//        8     1  version_supported         0 or 1
//        9     1  connection_state          2.4 and later
//       12     4  version_or_connection_id  from 5.0 the connection for all further messages of
//                                           the guest, before the version
struct VersionResponse {
  MessageHeader header{MessageType::kVersionResponse};
  std::uint8_t version_supported{};
  ConnectionState connection_state{};
  std::uint16_t reserved_10{};
  std::uint32_t version_or_connection_id{};

  friend bool operator==(const VersionResponse&, const VersionResponse&) = default;
};
static_assert(offsetof(VersionResponse, connection_state) == 9 &&
              offsetof(VersionResponse, version_or_connection_id) == 12);

// VERSION_RESPONSE of 6.0: 16 granted features.
struct VersionResponse2 {
  VersionResponse response{};
  FeatureFlags features{};

  friend bool operator==(const VersionResponse2&, const VersionResponse2&) = default;
};
static_assert(offsetof(VersionResponse2, features) == 16);

// VERSION_RESPONSE with server_specified_monitor_pages: 24 parent_to_child_page (may be 0),
// 32 child_to_parent_page.
struct VersionResponse3 {
  VersionResponse2 response{};
  std::uint32_t reserved_20{};
  Gpa parent_to_child_page{};
  Gpa child_to_parent_page{};

  friend bool operator==(const VersionResponse3&, const VersionResponse3&) = default;
};
static_assert(offsetof(VersionResponse3, parent_to_child_page) == 24 &&
              offsetof(VersionResponse3, child_to_parent_page) == 32);

// ---- Connection ---------------------------------------------------------------------------------

using RequestOffers = BareMessage<MessageType::kRequestOffers>;
using AllOffersDelivered = BareMessage<MessageType::kAllOffersDelivered>;
using Unload = BareMessage<MessageType::kUnload>;
using UnloadComplete = BareMessage<MessageType::kUnloadComplete>;
using Pause = BareMessage<MessageType::kPause>;
using PauseResponse = BareMessage<MessageType::kPauseResponse>;
using Resume = BareMessage<MessageType::kResume>;

// MODIFY_CONNECTION: 8 parent_to_child_page, 16 child_to_parent_page; both or none.
struct ModifyConnection {
  MessageHeader header{MessageType::kModifyConnection};
  Gpa parent_to_child_page{};
  Gpa child_to_parent_page{};

  friend bool operator==(const ModifyConnection&, const ModifyConnection&) = default;
};
static_assert(offsetof(ModifyConnection, child_to_parent_page) == 16);

// MODIFY_CONNECTION_RESPONSE: 8 connection_state, one byte; nine in all.
struct ModifyConnectionResponse {
  MessageHeader header{MessageType::kModifyConnectionResponse};
  ConnectionState connection_state{};

  friend bool operator==(const ModifyConnectionResponse&,
                         const ModifyConnectionResponse&) = default;
};
static_assert(offsetof(ModifyConnectionResponse, connection_state) == 8);

// ---- hvsock connects ----------------------------------------------------------------------------

// TL_CONNECT_REQUEST: 8 endpoint_id, 24 service_id.  The endpoint is made by the guest and comes
// back as the instance id of the offer.
struct TlConnectRequest {
  MessageHeader header{MessageType::kTlConnectRequest};
  Guid endpoint_id{};
  Guid service_id{};

  friend bool operator==(const TlConnectRequest&, const TlConnectRequest&) = default;
};
static_assert(offsetof(TlConnectRequest, service_id) == 24);

// TL_CONNECT_REQUEST, long: 40 silo_id, the container meant; zero: none.
struct TlConnectRequest2 {
  TlConnectRequest request{};
  Guid silo_id{};

  friend bool operator==(const TlConnectRequest2&, const TlConnectRequest2&) = default;
};
static_assert(offsetof(TlConnectRequest2, silo_id) == 40);

// TL_CONNECT_RESULT: 8 endpoint_id, 24 service_id, 40 status.  Sent for failures only.
struct TlConnectResult {
  MessageHeader header{MessageType::kTlConnectResult};
  Guid endpoint_id{};
  Guid service_id{};
  Status status{};

  friend bool operator==(const TlConnectResult&, const TlConnectResult&) = default;
};
static_assert(offsetof(TlConnectResult, status) == 40);

}  // namespace vmbus::proto

#endif  // VMBUS_EMU_PROTOCOL_CONNECTION_MESSAGES_H_
