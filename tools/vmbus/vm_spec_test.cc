#include "tools/vmbus/vm_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vmbus::tools {
namespace {

using testing::HasSubstr;

constexpr const char* kId = "12345678-9abc-def0-1122-334455667788";

TEST(VmSpec, ANameAlone) {
  const auto spec = parse_vm_spec("second");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "second");
  EXPECT_EQ(spec->cid, 0u);
  EXPECT_EQ(spec->vm_id, "");
  EXPECT_EQ(spec->flavour, "");
}

TEST(VmSpec, PartsInAnyOrder) {
  const auto spec = parse_vm_spec(std::string("b,flavour=freebsd,id=") + kId + ",cid=42");
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->name, "b");
  EXPECT_EQ(spec->cid, 42u);
  EXPECT_EQ(spec->vm_id, kId);
  EXPECT_EQ(spec->flavour, "freebsd");
}

TEST(VmSpec, BadFormsAreUsageErrors) {
  for (const char* text : {"", ",cid=4", "b,", "b,cid", "b,cid=", "b,cid=x", "b,cid=4x", "b,cid=0",
                           "b,cid=-1", "b,cid=4294967296", "b,color=red", "b,=4"}) {
    const auto spec = parse_vm_spec(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().exit_status, kExitUsage);
    EXPECT_THAT(spec.error().message, HasSubstr("want NAME[,cid=N]")) << text;
  }
}

TEST(VmSpec, WhatNoBusWouldTakeIsAUsageError) {
  for (const std::string& text :
       {std::string("host"), std::string("a b"), std::string("\xff"), std::string("b,cid=2"),
        std::string("b,id=\xff"), std::string("b,flavour=beos")}) {
    const auto spec = parse_vm_spec(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().exit_status, kExitUsage);
    EXPECT_THAT(spec.error().message, HasSubstr("bad ")) << text;
    EXPECT_EQ(spec.error().message.find('\xff'), std::string::npos);
  }
}

TEST(VmSpec, BecomesARequest) {
  const auto request = add_request({"b", 42, kId, "freebsd"});
  EXPECT_EQ(request.vm_add().name(), "b");
  EXPECT_EQ(request.vm_add().cid(), 42u);
  EXPECT_EQ(request.vm_add().vm_id(), kId);
  EXPECT_EQ(request.vm_add().flavour(), "freebsd");
}

class Fits : public testing::Test {
 protected:
  Fits() {
    guest_.set_name("b");
    guest_.set_cid(4);
    guest_.set_vm_id(kId);
    guest_.set_flavour("linux");
  }
  control::StatusReport::Guest guest_;
};

TEST_F(Fits, WhatIsLeftOpenMayBeAnything) { EXPECT_TRUE(fits(guest_, {"b", 0, "", ""})); }

TEST_F(Fits, GuidsMayBeWrittenInEitherCase) {
  EXPECT_TRUE(fits(guest_, {"b", 4, "12345678-9ABC-DEF0-1122-334455667788", "linux"}));
}

TEST_F(Fits, EachPartCounts) {
  EXPECT_FALSE(fits(guest_, {"c", 0, "", ""}));
  EXPECT_FALSE(fits(guest_, {"b", 5, "", ""}));
  EXPECT_FALSE(fits(guest_, {"b", 0, "00000000-9abc-def0-1122-334455667788", ""}));
  EXPECT_FALSE(fits(guest_, {"b", 0, "", "freebsd"}));
}

}  // namespace
}  // namespace vmbus::tools
