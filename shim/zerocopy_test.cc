#include "shim/zerocopy.h"

#include <gtest/gtest.h>

#include "shim/poll_events.h"

namespace vmbus::shim {
namespace {

FdEntry entry(std::uint16_t endpoint, std::uint32_t generation = 1) {
  return {generation, endpoint, 0, kFdCarrier};
}

TEST(Zerocopy, NotificationsAreCountedTogetherUntilTheyAreTaken) {
  const FdEntry socket = entry(1);
  ZerocopyRange range;
  EXPECT_FALSE(take_zerocopy_sends(socket, &range));
  ASSERT_TRUE(reserve_zerocopy_sends(socket));
  EXPECT_FALSE(take_zerocopy_sends(socket, &range));
  note_zerocopy_send(socket, false);
  note_zerocopy_send(socket, false);
  EXPECT_TRUE(zerocopy_events_exist());
  ASSERT_TRUE(take_zerocopy_sends(socket, &range));
  EXPECT_EQ(range.first, 0U);
  EXPECT_EQ(range.last, 1U);
  EXPECT_FALSE(range.copied);
  EXPECT_FALSE(zerocopy_events_exist());
}

TEST(Zerocopy, NumbersGoOnAndSayWhatWasCopied) {
  const FdEntry socket = entry(2);
  ZerocopyRange range;
  ASSERT_TRUE(reserve_zerocopy_sends(socket));
  note_zerocopy_send(socket, true);
  ASSERT_TRUE(take_zerocopy_sends(socket, &range));
  EXPECT_TRUE(range.copied);
  note_zerocopy_send(socket, false);
  ASSERT_TRUE(take_zerocopy_sends(socket, &range));
  EXPECT_EQ(range.first, 1U);
  EXPECT_EQ(range.last, 1U);
  EXPECT_FALSE(range.copied);
}

TEST(Zerocopy, ANewSocketInAnOldPlaceBeginsAnew) {
  ZerocopyRange range;
  ASSERT_TRUE(reserve_zerocopy_sends(entry(3, 1)));
  note_zerocopy_send(entry(3, 1), false);
  ASSERT_TRUE(reserve_zerocopy_sends(entry(3, 2)));
  EXPECT_FALSE(zerocopy_events_exist());
  EXPECT_FALSE(take_zerocopy_sends(entry(3, 2), &range));
}

TEST(Zerocopy, PollShowsThem) {
  ASSERT_EQ(fd_table().reserve(), 0);
  const FdEntry socket = entry(4);
  ASSERT_TRUE(fd_table().set(100, socket));
  ASSERT_TRUE(reserve_zerocopy_sends(socket));
  pollfd asked[] = {{100, 0, 0}, {101, POLLIN, POLLIN}};
  EXPECT_FALSE(has_error(asked, 2));
  note_zerocopy_send(socket, false);
  EXPECT_TRUE(has_error(asked, 2));
  EXPECT_EQ(amend_events(asked, 2, 1), 2);
  EXPECT_EQ(asked[0].revents, POLLERR);
  EXPECT_EQ(asked[1].revents, POLLIN);
  ZerocopyRange range;
  EXPECT_TRUE(take_zerocopy_sends(socket, &range));
  fd_table().clear(100);
}

TEST(PollEvents, OnlyOurSocketsLoseWritableBand) {
  ASSERT_EQ(fd_table().reserve(), 0);
  ASSERT_TRUE(fd_table().set(100, entry(5)));
  constexpr short kWritable = POLLOUT | POLLWRBAND;
  pollfd asked[] = {{100, kWritable, kWritable}, {101, kWritable, kWritable}};
  EXPECT_EQ(amend_events(asked, 2, 2), 2);
  EXPECT_EQ(asked[0].revents, POLLOUT);
  EXPECT_EQ(asked[1].revents, kWritable);
  fd_table().clear(100);
}

TEST(Zerocopy, MoreSocketsThanThereIsRoomForAreRefused) {
  std::uint16_t next = 1000;
  while (reserve_zerocopy_sends(entry(next))) ASSERT_LT(++next, 2000);
  EXPECT_FALSE(reserve_zerocopy_sends(entry(next)));
}

}  // namespace
}  // namespace vmbus::shim
