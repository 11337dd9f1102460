#include "emu/protocol/message_codec.h"

#include <gtest/gtest.h>

#include <ostream>
#include <vector>

#include "emu/protocol/address.h"

namespace vmbus::proto {

std::ostream& operator<<(std::ostream& out, const ParseError& error) {
  out << (error.kind == ParseErrorKind::kMessageTooSmall ? "MessageTooSmall"
                                                         : "InvalidMessageType");
  return error.type ? out << '(' << *error.type << ')' : out;
}

namespace {

using enum Direction;
using enum ProtocolVersion;
using Bytes = std::vector<unsigned>;

constexpr std::optional<Negotiated> kNotConnected;

constexpr std::optional<Negotiated> at(ProtocolVersion version, FeatureFlags features = {}) {
  return Negotiated{.version = version, .features = features};
}

Bytes bytes_of(const Message& message) {
  const EncodedMessage encoded = encode(message);
  Bytes bytes;
  for (const std::byte byte : encoded.bytes()) bytes.push_back(std::to_integer<unsigned>(byte));
  return bytes;
}

// A message of `size` bytes with nothing but its number in it.
std::vector<std::byte> blank(std::uint32_t type, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < 4 && i < size; ++i) {
    bytes[i] = static_cast<std::byte>(type >> (8 * i));
  }
  return bytes;
}

const ParseError kTooShortForAHeader{.kind = ParseErrorKind::kMessageTooSmall};

ParseError too_small(MessageType type) {
  return {.kind = ParseErrorKind::kMessageTooSmall, .type = static_cast<std::uint32_t>(type)};
}
ParseError invalid_type(std::uint32_t type) {
  return {.kind = ParseErrorKind::kInvalidMessageType, .type = type};
}
ParseError invalid_type(MessageType type) { return invalid_type(static_cast<std::uint32_t>(type)); }

std::optional<ParseError> error_in(const DecodeResult& result) {
  const auto* error = std::get_if<ParseError>(&result);
  return error != nullptr ? std::optional(*error) : std::nullopt;
}

// The decoded struct, if it is of this type.
template <typename Struct>
std::optional<Struct> decoded_as(std::span<const std::byte> bytes, Direction direction,
                                 const std::optional<Negotiated>& negotiated) {
  const DecodeResult result = decode(bytes, direction, negotiated);
  const auto* message = std::get_if<Message>(&result);
  const auto* layout = message != nullptr ? std::get_if<Struct>(message) : nullptr;
  return layout != nullptr ? std::optional(*layout) : std::nullopt;
}

template <typename Struct>
std::optional<Struct> from_guest(const std::vector<std::byte>& bytes,
                                 const std::optional<Negotiated>& negotiated) {
  return decoded_as<Struct>(bytes, kGuestToHost, negotiated);
}

// Row 68: CLOSE bytes
TEST(MessageCodec, EncodesClose) {
  EXPECT_EQ(bytes_of(CloseChannel{.relid = Relid{5}}), (Bytes{7, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0}));
}

// Row 69: UNLOAD bytes
TEST(MessageCodec, EncodesUnload) {
  EXPECT_EQ(bytes_of(Unload{}), (Bytes{0x10, 0, 0, 0, 0, 0, 0, 0}));
}

// Row 70: GPADL_HEADER bytes with data
TEST(MessageCodec, EncodesGpadlHeaderWithData) {
  const std::array data{std::byte{1}, std::byte{2}, std::byte{3}};
  const WithTail<GpadlHeader> message{.fixed = {.relid = Relid{5},
                                                .gpadl_id = GpadlId{1},
                                                .range_buffer_bytes = 7,
                                                .range_count = 6},
                                      .tail = data};
  EXPECT_EQ(bytes_of(message),
            (Bytes{8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 7, 0, 6, 0, 1, 2, 3}));
}

// Row 72: short header
TEST(MessageCodec, ShortHeaderIsTooSmallWithoutType) {
  EXPECT_EQ(error_in(decode(blank(7, 7), kGuestToHost, at(kV5_3))), kTooShortForAHeader);
  EXPECT_EQ(error_in(decode({}, kGuestToHost, at(kV5_3))), kTooShortForAHeader);
}

// Row 73: short body
TEST(MessageCodec, ShortBodyIsTooSmall) {
  EXPECT_EQ(error_in(decode(blank(5, 100), kGuestToHost, at(kV5_3))),
            too_small(MessageType::kOpenChannel));
}

// Row 73: short body
TEST(MessageCodec, OneByteLessThanAnyLayoutIsTooSmall) {
  const auto all = at(kV6_0, FeatureFlags{Feature::kModifyConnection} | Feature::kPauseResume);
  for (const MessageInfo& info : kMessages) {
    const auto layout = std::ranges::find(kMessageLayouts, info.type, &MessageLayout::type);
    const auto number = static_cast<std::uint32_t>(info.type);
    EXPECT_EQ(error_in(decode(blank(number, layout->bytes), info.direction, all)), std::nullopt)
        << info.name;
    if (layout->bytes == sizeof(MessageHeader)) continue;  // shorter means no header
    EXPECT_EQ(error_in(decode(blank(number, layout->bytes - 1), info.direction, all)),
              too_small(info.type))
        << info.name;
  }
}

// Row 74: long message accepted
TEST(MessageCodec, LongMessageIsAccepted) {
  auto bytes = blank(7, 240);
  bytes[8] = std::byte{9};
  bytes[12] = std::byte{0xFF};
  EXPECT_EQ(from_guest<CloseChannel>(bytes, at(kV5_3)), (CloseChannel{.relid = Relid{9}}));
}

TEST(MessageCodec, BytesBehind240AreNotPartOfTheMessage) {
  const auto header = from_guest<WithTail<GpadlHeader>>(blank(8, 300), at(kV5_3));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->tail.size(), 220u);
}

