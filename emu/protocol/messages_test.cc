// Conformance of the message table and of every wire struct: what is expected is written down here
// once more, from the description of the bus, not derived from message_table.inc.
#include "emu/protocol/messages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "emu/protocol/message_codec.h"

namespace vmbus::proto {
namespace {

using enum Direction;
using enum ProtocolVersion;

struct MessageRow {
  std::uint32_t number;
  const char* name;
  Direction direction;
  std::size_t bytes;
  ProtocolVersion since;
  FeatureFlags any_feature = {};
};

const std::vector<MessageRow> kRows = {
    {1, "OFFER_CHANNEL", kHostToGuest, 196, kV0_13},
    {2, "RESCIND_CHANNEL_OFFER", kHostToGuest, 12, kV0_13},
    {3, "REQUEST_OFFERS", kGuestToHost, 8, kV0_13},
    {4, "ALL_OFFERS_DELIVERED", kHostToGuest, 8, kV0_13},
    {5, "OPEN_CHANNEL", kGuestToHost, 148, kV0_13},
    {6, "OPEN_CHANNEL_RESULT", kHostToGuest, 20, kV0_13},
    {7, "CLOSE_CHANNEL", kGuestToHost, 12, kV0_13},
    {8, "GPADL_HEADER", kGuestToHost, 20, kV0_13},
    {9, "GPADL_BODY", kGuestToHost, 16, kV0_13},
    {10, "GPADL_CREATED", kHostToGuest, 20, kV0_13},
    {11, "GPADL_TEARDOWN", kGuestToHost, 16, kV0_13},
    {12, "GPADL_TORNDOWN", kHostToGuest, 12, kV0_13},
    {13, "RELID_RELEASED", kGuestToHost, 12, kV0_13},
    {14, "INITIATE_CONTACT", kGuestToHost, 40, kBeforeContact},
    {15, "VERSION_RESPONSE", kHostToGuest, 16, kBeforeContact},
    {16, "UNLOAD", kGuestToHost, 8, kV0_13},
    {17, "UNLOAD_COMPLETE", kHostToGuest, 8, kV1_1},
    {18, "OPEN_RESERVED_CHANNEL", kGuestToHost, 28, kV4_0},
    {19, "CLOSE_RESERVED_CHANNEL", kGuestToHost, 20, kBeforeContact},
    {20, "CLOSE_RESERVED_RESPONSE", kHostToGuest, 12, kV4_0},
    {21, "TL_CONNECT_REQUEST", kGuestToHost, 40, kV4_0},
    {22, "MODIFY_CHANNEL", kGuestToHost, 16, kV4_1},
    {23, "TL_CONNECT_RESULT", kHostToGuest, 44, kV4_1},
    {24, "MODIFY_CHANNEL_RESPONSE", kHostToGuest, 16, kV5_3},
    {25, "MODIFY_CONNECTION", kGuestToHost, 24, kV6_0, Feature::kModifyConnection},
    {26, "MODIFY_CONNECTION_RESPONSE", kHostToGuest, 9, kV6_0, Feature::kModifyConnection},
    {27, "PAUSE", kGuestToHost, 8, kV6_0, Feature::kPauseResume},
    {28, "PAUSE_RESPONSE", kHostToGuest, 8, kV6_0, Feature::kPauseResume},
    {29, "RESUME", kGuestToHost, 8, kV6_0, Feature::kPauseResume},
};

// Row 71: message sizes
TEST(MessageTable, HasEveryMessage) {
  ASSERT_EQ(kMessages.size(), kRows.size());
  for (const MessageRow& row : kRows) {
    const MessageInfo* info = find_message(row.number);
    ASSERT_NE(info, nullptr) << row.name;
    EXPECT_EQ(static_cast<std::uint32_t>(info->type), row.number);
    EXPECT_EQ(info->name, row.name);
    EXPECT_EQ(info->direction, row.direction) << row.name;
    EXPECT_EQ(info->since, row.since) << row.name;
    EXPECT_EQ(info->any_feature, row.any_feature) << row.name;
    EXPECT_EQ(message_name(row.number), row.name);
  }
}

TEST(MessageTable, OtherNumbersAreUnknown) {
  for (const std::uint32_t number : {0u, 30u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(find_message(number), nullptr);
    EXPECT_EQ(message_name(number), "UNKNOWN");
  }
}

// Row 71: message sizes
TEST(MessageTable, LayoutsHaveTheirSizes) {
  std::map<std::string, std::size_t> bytes;
  for (const MessageLayout& layout : kMessageLayouts) {
    bytes[std::string(layout.struct_name)] = layout.bytes;
  }
  std::map<std::string, std::size_t> expected = {
      {"OpenChannel2", 156},    {"InitiateContact2", 56},  {"VersionResponse2", 20},
      {"VersionResponse3", 40}, {"TlConnectRequest2", 56},
  };
  for (const MessageRow& row : kRows) {
    const auto type = static_cast<MessageType>(row.number);
    const auto first = std::ranges::find(kMessageLayouts, type, &MessageLayout::type);
    expected[std::string(first->struct_name)] = row.bytes;
  }
  EXPECT_EQ(bytes, expected);
}

// Row 71: message sizes
TEST(MessageTable, EncodedStructsHaveTheirSizes) {
  std::set<std::uint32_t> seen;
  const auto check = [&seen](const Message& message, std::size_t bytes) {
    const EncodedMessage encoded = encode(message);
    EXPECT_EQ(encoded.size, bytes) << message_name(static_cast<std::uint32_t>(type_of(message)));
    EXPECT_EQ(std::to_integer<std::uint32_t>(encoded.storage[0]),
              static_cast<std::uint32_t>(type_of(message)));
    seen.insert(static_cast<std::uint32_t>(type_of(message)));
  };
  check(OfferChannel{}, 196);
  check(RescindChannelOffer{}, 12);
  check(RequestOffers{}, 8);
  check(AllOffersDelivered{}, 8);
  check(OpenChannel{}, 148);
  check(OpenChannel2{}, 156);
  check(OpenChannelResult{}, 20);
  check(CloseChannel{}, 12);
  check(WithTail<GpadlHeader>{}, 20);
  check(WithTail<GpadlBody>{}, 16);
  check(GpadlCreated{}, 20);
  check(GpadlTeardown{}, 16);
  check(GpadlTorndown{}, 12);
  check(RelidReleased{}, 12);
  check(InitiateContact{}, 40);
  check(InitiateContact2{}, 56);
  check(VersionResponse{}, 16);
  check(VersionResponse2{}, 20);
  check(VersionResponse3{}, 40);
  check(Unload{}, 8);
  check(UnloadComplete{}, 8);
  check(OpenReservedChannel{}, 28);
  check(CloseReservedChannel{}, 20);
  check(CloseReservedResponse{}, 12);
  check(TlConnectRequest{}, 40);
  check(TlConnectRequest2{}, 56);
  check(ModifyChannel{}, 16);
  check(TlConnectResult{}, 44);
  check(ModifyChannelResponse{}, 16);
  check(ModifyConnection{}, 24);
  check(ModifyConnectionResponse{}, 9);
  check(Pause{}, 8);
  check(PauseResponse{}, 8);
  check(Resume{}, 8);
  EXPECT_EQ(seen.size(), kRows.size());
}

struct FieldRow {
  const char* field;
  std::size_t offset;
  std::size_t expected;
};
#define VMBUS_FIELD(Struct, field, expected) \
  FieldRow { #Struct "." #field, offsetof(Struct, field), expected }

// Row 71: message sizes
TEST(MessageTable, FieldsStandAtTheirOffsets) {
  const std::vector<FieldRow> table = {
      VMBUS_FIELD(OfferChannel, interface_id, 8),
      VMBUS_FIELD(OfferChannel, instance_id, 24),
      VMBUS_FIELD(OfferChannel, flags, 56),
      VMBUS_FIELD(OfferChannel, mmio_megabytes, 58),
      VMBUS_FIELD(OfferChannel, user_defined, 60),
      VMBUS_FIELD(OfferChannel, subchannel_index, 180),
      VMBUS_FIELD(OfferChannel, mmio_megabytes_optional, 182),
      VMBUS_FIELD(OfferChannel, relid, 184),
      VMBUS_FIELD(OfferChannel, monitor_id, 188),
      VMBUS_FIELD(OfferChannel, monitor_allocated, 189),
      VMBUS_FIELD(OfferChannel, dedicated_interrupt, 190),
      VMBUS_FIELD(OfferChannel, connection_id, 192),
      VMBUS_FIELD(RescindChannelOffer, relid, 8),
      VMBUS_FIELD(OpenChannel, relid, 8),
      VMBUS_FIELD(OpenChannel, open_id, 12),
      VMBUS_FIELD(OpenChannel, ring_gpadl, 16),
      VMBUS_FIELD(OpenChannel, target_vp, 20),
      VMBUS_FIELD(OpenChannel, downstream_page_offset, 24),
      VMBUS_FIELD(OpenChannel, user_data, 28),
      VMBUS_FIELD(OpenChannel2, connection_id, 148),
      VMBUS_FIELD(OpenChannel2, event_flag, 152),
      VMBUS_FIELD(OpenChannel2, flags, 154),
      VMBUS_FIELD(OpenChannelResult, relid, 8),
      VMBUS_FIELD(OpenChannelResult, open_id, 12),
      VMBUS_FIELD(OpenChannelResult, status, 16),
      VMBUS_FIELD(CloseChannel, relid, 8),
      VMBUS_FIELD(GpadlHeader, relid, 8),
      VMBUS_FIELD(GpadlHeader, gpadl_id, 12),
      VMBUS_FIELD(GpadlHeader, range_buffer_bytes, 16),
      VMBUS_FIELD(GpadlHeader, range_count, 18),
      VMBUS_FIELD(GpadlBody, gpadl_id, 12),
      VMBUS_FIELD(GpadlCreated, relid, 8),
      VMBUS_FIELD(GpadlCreated, gpadl_id, 12),
      VMBUS_FIELD(GpadlCreated, status, 16),
      VMBUS_FIELD(GpadlTeardown, relid, 8),
      VMBUS_FIELD(GpadlTeardown, gpadl_id, 12),
      VMBUS_FIELD(GpadlTorndown, gpadl_id, 8),
      VMBUS_FIELD(RelidReleased, relid, 8),
      VMBUS_FIELD(InitiateContact, requested_version, 8),
      VMBUS_FIELD(InitiateContact, target_vp, 12),
      VMBUS_FIELD(InitiateContact, target_info.sint, 16),
      VMBUS_FIELD(InitiateContact, target_info.vtl, 17),
      VMBUS_FIELD(InitiateContact, target_info.features, 20),
      VMBUS_FIELD(InitiateContact, parent_to_child_page, 24),
      VMBUS_FIELD(InitiateContact, child_to_parent_page, 32),
      VMBUS_FIELD(InitiateContact2, client_id, 40),
      VMBUS_FIELD(VersionResponse, version_supported, 8),
      VMBUS_FIELD(VersionResponse, connection_state, 9),
      VMBUS_FIELD(VersionResponse, version_or_connection_id, 12),
      VMBUS_FIELD(VersionResponse2, features, 16),
      VMBUS_FIELD(VersionResponse3, parent_to_child_page, 24),
      VMBUS_FIELD(VersionResponse3, child_to_parent_page, 32),
      VMBUS_FIELD(OpenReservedChannel, relid, 8),
      VMBUS_FIELD(OpenReservedChannel, target_vp, 12),
      VMBUS_FIELD(OpenReservedChannel, target_sint, 16),
      VMBUS_FIELD(OpenReservedChannel, ring_gpadl, 20),
      VMBUS_FIELD(OpenReservedChannel, downstream_page_offset, 24),
      VMBUS_FIELD(CloseReservedChannel, relid, 8),
      VMBUS_FIELD(CloseReservedChannel, target_vp, 12),
      VMBUS_FIELD(CloseReservedChannel, target_sint, 16),
      VMBUS_FIELD(CloseReservedResponse, relid, 8),
      VMBUS_FIELD(TlConnectRequest, endpoint_id, 8),
      VMBUS_FIELD(TlConnectRequest, service_id, 24),
      VMBUS_FIELD(TlConnectRequest2, silo_id, 40),
      VMBUS_FIELD(ModifyChannel, relid, 8),
      VMBUS_FIELD(ModifyChannel, target_vp, 12),
      VMBUS_FIELD(TlConnectResult, endpoint_id, 8),
      VMBUS_FIELD(TlConnectResult, service_id, 24),
      VMBUS_FIELD(TlConnectResult, status, 40),
      VMBUS_FIELD(ModifyChannelResponse, relid, 8),
      VMBUS_FIELD(ModifyChannelResponse, status, 12),
      VMBUS_FIELD(ModifyConnection, parent_to_child_page, 8),
      VMBUS_FIELD(ModifyConnection, child_to_parent_page, 16),
      VMBUS_FIELD(ModifyConnectionResponse, connection_state, 8),
  };
  for (const FieldRow& row : table) EXPECT_EQ(row.offset, row.expected) << row.field;
}
#undef VMBUS_FIELD

TEST(MessageTable, StatusReadsAsSigned) {
  EXPECT_TRUE(kStatusSuccess.ok());
  EXPECT_TRUE((Status{0x7FFF'FFFF}.ok()));
  EXPECT_FALSE(kStatusUnsuccessful.ok());
  EXPECT_FALSE(kStatusConnectionRefused.ok());
}

TEST(InitiateContact, InterruptPageIsBytes16To23) {
  const InitiateContact contact{.target_info = {.sint = 0x21, .features = kAllFeatures}};
  EXPECT_EQ(contact.interrupt_page(), Gpa{0x0000'00FF'0000'0021});
}

std::string feature_names(FeatureFlags features) {
  if (features.contains(Feature::kModifyConnection)) return "modify_connection";
  if (features.contains(Feature::kPauseResume)) return "pause_resume";
  return "";
}

// One row of the message table of docs/protocol.md.
std::string documented_row(const MessageInfo& info) {
  std::string sizes;
  for (const MessageLayout& layout : kMessageLayouts) {
    if (layout.type != info.type) continue;
    if (!sizes.empty()) sizes += ", ";
    sizes += std::to_string(layout.bytes);
    if (layout.tail == Tail::kData) sizes += " + data";
  }
  std::string since = info.since == kBeforeContact ? "any" : std::string(version_name(info.since));
  if (!info.any_feature.empty()) since += " + " + feature_names(info.any_feature);
  return "| " + std::to_string(static_cast<std::uint32_t>(info.type)) + " | " +
         std::string(info.name) + " | " +
         (info.direction == kGuestToHost ? "guest → host" : "host → guest") + " | " + sizes +
         " | " + since + " |";
}

TEST(MessageTable, DocumentationSaysTheSame) {
  std::ifstream file(VMBUS_PROTOCOL_DOC);
  ASSERT_TRUE(file.is_open()) << VMBUS_PROTOCOL_DOC;
  std::set<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.insert(line);
  for (const MessageInfo& info : kMessages) {
    EXPECT_TRUE(lines.contains(documented_row(info))) << "missing: " << documented_row(info);
  }
}

}  // namespace
}  // namespace vmbus::proto
