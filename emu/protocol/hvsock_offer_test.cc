#include "emu/protocol/hvsock_offer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "emu/protocol/address.h"
#include "emu/protocol/message_codec.h"

namespace vmbus::proto {
namespace {

const Guid kEndpoint = service_id_of(Port{0x0102'0304});
const Guid kService = service_id_of(Port{5000});

std::vector<unsigned> bytes_of(const OfferChannel& offer, std::size_t offset, std::size_t count) {
  const EncodedMessage encoded = encode(offer);
  std::vector<unsigned> bytes;
  for (const std::byte byte : encoded.bytes().subspan(offset, count)) {
    bytes.push_back(std::to_integer<unsigned>(byte));
  }
  return bytes;
}

using List = std::vector<unsigned>;

// Row 158: offer bytes
TEST(HvsockOffer, HasTheSpecifiedBytes) {
  const OfferChannel offer =
      make_hvsock_offer(Relid{3}, kService, kEndpoint, {.initiator = HvsockInitiator::kHost});
  EXPECT_EQ(bytes_of(offer, 8, 4), (List{0x88, 0x13, 0, 0})) << "interface: the service";
  EXPECT_EQ(bytes_of(offer, 24, 4), (List{4, 3, 2, 1})) << "instance: the endpoint";
  EXPECT_EQ(bytes_of(offer, 56, 2), (List{0x11, 0x20})) << "flags 0x2011";
  EXPECT_EQ(bytes_of(offer, 60, 4), (List{0, 0, 0, 0})) << "byte pipe";
  EXPECT_EQ(bytes_of(offer, 64, 2), (List{1, 0})) << "the host dials; no container";
  EXPECT_EQ(bytes_of(offer, 66, 4), (List{1, 0, 0, 0})) << "parameter version 1";
  EXPECT_EQ(bytes_of(offer, 70, 110), List(110)) << "no silo, and zeros";
  EXPECT_EQ(bytes_of(offer, 180, 2), (List{0, 0})) << "primary channel";
  EXPECT_TRUE(is_hvsock_offer(offer));
}

// Row 158: offer bytes
TEST(HvsockOffer, Byte64SaysWhoDials) {
  const OfferChannel by_guest = make_hvsock_offer(Relid{3}, kService, kEndpoint, {});
  EXPECT_EQ(bytes_of(by_guest, 64, 1), (List{0}));
}

// Row 104: offer fields
TEST(HvsockOffer, HasAnEventOfItsOwnAndNoMonitor) {
  const OfferChannel offer = make_hvsock_offer(Relid{1}, kService, kEndpoint, {});
  EXPECT_EQ(bytes_of(offer, 184, 4), (List{1, 0, 0, 0})) << "relid";
  EXPECT_EQ(bytes_of(offer, 188, 2), (List{0xFF, 0})) << "monitor id, allocated";
  EXPECT_EQ(bytes_of(offer, 190, 2), (List{1, 0})) << "dedicated interrupt";
  EXPECT_EQ(bytes_of(offer, 192, 4), (List{0x01, 0x20, 0, 0})) << "connection id";
}

TEST(HvsockOffer, ParametersComeBack) {
  const HvsockParameters parameters{.pipe_type = PipeType::kMessage,
                                    .initiator = HvsockInitiator::kHost,
                                    .is_for_guest_container = true,
                                    .version = kHvsockParametersRs5,
                                    .silo_id = kHvGuidSiloHost};
  const UserDefined area = build_user_defined(parameters);
  EXPECT_EQ(parse_user_defined(area), parameters);
  EXPECT_TRUE(
      std::all_of(area.begin() + 26, area.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(HvsockOffer, SiloCountsFromParameterVersionOne) {
  const UserDefined area =
      build_user_defined({.version = kHvsockParametersPreRs5, .silo_id = kHvGuidSiloHost});
  EXPECT_EQ(parse_user_defined(area).silo_id, Guid{});
}

TEST(HvsockOffer, AnyNonzeroFlagIsSet) {
  UserDefined area{};
  area[4] = std::byte{0x80};
  area[5] = std::byte{2};
  const HvsockParameters parameters = parse_user_defined(area);
  EXPECT_EQ(parameters.initiator, HvsockInitiator::kHost);
  EXPECT_TRUE(parameters.is_for_guest_container);
}

TEST(HvsockOffer, OtherOffersAreNotHvsock) { EXPECT_FALSE(is_hvsock_offer(OfferChannel{})); }

}  // namespace
}  // namespace vmbus::proto