TEST(MessageCodec, ReservedHeaderBytesAreIgnored) {
  auto bytes = blank(16, 8);
  bytes[5] = std::byte{0xEE};
  EXPECT_EQ(from_guest<Unload>(bytes, at(kV5_3)), Unload{});
}

// Row 75: type above 29
TEST(MessageCodec, NumbersOutsideTheTableAreInvalid) {
  for (const std::uint32_t type : {0u, 30u, 0x0000'0107u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(error_in(decode(blank(type, 240), kGuestToHost, at(kV6_0, kAllFeatures))),
              invalid_type(type));
  }
}

// Row 76: host-only type from guest
TEST(MessageCodec, MessagesOfTheOtherDirectionAreInvalid) {
  for (const MessageInfo& info : kMessages) {
    const Direction other = info.direction == kGuestToHost ? kHostToGuest : kGuestToHost;
    const auto number = static_cast<std::uint32_t>(info.type);
    EXPECT_EQ(error_in(decode(blank(number, 240), other, at(kV6_0, kAllFeatures))),
              invalid_type(number))
        << info.name;
  }
}

// Row 77: message before contact
TEST(MessageCodec, BeforeContactOnlyThreeMessagesParse) {
  for (const MessageInfo& info : kMessages) {
    const bool legal = info.type == MessageType::kInitiateContact ||
                       info.type == MessageType::kVersionResponse ||
                       info.type == MessageType::kCloseReservedChannel;
    const auto number = static_cast<std::uint32_t>(info.type);
    EXPECT_EQ(error_in(decode(blank(number, 240), info.direction, kNotConnected)),
              legal ? std::nullopt : std::optional(invalid_type(number)))
        << info.name;
  }
}

TEST(MessageCodec, MessagesStartAtTheirVersion) {
  for (const MessageInfo& info : kMessages) {
    for (const ProtocolVersion version : kVersionsNewestFirst) {
      const auto number = static_cast<std::uint32_t>(info.type);
      // Features mean nothing before 6.0, whatever a caller passes.
      const auto error =
          error_in(decode(blank(number, 240), info.direction, at(version, kAllFeatures)));
      EXPECT_EQ(error, version >= info.since ? std::nullopt : std::optional(invalid_type(number)))
          << info.name << " at " << version_name(version);
    }
  }
}

// Row 101: modify connection without feature
TEST(MessageCodec, FeatureMessagesNeedTheirFeature) {
  const auto without_modify = at(kV6_0, kAllFeatures.without(Feature::kModifyConnection));
  EXPECT_EQ(error_in(decode(blank(25, 24), kGuestToHost, without_modify)),
            invalid_type(MessageType::kModifyConnection));
  EXPECT_EQ(error_in(decode(blank(26, 9), kHostToGuest, without_modify)),
            invalid_type(MessageType::kModifyConnectionResponse));
  const auto without_pause = at(kV6_0, kAllFeatures.without(Feature::kPauseResume));
  EXPECT_EQ(error_in(decode(blank(27, 8), kGuestToHost, without_pause)),
            invalid_type(MessageType::kPause));
  EXPECT_EQ(error_in(decode(blank(27, 8), kGuestToHost, at(kV6_0, Feature::kPauseResume))),
            std::nullopt);
}

