#include "emu/spare_sockets.h"

#include <gtest/gtest.h>

namespace vmbus::emu {
namespace {

constexpr ClientId kClient{7};
constexpr std::uint64_t kSpare = 99;

control::Request create(std::uint32_t family = 40) {
  control::Request request;
  request.mutable_create_socket()->set_family(family);
  return request;
}
control::Request connect() {
  control::Request request;
  request.mutable_connect();
  return request;
}
control::Request bind() {
  control::Request request;
  request.mutable_bind();
  return request;
}

class SpareSocketsTest : public testing::Test {
 protected:
  // A socket, and a connect of it.
  void dial(std::uint32_t family = 40) {
    spares_.note(kClient, create(family), 0);
    spares_.note(kClient, connect(), ++last_cookie_);
  }
  void get_the_habit() {
    for (int i = 0; i <= SpareSockets::kHabit; ++i) dial();
    ASSERT_NE(wanted(), nullptr);
    spares_.made(kClient, kSpare);
  }
  const control::CreateSocket* wanted() const { return spares_.wanted(kClient); }

  SpareSockets spares_;
  std::uint64_t last_cookie_ = 0;
};

TEST_F(SpareSocketsTest, OneIsWantedAfterTheRequestThatSocketsFollow) {
  EXPECT_EQ(wanted(), nullptr);
  for (int i = 0; i < SpareSockets::kHabit; ++i) {
    dial();
    EXPECT_EQ(wanted(), nullptr) << i;
  }
  dial();
  ASSERT_NE(wanted(), nullptr);
  EXPECT_EQ(wanted()->family(), 40U);
  spares_.note(kClient, bind(), 1);
  EXPECT_EQ(wanted(), nullptr) << "not after another one";
}

TEST_F(SpareSocketsTest, TheHabitGoesOnWhileSparesAreUsed) {
  get_the_habit();
  for (std::uint64_t spare = kSpare; spare < kSpare + 5; ++spare) {
    EXPECT_EQ(spares_.note(kClient, connect(), spare), spare) << "it is none any more";
    EXPECT_NE(wanted(), nullptr);
    spares_.made(kClient, spare + 1);
  }
}

TEST_F(SpareSocketsTest, ASpareThatIsNotUsedEndsIt) {
  get_the_habit();
  EXPECT_EQ(spares_.note(kClient, bind(), 1), kSpare);
  EXPECT_EQ(wanted(), nullptr);
  EXPECT_EQ(spares_.note(kClient, connect(), 1), 0U) << "and it is told once";
  EXPECT_EQ(wanted(), nullptr);
}

TEST_F(SpareSocketsTest, AnotherKindOfSocketBeginsAnew) {
  get_the_habit();
  dial(34);
  EXPECT_EQ(wanted(), nullptr);
  for (int i = 2; i < SpareSockets::kHabit; ++i) dial(34);
  EXPECT_EQ(wanted(), nullptr);
  dial(34);
  ASSERT_NE(wanted(), nullptr);
  EXPECT_EQ(wanted()->family(), 34U);
}

TEST_F(SpareSocketsTest, ManySocketsInARowAreNoHabit) {
  for (int i = 0; i < 10; ++i) {
    spares_.note(kClient, create(), 0);
    EXPECT_EQ(wanted(), nullptr);
  }
}

TEST_F(SpareSocketsTest, ClientsHaveHabitsOfTheirOwn) {
  get_the_habit();
  EXPECT_EQ(spares_.wanted(ClientId{8}), nullptr);
  spares_.forget(kClient);
  EXPECT_EQ(wanted(), nullptr);
}

}  // namespace
}  // namespace vmbus::emu
