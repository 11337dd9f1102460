#include "tools/vmbus/message_detail.h"

#include <gtest/gtest.h>

#include <array>

#include "emu/protocol/address.h"
#include "emu/protocol/hvsock_offer.h"
#include "emu/protocol/message_codec.h"
#include "emu/protocol/messages.h"

namespace vmbus::tools {
namespace {

using namespace proto;

const Guid kService = service_id_of(Port{5000});
const Guid kOtherService{
    0xA5201C21, 0x2770, 0x4C11, {0xA6, 0x8E, 0xF1, 0x82, 0xED, 0xB2, 0x92, 0x20}};

std::string detail(const Message& message) {
  const EncodedMessage encoded = encode(message);
  return detail_of(encoded.bytes(), message_info(type_of(message)).direction);
}

TEST(MessageDetail, Contact) {
  InitiateContact contact;
  contact.requested_version = 0x50003;
  EXPECT_EQ(detail(contact), "version 5.3");
  EXPECT_EQ(detail(InitiateContact2{contact, {}}), "version 5.3");
}

TEST(MessageDetail, VersionResponse) {
  proto::VersionResponse response;
  EXPECT_EQ(detail(response), "not supported");
  response.version_supported = 1;
  EXPECT_EQ(detail(response), "supported");
  EXPECT_EQ(detail(VersionResponse2{response, {}}), "supported");
  response.connection_state = ConnectionState::kFailedLowResources;
  EXPECT_EQ(detail(response), "supported, but failed");
}

TEST(MessageDetail, AnOfferSaysWhoseServiceItIs) {
  HvsockParameters parameters;
  EXPECT_EQ(detail(make_hvsock_offer(Relid{1}, kService, {}, parameters)),
            "hvsocket, host's port 5000");
  parameters.initiator = HvsockInitiator::kHost;
  EXPECT_EQ(detail(make_hvsock_offer(Relid{1}, kService, {}, parameters)),
            "hvsocket, guest's port 5000");
  EXPECT_EQ(detail(make_hvsock_offer(Relid{1}, kOtherService, {}, parameters)),
            "hvsocket, guest's service a5201c21-2770-4c11-a68e-f182edb29220");
  EXPECT_EQ(detail(OfferChannel{}), "");
}

TEST(MessageDetail, SocketConnects) {
  TlConnectRequest request;
  request.service_id = kService;
  EXPECT_EQ(detail(request), "host's port 5000");
  EXPECT_EQ(detail(TlConnectRequest2{request, {}}), "host's port 5000");
  TlConnectResult result;
  result.service_id = kService;
  result.status = kStatusConnectionRefused;
  EXPECT_EQ(detail(result), "host's port 5000: failure 0xc0000236");
}

TEST(MessageDetail, Gpadls) {
  const std::array<std::byte, 224> numbers{};
  GpadlHeader header;
  header.gpadl_id = GpadlId{0xE1E10};
  header.range_count = 1;
  header.range_buffer_bytes = 8 + 130 * 8;
  EXPECT_EQ(detail(WithTail<GpadlHeader>{header, std::span(numbers).first(216)}),
            "GPADL 0xe1e10: 130 pages");
  header.range_count = 1000;
  EXPECT_EQ(detail(WithTail<GpadlHeader>{header, {}}), "GPADL 0xe1e10: 0 pages");
  GpadlBody body;
  body.gpadl_id = GpadlId{7};
  EXPECT_EQ(detail(WithTail<GpadlBody>{body, numbers}), "GPADL 0x7, 28 page numbers");
  GpadlCreated created;
  created.gpadl_id = GpadlId{7};
  EXPECT_EQ(detail(created), "GPADL 0x7: success");
  GpadlTeardown teardown;
  teardown.gpadl_id = GpadlId{7};
  EXPECT_EQ(detail(teardown), "GPADL 0x7");
  GpadlTorndown torndown;
  torndown.gpadl_id = GpadlId{7};
  EXPECT_EQ(detail(torndown), "GPADL 0x7");
}

TEST(MessageDetail, OpenAndItsResult) {
  OpenChannel open;
  open.ring_gpadl = GpadlId{7};
  open.downstream_page_offset = 65;
  EXPECT_EQ(detail(open), "GPADL 0x7, host-to-guest ring from page 65");
  OpenChannelResult result;
  result.status = kStatusUnsuccessful;
  EXPECT_EQ(detail(result), "failure 0x8000ffff");
}

TEST(MessageDetail, NothingMoreToSay) {
  EXPECT_EQ(detail(RequestOffers{}), "");
  EXPECT_EQ(detail(RelidReleased{}), "");
}

TEST(MessageDetail, WhatCannotBeDecodedHasNone) {
  const std::array<std::byte, 8> number_200{std::byte{200}};
  EXPECT_EQ(detail_of({}, Direction::kGuestToHost), "");
  EXPECT_EQ(detail_of(number_200, Direction::kGuestToHost), "");
}

}  // namespace
}  // namespace vmbus::tools
