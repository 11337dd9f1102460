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

control::Request after_taking(control::Request request) {
  request.set_took_spare(true);
  return request;
}

class SpareSocketsTest : public testing::Test {
 protected:
  // A socket, and a connect of it.
  void dial(std::uint32_t family = 40) {
    spares_.note(kClient, create(family));
    spares_.note(kClient, connect());
  }
  void get_the_habit() {
    for (int i = 0; i <= SpareSockets::kHabit; ++i) dial();
    ASSERT_NE(wanted(), nullptr);
    spares_.made(kClient, kSpare);
  }
  const control::CreateSocket* wanted() const { return spares_.wanted(kClient); }

  SpareSockets spares_;
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
  spares_.note(kClient, bind());
  EXPECT_EQ(wanted(), nullptr) << "not after another one";
}

TEST_F(SpareSocketsTest, TheHabitGoesOnWhileSparesAreUsed) {
  get_the_habit();
  for (std::uint64_t spare = kSpare; spare < kSpare + 5; ++spare) {
    EXPECT_EQ(spares_.note(kClient, after_taking(connect())), spare);
    EXPECT_NE(wanted(), nullptr);
    spares_.made(kClient, spare + 1);
  }
}

TEST_F(SpareSocketsTest, ASpareThatIsNotUsedEndsIt) {
  get_the_habit();
  EXPECT_EQ(spares_.note(kClient, connect()), 0U);
  EXPECT_EQ(wanted(), nullptr);
  EXPECT_EQ(spares_.note(kClient, after_taking(connect())), 0U) << "it is gone";
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
    spares_.note(kClient, create());
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
