#include "emu/synic.h"

#include <gtest/gtest.h>

namespace vmbus::emu {
namespace {

using proto::ConnectionId;
using proto::EventFlag;
using proto::Relid;

constexpr SintTarget kSint2{};
constexpr SintTarget kSint5{.vp = proto::VpIndex{0}, .sint = 5};

std::vector<std::byte> message(unsigned number) { return {static_cast<std::byte>(number)}; }

unsigned number_of(const std::optional<proto::EncodedMessage>& taken) {
  return taken ? std::to_integer<unsigned>(taken->bytes()[0]) : 0;
}

// Row 179: a busy slot holds up its own SINT alone; first in, first out
TEST(SynicMessages, WaitInOrderForTheirOwnSint) {
  Synic synic(1);
  for (unsigned i = 1; i <= 5; ++i) {
    EXPECT_EQ(synic.deliver(kSint2, message(i)), HvStatus::kSuccess);
  }
  EXPECT_EQ(synic.deliver(kSint5, message(9)), HvStatus::kSuccess);
  EXPECT_EQ(number_of(synic.take_message(kSint5)), 9U);
  EXPECT_FALSE(synic.take_message(kSint5).has_value());
  for (unsigned i = 1; i <= 5; ++i) EXPECT_EQ(number_of(synic.take_message(kSint2)), i);
  EXPECT_FALSE(synic.take_message(kSint2).has_value());
}

TEST(SynicMessages, RaiseAnInterruptEach) {
  Synic synic(2);
  EXPECT_FALSE(synic.interrupt_raised(kSint2));
  synic.deliver(kSint2, message(1));
  EXPECT_TRUE(synic.interrupt_raised(kSint2));
  EXPECT_FALSE(synic.interrupt_raised({.vp = proto::VpIndex{1}}));
}

TEST(SynicMessages, FillTheQueueBehindTheSlot) {
  Synic synic(1);
  const unsigned room = 1 + Synic::kSintQueueCapacity;
  for (unsigned i = 1; i <= room; ++i) {
    EXPECT_TRUE(synic.has_room(kSint2));
    EXPECT_EQ(synic.deliver(kSint2, message(i)), HvStatus::kSuccess);
  }
  EXPECT_FALSE(synic.has_room(kSint2));
  EXPECT_EQ(synic.deliver(kSint2, message(99)), HvStatus::kInsufficientBuffers);
  for (unsigned i = 1; i <= room; ++i) EXPECT_EQ(number_of(synic.take_message(kSint2)), i);
  EXPECT_EQ(synic.deliver(kSint2, message(99)), HvStatus::kSuccess);
  EXPECT_EQ(number_of(synic.take_message(kSint2)), 99U);
}

TEST(SynicMessages, AreDroppedWhereTheyMayNotWait) {
  Synic synic(1);
  EXPECT_EQ(synic.deliver_or_drop(kSint5, message(1)), HvStatus::kSuccess);
  EXPECT_EQ(synic.deliver_or_drop(kSint5, message(2)), HvStatus::kInsufficientBuffers);
  EXPECT_EQ(number_of(synic.take_message(kSint5)), 1U);
  EXPECT_FALSE(synic.has_message(kSint5));
}

TEST(SynicMessages, NeedATargetThatIsThere) {
  Synic synic(1);
  const SintTarget no_vp{.vp = proto::VpIndex{1}};
  const SintTarget no_sint{.vp = proto::VpIndex{0}, .sint = 16};
  EXPECT_EQ(synic.deliver(no_vp, message(1)), HvStatus::kInvalidVpIndex);
  EXPECT_EQ(synic.deliver_or_drop(no_vp, message(1)), HvStatus::kInvalidVpIndex);
  EXPECT_EQ(synic.deliver(no_sint, message(1)), HvStatus::kInvalidParameter);
}

TEST(SynicPost, ArrivesWithItsConnection) {
  Synic synic(1);
  EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, message(1)), HvStatus::kSuccess);
  EXPECT_EQ(synic.post_message(ConnectionId{4}, kChannelMessage, message(2)), HvStatus::kSuccess);
  EXPECT_EQ(synic.next_posted()->connection, ConnectionId{1});
  const auto second = synic.next_posted();
  EXPECT_EQ(second->connection, ConnectionId{4});
  EXPECT_EQ(number_of(second->message), 2U);
  EXPECT_FALSE(synic.next_posted().has_value());
}

// Row 183: above 240 bytes, and message types that are none
TEST(SynicPost, RefusesWhatIsNoMessage) {
  Synic synic(1);
  const std::vector<std::byte> longest(240);
  const std::vector<std::byte> too_long(241);
  EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, longest), HvStatus::kSuccess);
  EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, too_long),
            HvStatus::kInvalidParameter);
  EXPECT_EQ(synic.deliver(kSint2, too_long), HvStatus::kInvalidParameter);
  EXPECT_EQ(synic.post_message(ConnectionId{1}, 0, message(1)), HvStatus::kInvalidParameter);
  EXPECT_EQ(synic.post_message(ConnectionId{1}, 0x8000'0001, message(1)),
            HvStatus::kInvalidParameter);
}