TEST(MessageCodec, InitiateContactTakesTheLongestLayoutThatFits) {
  EXPECT_TRUE(from_guest<InitiateContact>(blank(14, 40), kNotConnected));
  EXPECT_TRUE(from_guest<InitiateContact>(blank(14, 55), kNotConnected));
  auto bytes = blank(14, 56);
  bytes[40] = std::byte{0xAB};
  EXPECT_EQ(from_guest<InitiateContact2>(bytes, kNotConnected)->client_id.data1, 0xABu);
}

TEST(MessageCodec, VersionResponseTakesTheLongestLayoutThatFits) {
  const auto from_host = [](std::size_t size) {
    return decode(blank(15, size), kHostToGuest, kNotConnected);
  };
  const auto is = [&from_host]<typename Struct>(std::size_t size, const Struct& expected) {
    return from_host(size) == DecodeResult(Message(expected));
  };
  EXPECT_TRUE(is(16, VersionResponse{}));
  EXPECT_TRUE(is(19, VersionResponse{}));
  EXPECT_TRUE(is(20, VersionResponse2{}));
  EXPECT_TRUE(is(39, VersionResponse2{}));
  EXPECT_TRUE(is(40, VersionResponse3{}));
}

// Row 156: v1 and v2 at 5.2
TEST(MessageCodec, TlConnectRequestHasTwoLayoutsFrom5_2) {
  EXPECT_TRUE(from_guest<TlConnectRequest>(blank(21, 40), at(kV5_2)));
  EXPECT_TRUE(from_guest<TlConnectRequest>(blank(21, 55), at(kV5_2)));
  EXPECT_TRUE(from_guest<TlConnectRequest2>(blank(21, 56), at(kV5_2)));
  EXPECT_TRUE(from_guest<TlConnectRequest>(blank(21, 56), at(kV5_1))) << "no silo yet";
}

TEST(MessageCodec, OpenChannelIsLongWithEitherFeature) {
  for (const Feature feature :
       {Feature::kGuestSpecifiedSignalParameters, Feature::kChannelInterruptRedirection}) {
    EXPECT_TRUE(from_guest<OpenChannel2>(blank(5, 156), at(kV6_0, feature)));
    EXPECT_EQ(error_in(decode(blank(5, 155), kGuestToHost, at(kV6_0, feature))),
              too_small(MessageType::kOpenChannel))
        << "no fallback";
  }
}

TEST(MessageCodec, OpenChannelIsShortWithoutTheFeatures) {
  const auto other_features = at(kV6_0, kAllFeatures.without(kOpenChannel2Features));
  EXPECT_TRUE(from_guest<OpenChannel>(blank(5, 156), other_features));
  EXPECT_TRUE(from_guest<OpenChannel>(blank(5, 156), at(kV5_3, kOpenChannel2Features)));
}

TEST(MessageCodec, TailPointsIntoTheInput) {
  const auto bytes = blank(9, 24);
  const auto body = from_guest<WithTail<GpadlBody>>(bytes, at(kV5_3));
  ASSERT_TRUE(body.has_value());
  EXPECT_EQ(body->tail.data(), bytes.data() + 16);
  EXPECT_EQ(body->tail.size(), 8u);
}

TEST(MessageCodec, DecodesWhatItEncoded) {
  const TlConnectResult message{.endpoint_id = service_id_of(Port{1}),
                                .service_id = service_id_of(Port{2}),
                                .status = kStatusConnectionRefused};
  const EncodedMessage encoded = encode(message);
  EXPECT_EQ(decoded_as<TlConnectResult>(encoded.bytes(), kHostToGuest, at(kV4_1)), message);
}

TEST(MessageCodec, TypeIsThatOfTheLayout) {
  EXPECT_EQ(type_of(OpenChannel2{}), MessageType::kOpenChannel);
  EXPECT_EQ(type_of(VersionResponse3{}), MessageType::kVersionResponse);
  EXPECT_EQ(type_of(WithTail<GpadlBody>{}), MessageType::kGpadlBody);
}

TEST(MessageCodec, RelidIsFoundInEveryLayoutThatHasOne) {
  EXPECT_EQ(relid_of(CloseChannel{.relid = Relid{5}}), Relid{5});
  EXPECT_EQ(relid_of(OpenChannel2{.open = {.relid = Relid{6}}}), Relid{6});
  EXPECT_EQ(relid_of(WithTail<GpadlHeader>{.fixed = {.relid = Relid{7}}}), Relid{7});
  EXPECT_EQ(relid_of(GpadlTorndown{}), std::nullopt);
  EXPECT_EQ(relid_of(Unload{}), std::nullopt);
}

}  // namespace
}  // namespace vmbus::proto
