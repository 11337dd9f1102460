#include "emu/client/service_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "emu/protocol/address.h"

namespace vmbus::client {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

proto::Guid port(std::uint32_t number) { return proto::service_id_of(proto::Port{number}); }

TEST(ServiceList, AServiceIsAPortOrAGuid) {
  EXPECT_EQ(parse_service("5000"), port(5000));
  EXPECT_EQ(parse_service("0x40000000"), port(0x40000000));
  EXPECT_EQ(parse_service("4294967295"), port(0xFFFFFFFF));
  EXPECT_EQ(parse_service("00001388-FACB-11e6-bd58-64006a7986d3"), port(5000));
  const auto odd = parse_service("c3b2a190-1234-4567-89ab-cdef01234567");
  ASSERT_TRUE(odd.has_value());
  EXPECT_EQ(odd->data1, 0xc3b2a190U);
}

TEST(ServiceList, WhatIsNeitherNamesTheValueAndWhatWouldBe) {
  for (const char* bad :
       {"", "x", "0x", "-1", "4294967296", "0x100000000", "5000,", "5000-",
        "{00001388-facb-11e6-bd58-64006a7986d3}", "00000000-0000-0000-0000-000000000000"}) {
    const auto service = parse_service(bad);
    ASSERT_FALSE(service.has_value()) << bad;
    EXPECT_THAT(service.error(), HasSubstr(std::string("'") + bad + "'"));
    EXPECT_THAT(service.error(), HasSubstr("a vsock port, 0 to 4294967295"));
  }
}

TEST(ServiceList, LinesHaveAServiceANameAndAComment) {
  const auto services = parse_services(
      "# all there is\n\n  5000 \n0x10\tan agent of ours \r\n5001 #7 # of seven\n5002 # none\n5003 "
      "c#",
      "file");
  ASSERT_TRUE(services.has_value()) << services.error();
  const std::vector<ListedService> wanted{{port(5000), ""},
                                          {port(16), "an agent of ours"},
                                          {port(5001), ""},
                                          {port(5002), ""},
                                          {port(5003), "c#"}};
  EXPECT_EQ(*services, wanted);
}

TEST(ServiceList, AnErrorSaysFileAndLine) {
  const auto bad = parse_services("5000\n# fine\nfive thousand\n", "some/file");
  ASSERT_FALSE(bad.has_value());
  EXPECT_THAT(bad.error(), StartsWith("some/file:3: bad service 'five'"));
  const auto named = parse_services("1 " + std::string(kMaxServiceNameBytes + 1, 'n'), "f");
  ASSERT_FALSE(named.has_value());
  EXPECT_THAT(named.error(), HasSubstr("at most 127 bytes"));
}

TEST(ServiceList, BytesThatAreNoTextAreShownAsFitForATerminal) {
  const auto bad = parse_services("\x1b[31m\n", "f\n");
  ASSERT_FALSE(bad.has_value());
  EXPECT_THAT(bad.error(), StartsWith("f?:1: bad service '?[31m'"));
  const auto named = parse_services("1 caf\xe9\x07", "f");
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->front().name, "caf??");
}

TEST(ServiceList, MoreThanAHostHasIsAnError) {
  std::string text;
  for (std::size_t i = 0; i <= kMaxServices; ++i) text += "1\n";
  const auto many = parse_services(text, "f");
  ASSERT_FALSE(many.has_value());
  EXPECT_THAT(many.error(), StartsWith("f:65537: more than 65536 services"));
}

TEST(ServiceList, AFileIsRead) {
  std::string path = testing::TempDir() + "/vmbus-services-XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  std::ofstream(path) << "7 seven\n";
  EXPECT_EQ(read_services(path), (std::vector<ListedService>{{port(7), "seven"}}));
  ::unlink(path.c_str());
  ::close(fd);
}

TEST(ServiceList, AFileThatCannotBeReadIsNamed) {
  const auto missing = read_services("/nowhere/at/all");
  ASSERT_FALSE(missing.has_value());
  EXPECT_THAT(missing.error(), HasSubstr("'/nowhere/at/all': No such file"));
  EXPECT_FALSE(read_services("/").has_value()) << "a directory";
  const auto endless = read_services("/dev/zero");
  ASSERT_FALSE(endless.has_value());
  EXPECT_THAT(endless.error(), HasSubstr("more than 8388608 bytes"));
}

}  // namespace
}  // namespace vmbus::client