// Row 184: insufficient buffers after 64, and room again when one is read
TEST(SynicPost, SaysThatTheReceiverIsFull) {
  Synic synic(1);
  for (int i = 0; i < 64; ++i) {
    EXPECT_TRUE(synic.has_post_room());
    EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, message(1)), HvStatus::kSuccess);
  }
  EXPECT_FALSE(synic.has_post_room());
  EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, message(1)),
            HvStatus::kInsufficientBuffers);
  synic.next_posted();
  EXPECT_EQ(synic.post_message(ConnectionId{1}, kChannelMessage, message(1)), HvStatus::kSuccess);
}

// Row 185: unknown connections, and connections of the other kind
TEST(SynicPost, RefusesConnectionsThatAreNotForMessages) {
  Synic synic(1);
  ASSERT_TRUE(synic.connect_event_port(ConnectionId{0x2001}, Relid{1}));
  const auto post = [&](std::uint32_t connection) {
    return synic.post_message(ConnectionId{connection}, kChannelMessage, message(1));
  };
  EXPECT_EQ(post(3), HvStatus::kInvalidConnectionId);
  EXPECT_EQ(post(0x2002), HvStatus::kInvalidConnectionId);
  EXPECT_EQ(post(2), HvStatus::kInvalidPortId);
  EXPECT_EQ(post(0x2001), HvStatus::kInvalidPortId);
  EXPECT_EQ(synic.signal_event(ConnectionId{1}, 0), HvStatus::kInvalidPortId);
  EXPECT_EQ(synic.signal_event(ConnectionId{0x2002}, 0), HvStatus::kInvalidConnectionId);
}

TEST(SynicSignals, CountForTheirChannelOnce) {
  Synic synic(1);
  ASSERT_TRUE(synic.connect_event_port(ConnectionId{0x2005}, Relid{5}));
  EXPECT_FALSE(synic.has_signals());
  EXPECT_EQ(synic.signal_event(ConnectionId{0x2005}, 0), HvStatus::kSuccess);
  EXPECT_EQ(synic.signal_event(ConnectionId{0x2005}, 0), HvStatus::kSuccess);
  EXPECT_EQ(synic.signal_event(ConnectionId{0x2005}, 1), HvStatus::kInvalidParameter);
  EXPECT_TRUE(synic.has_signals());
  EXPECT_EQ(synic.take_signals(), std::vector{Relid{5}});
  EXPECT_FALSE(synic.has_signals());
}

TEST(SynicSignals, NeedAConnectionOfTheirOwn) {
  Synic synic(1);
  ASSERT_TRUE(synic.connect_event_port(ConnectionId{0x2005}, Relid{5}));
  EXPECT_FALSE(synic.connect_event_port(ConnectionId{0x2005}, Relid{6}));
  for (const std::uint32_t fixed : {1U, 2U, 4U}) {
    EXPECT_FALSE(synic.connect_event_port(ConnectionId{fixed}, Relid{6}));
  }
  synic.disconnect_event_port(ConnectionId{0x2005});
  EXPECT_EQ(synic.signal_event(ConnectionId{0x2005}, 0), HvStatus::kInvalidConnectionId);
  EXPECT_TRUE(synic.connect_event_port(ConnectionId{0x2005}, Relid{6}));
}

// Row 181: flags are found once, then clear
TEST(SynicFlags, AreFoundOnce) {
  Synic synic(1);
  synic.set_event_flag(kSint2, EventFlag{500});
  synic.set_event_flag(kSint2, EventFlag{5});
  synic.set_event_flag(kSint5, EventFlag{7});
  const std::vector expected{EventFlag{5}, EventFlag{500}};
  EXPECT_EQ(synic.take_event_flags(kSint2), expected);
  EXPECT_TRUE(synic.take_event_flags(kSint2).empty());
  EXPECT_EQ(synic.take_event_flags(kSint5), std::vector{EventFlag{7}});
}

// Row 182: no second interrupt before the flag is taken
TEST(SynicFlags, RaiseOneInterruptUntilTaken) {
  Synic synic(1);
  EXPECT_TRUE(synic.set_event_flag(kSint2, EventFlag{5}));
  EXPECT_FALSE(synic.set_event_flag(kSint2, EventFlag{5}));
  EXPECT_TRUE(synic.interrupt_raised(kSint2));
  synic.take_event_flags(kSint2);
  EXPECT_FALSE(synic.interrupt_raised(kSint2));
  EXPECT_TRUE(synic.set_event_flag(kSint2, EventFlag{5}));
}

}  // namespace
}  // namespace vmbus::emu
