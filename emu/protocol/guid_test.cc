#include "emu/protocol/guid.h"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "emu/protocol/sha1.h"

namespace vmbus::proto {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

constexpr std::string_view kSample = "12345678-9abc-def0-1122-334455667788";

Bytes memory_of(const Guid& guid) { return std::bit_cast<Bytes>(guid); }

std::string text_of(const Guid& guid) { return std::string(to_text(guid).view()); }

Guid parsed(std::string_view text) {
  const std::optional<Guid> guid = parse_guid(text);
  EXPECT_TRUE(guid.has_value()) << text;
  return guid.value_or(Guid{});
}

// Case 4: encode GUID
TEST(Guid, TextIsStoredMixedEndian) {
  EXPECT_EQ(memory_of(parsed(kSample)), (Bytes{0x78, 0x56, 0x34, 0x12, 0xBC, 0x9A, 0xF0, 0xDE, 0x11,
                                               0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}));
}

// Case 9: upper, lower and mixed case text
TEST(Guid, ParsesAnyCase) {
  const Guid lower = parsed("90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd");
  EXPECT_EQ(parsed("90DB8B89-0D35-4F79-8CE9-49EA0AC8B7CD"), lower);
  EXPECT_EQ(parsed("90Db8b89-0D35-4f79-8cE9-49eA0ac8B7Cd"), lower);
}

TEST(Guid, FormatsLowerCaseAndTerminated) {
  const GuidText text = to_text(parsed("90DB8B89-0D35-4F79-8CE9-49EA0AC8B7CD"));
  EXPECT_STREQ(text.c_str(), "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd");
  EXPECT_EQ(text_of(parsed(kSample)), kSample);
}

TEST(Guid, RefusesWhatUuidFromStringRefuses) {
  for (const std::string_view text : {
           "",
           "12345678-9abc-def0-1122-33445566778",     // 35
           "12345678-9abc-def0-1122-3344556677889",   // 37
           "{12345678-9abc-def0-1122-334455667788}",  // braces
           "123456789-abc-def0-1122-334455667788",    // a hyphen in the wrong place
           "12345678-9abc-def0-1122334455667788-",    // a hyphen too late
           "12345678-9abc-def0-1122-33445566778g",    // not hexadecimal
           "12345678-9abc-def0-1122-33445566778 ",
           "12345678 9abc def0 1122 334455667788",
       }) {
    EXPECT_EQ(parse_guid(text), std::nullopt) << text;
  }
}

struct WellKnown {
  const char* text;
  Guid guid;
  Bytes memory;
};

// Case 8: six well-known VmIds
TEST(Guid, WellKnownVmIdsHaveTheirBytes) {
  const std::vector<WellKnown> table = {
      {"00000000-0000-0000-0000-000000000000", kHvGuidZero, Bytes{}},
      {"ffffffff-ffff-ffff-ffff-ffffffffffff",
       kHvGuidBroadcast,
       {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF}},
      {"90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
       kHvGuidChildren,
       {0x89, 0x8B, 0xDB, 0x90, 0x35, 0x0D, 0x79, 0x4F, 0x8C, 0xE9, 0x49, 0xEA, 0x0A, 0xC8, 0xB7,
        0xCD}},
      {"e0e16197-dd56-4a10-9195-5ee7a155a838",
       kHvGuidLoopback,
       {0x97, 0x61, 0xE1, 0xE0, 0x56, 0xDD, 0x10, 0x4A, 0x91, 0x95, 0x5E, 0xE7, 0xA1, 0x55, 0xA8,
        0x38}},
      {"a42e7cda-d03f-480c-9cc2-a4de20abb878",
       kHvGuidParent,
       {0xDA, 0x7C, 0x2E, 0xA4, 0x3F, 0xD0, 0x0C, 0x48, 0x9C, 0xC2, 0xA4, 0xDE, 0x20, 0xAB, 0xB8,
        0x78}},
      {"36bd0c5c-7276-4223-88ba-7d03b654c568",
       kHvGuidSiloHost,
       {0x5C, 0x0C, 0xBD, 0x36, 0x76, 0x72, 0x23, 0x42, 0x88, 0xBA, 0x7D, 0x03, 0xB6, 0x54, 0xC5,
        0x68}},
  };
  for (const WellKnown& row : table) {
    EXPECT_EQ(text_of(row.guid), row.text);
    EXPECT_EQ(memory_of(row.guid), row.memory) << row.text;
  }
}

// Case 10: HV_GUID_ZERO against HV_GUID_WILDCARD
TEST(Guid, ZeroIsTheWildcard) { EXPECT_EQ(kHvGuidZero, kHvGuidWildcard); }

TEST(Guid, OrdersByNumbersThenBytes) {
  // As memory, the first of each pair would come last.
  EXPECT_LT(parsed("000000ff-0000-0000-0000-000000000000"),
            parsed("00000100-0000-0000-0000-000000000000"));
  EXPECT_LT(parsed("00000000-00ff-0000-0000-000000000000"),
            parsed("00000000-0100-0000-0000-000000000000"));
  EXPECT_LT(parsed("00000000-0000-0000-00ff-000000000000"),
            parsed("00000000-0000-0000-0100-000000000000"));
}

TEST(Guid, HashDependsOnEveryByte) {
  const std::size_t zero = std::hash<Guid>{}(Guid{});
  for (std::size_t i = 0; i < sizeof(Guid); ++i) {
    Bytes bytes{};
    bytes[i] = 1;
    EXPECT_NE(std::hash<Guid>{}(std::bit_cast<Guid>(bytes)), zero) << i;
  }
}

// The answer of any RFC 4122 implementation for this pair.
TEST(NameBasedGuid, AgreesWithRfc4122) {
  const Guid dns = parsed("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
  EXPECT_EQ(text_of(name_based_guid(dns, "python.org")), "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

TEST(NameBasedGuid, VmNamesGiveStableDistinctIds) {
  EXPECT_EQ(text_of(vm_id_from_name("guest")), "160f2bd5-9c6e-59a9-82d5-c47f2bbfcac9");
  EXPECT_NE(vm_id_from_name("guest"), vm_id_from_name("guest2"));
}

TEST(RandomGuid, KeepsTheBytesButForVersionAndVariant) {
  Bytes random;
  random.fill(0xFF);
  EXPECT_EQ(text_of(random_guid(random)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  random.fill(0);
  EXPECT_EQ(text_of(random_guid(random)), "00000000-0000-4000-8000-000000000000");
}

std::string sha1_hex(std::string_view message) {
  Sha1 sha1;
  const std::vector<std::uint8_t> bytes(message.begin(), message.end());
  sha1.update(bytes);
  std::string hex;
  for (const unsigned byte : sha1.finish()) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 0xF];
  }
  return hex;
}

TEST(Sha1, AgreesWithPublishedDigests) {
  EXPECT_EQ(sha1_hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha1_hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  // 56 bytes: the length no longer fits in the first block.
  EXPECT_EQ(sha1_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

}  // namespace
}  // namespace vmbus::proto
