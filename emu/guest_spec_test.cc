#include "emu/guest_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmbus::emu {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kGuidText = "12345678-9abc-def0-1122-334455667788";

TEST(GuestSpec, ANameAloneLeavesTheRestOpen) {
  const auto spec = parse_guest_spec("web-1.test_A");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "web-1.test_A");
  EXPECT_FALSE(spec->cid);
  EXPECT_FALSE(spec->vm_id);
  EXPECT_EQ(spec->flavour, Flavour::kLinux);
}

TEST(GuestSpec, EverythingMayBeSaidInAnyOrder) {
  const auto spec =
      parse_guest_spec(std::string("bsd,flavour=freebsd,id=") + kGuidText + ",cid=4294967294");
  ASSERT_TRUE(spec) << spec.error();
  EXPECT_EQ(spec->cid, 4294967294U);
  EXPECT_EQ(spec->vm_id, proto::parse_guid(kGuidText));
  EXPECT_EQ(spec->flavour, Flavour::kFreeBsd);
}

TEST(GuestSpec, AnEmptyFieldOfARequestIsNotGiven) {
  const auto spec = make_guest_spec("db", 0, "", "");
  ASSERT_TRUE(spec);
  EXPECT_FALSE(spec->cid);
  EXPECT_FALSE(spec->vm_id);
}

struct BadSpec {
  const char* text;
  const char* value;  // what the error must name
  const char* legal;  // and what it must offer
};

class BadGuestSpec : public testing::TestWithParam<BadSpec> {};

TEST_P(BadGuestSpec, IsRefusedByNameWithTheLegalValues) {
  const auto spec = parse_guest_spec(GetParam().text);
  ASSERT_FALSE(spec);
  EXPECT_THAT(spec.error(), AllOf(HasSubstr(GetParam().value), HasSubstr(GetParam().legal)));
}

INSTANTIATE_TEST_SUITE_P(
    Rows, BadGuestSpec,
    testing::Values(BadSpec{"", "''", "1 to 31 letters"}, BadSpec{"host", "'host'", "other than"},
                    BadSpec{"auto", "'auto'", "other than"}, BadSpec{"a b", "'a b'", "letters"},
                    BadSpec{"a/b", "'a/b'", "letters"},
                    BadSpec{"abcdefghijklmnopqrstuvwxyz123456", "z123456'", "1 to 31"},
                    BadSpec{"x,cid=2", "'2'", "from 3 to 4294967294"},
                    BadSpec{"x,cid=0", "'0'", "from 3"},
                    BadSpec{"x,cid=4294967295", "'4294967295'", "to 4294967294"},
                    BadSpec{"x,cid=4294967299", "'4294967299'", "to 4294967294"},
                    BadSpec{"x,cid=7up", "'7up'", "a number"},
                    BadSpec{"x,cid=-3", "'-3'", "a number"},
                    BadSpec{"x,id=123", "'123'", "a GUID like"},
                    BadSpec{"x,id=00000000-0000-0000-0000-000000000000", "0000", "HV_GUID_"},
                    BadSpec{"x,id=a42e7cda-d03f-480c-9cc2-a4de20abb878", "a42e7cda", "HV_GUID_"},
                    BadSpec{"x,flavour=windows", "'windows'", "linux, freebsd or wsl"},
                    BadSpec{"x,colour=red", "'x,colour=red'", "[,cid=N]"},
                    BadSpec{"x,", "'x,'", "NAME[,cid=N]"}, BadSpec{"x,cid=", "'x,cid='", "NAME["},
                    BadSpec{"x,cid", "'x,cid'", "NAME["},
                    BadSpec{"x,cid=5,cid=6", "'x,cid=5,cid=6'", "NAME["}));

}  // namespace
}  // namespace vmbus::emu
