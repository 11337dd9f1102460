// HostHalf: GPADLs.
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

#include "emu/control/host_half.h"
#include "tests/support/test_guest.h"

namespace vmbus::emu {
namespace {

using proto::GpadlId;
using proto::Relid;

constexpr GpadlId kFirst{0xE1E10};

class HostGpadl : public ::testing::Test {
 protected:
  void SetUp() override {
    guest.connect();
    relid = guest.be_offered();
  }
  void expect_created(bool ok, Relid channel, GpadlId id) {
    const auto created = guest.expect_message<proto::GpadlCreated>();
    EXPECT_EQ(created.relid, channel);
    EXPECT_EQ(created.gpadl_id, id);
    EXPECT_EQ(created.status, ok ? proto::kStatusSuccess : proto::kStatusUnsuccessful);
  }
  void tear_down(GpadlId id) { guest.post(proto::GpadlTeardown{.relid = relid, .gpadl_id = id}); }
  // The messages that carry a range of so many pages.
  static std::vector<proto::EncodedMessage> messages_for(Relid relid, GpadlId id,
                                                         const std::vector<std::uint64_t>& words) {
    std::vector<proto::EncodedMessage> all;
    proto::GpadlMessages messages(relid, id, words, 1);
    while (const auto message = messages.next()) all.push_back(*message);
    return all;
  }

  TestGuest guest;
  Relid relid;
};

// Row 136: created, torn down
TEST_F(HostGpadl, IsCreatedAndTornDown) {
  guest.lend(relid, kFirst, TestGuest::range_of(4));
  expect_created(true, relid, kFirst);
  tear_down(kFirst);
  EXPECT_EQ(guest.expect_message<proto::GpadlTorndown>().gpadl_id, kFirst);
  guest.expect_nothing();
  EXPECT_EQ(guest.host.gpadls().size(), 0U);
}

// Row 138: failure, with both ids of the message
TEST_F(HostGpadl, FailsOnAnUnknownChannel) {
  guest.lend(Relid{9}, kFirst, TestGuest::range_of(4));
  guest.expect_reject(ProtocolError::kUnknownChannelId);
  expect_created(false, Relid{9}, kFirst);
}

// Row 139: byte offset 0x1000
TEST_F(HostGpadl, FailsForARangeThatStartsBeyondItsPage) {
  auto words = TestGuest::range_of(4);
  words[0] |= std::uint64_t{0x1000} << 32;
  guest.lend(relid, kFirst, words);
  guest.expect_reject(ProtocolError::kInvalidGpaRange);
  expect_created(false, relid, kFirst);
}

TEST_F(HostGpadl, FailsForAPageOutsideOfTheMemory) {
  guest.lend(relid, kFirst, TestGuest::range_of(4, 1021));
  guest.expect_reject(ProtocolError::kInvalidGpaRange);
  expect_created(false, relid, kFirst);
}

// Row 140, 141: nothing after the header, failure after the last body; then the id is free
TEST_F(HostGpadl, FailsForABadRangeInPiecesAfterTheLastPiece) {
  auto words = TestGuest::range_of(60);
  words[0] |= std::uint64_t{0x1000} << 32;
  const auto messages = messages_for(relid, kFirst, words);
  ASSERT_EQ(messages.size(), 3U);
  guest.post_bytes(messages[0].bytes());
  guest.post_bytes(messages[1].bytes());
  guest.expect_nothing();
  guest.post_bytes(messages[2].bytes());
  guest.expect_reject(ProtocolError::kInvalidGpaRange);
  expect_created(false, relid, kFirst);

  guest.lend(relid, kFirst, TestGuest::range_of(60));
  expect_created(true, relid, kFirst);
}

// Row 142: a half-sent GPADL is forgotten with its connection
TEST_F(HostGpadl, HalfSentIsForgottenAtANewContact) {
  const auto messages = messages_for(relid, kFirst, TestGuest::range_of(60));
  guest.post_bytes(messages[0].bytes());
  guest.post(TestGuest::contact_of(proto::ProtocolVersion::kV5_3));
  guest.effects.clear();
  guest.post(proto::RequestOffers{});
  guest.effects.clear();
  relid = guest.be_offered();
  guest.lend(relid, kFirst, TestGuest::range_of(60));
  expect_created(true, relid, kFirst);
}

// Row 143: UnknownGpadlId, no answer
TEST_F(HostGpadl, RefusesABodyForAnUnknownOrCompleteId) {
  const proto::WithTail<proto::GpadlBody> body{.fixed = {.gpadl_id = kFirst}, .tail = {}};
  guest.post(body);
  guest.expect_only_reject(ProtocolError::kUnknownGpadlId);
  guest.lend(relid, kFirst, TestGuest::range_of(4));
  expect_created(true, relid, kFirst);
  guest.post(body);
  guest.expect_only_reject(ProtocolError::kUnknownGpadlId);
}

// Row 144: failure, and the first one stays
TEST_F(HostGpadl, RefusesAnIdTwice) {
  guest.lend(relid, kFirst, TestGuest::range_of(4));
  expect_created(true, relid, kFirst);
  guest.lend(relid, kFirst, TestGuest::range_of(5));
  guest.expect_reject(ProtocolError::kDuplicateGpadlId);
  expect_created(false, relid, kFirst);
  EXPECT_EQ(guest.host.gpadls().find_accepted(relid, kFirst)->words().size(), 5U);
}

// Row 145: the same id on two channels, once complete
TEST_F(HostGpadl, MayShareItsIdWithAnotherChannelOnceComplete) {
  const Relid other = guest.be_offered(2);
  const auto messages = messages_for(relid, kFirst, TestGuest::range_of(60));
  guest.post_bytes(messages[0].bytes());
  guest.lend(other, kFirst, TestGuest::range_of(4));
  guest.expect_reject(ProtocolError::kDuplicateGpadlId);
  expect_created(false, other, kFirst);
  guest.post_bytes(messages[1].bytes());
  guest.post_bytes(messages[2].bytes());
  expect_created(true, relid, kFirst);
  guest.lend(other, kFirst, TestGuest::range_of(4));
  expect_created(true, other, kFirst);
}

// Row 146: data behind the buffer is ignored
TEST_F(HostGpadl, IgnoresSurplusData) {
  auto message = messages_for(relid, kFirst, TestGuest::range_of(4)).front();
  message.size = proto::kMaxMessageBytes;
  guest.post_bytes(message.bytes());
  expect_created(true, relid, kFirst);
  EXPECT_EQ(guest.host.gpadls().find_accepted(relid, kFirst)->words().size(), 5U);
}

TEST_F(HostGpadl, MayBeEmpty) {
  guest.lend(relid, kFirst, {}, 0);
  expect_created(true, relid, kFirst);
}

TEST_F(HostGpadl, AreBoundedInNumber) {
  std::uint32_t created = 0;
  const auto words = TestGuest::range_of(1000);
  const auto messages = messages_for(relid, kFirst, words);
  // Headers alone already cost their whole buffer.
  for (std::uint32_t id = 0; guest.effects.empty(); ++id, ++created) {
    proto::EncodedMessage header = messages.front();
    header.storage[12] = static_cast<std::byte>(id);
    header.storage[13] = static_cast<std::byte>(id >> 8);
    guest.post_bytes(header.bytes());
  }
  guest.expect_reject(ProtocolError::kTooManyGpadls);
  EXPECT_FALSE(guest.expect_message<proto::GpadlCreated>().status.ok());
  EXPECT_EQ(created, GpadlTable::kMaxWords / (1001 + GpadlTable::kWordsOfBookkeeping) + 1);
}

// Row 148: one TORNDOWN; while it is due, another teardown is refused
TEST_F(HostGpadl, RefusesASecondTeardown) {
  guest.open(relid);
  tear_down(kFirst);
  guest.expect_nothing();
  tear_down(kFirst);
  guest.expect_only_reject(ProtocolError::kInvalidGpadlState);
  guest.post(proto::CloseChannel{.relid = relid});
  guest.expect<CloseDevice>();
  EXPECT_TRUE(guest.host.complete_close(relid, guest.effects).has_value());
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  EXPECT_EQ(guest.expect_message<proto::GpadlTorndown>().gpadl_id, kFirst);
  tear_down(kFirst);
  guest.expect_only_reject(ProtocolError::kUnknownGpadlId);
}

// Row 149: incomplete is no state for a teardown
TEST_F(HostGpadl, RefusesATeardownBeforeItIsComplete) {
  guest.post_bytes(messages_for(relid, kFirst, TestGuest::range_of(60)).front().bytes());
  tear_down(kFirst);
  guest.expect_only_reject(ProtocolError::kInvalidGpadlState);
}

// Row 150: on a rescinded channel, without the device
TEST_F(HostGpadl, IsCreatedAndTornDownOnARescindedChannel) {
  EXPECT_TRUE(guest.host.rescind(relid, guest.effects).has_value());
  guest.expect_message<proto::RescindChannelOffer>();
  guest.lend(relid, kFirst, TestGuest::range_of(4));
  expect_created(true, relid, kFirst);
  tear_down(kFirst);
  guest.expect_message<proto::GpadlTorndown>();
  guest.expect_nothing();
}

TEST_F(HostGpadl, IsTornDownBeforeTheRescind) {
  guest.open(relid);
  tear_down(kFirst);
  EXPECT_TRUE(guest.host.rescind(relid, guest.effects).has_value());
  guest.expect<DisconnectSignals>();
  guest.expect<UnmapRings>();
  guest.expect_message<proto::GpadlTorndown>();
  guest.expect_message<proto::RescindChannelOffer>();
  guest.expect_nothing();
}

// Row 152: two ranges, offset 1, rings of the wrong size; no GPADL at all
TEST_F(HostGpadl, FailsTheOpenWhenItIsNoPairOfRings) {
  auto two_ranges = TestGuest::range_of(4);
  two_ranges.insert(two_ranges.end(), two_ranges.begin(), two_ranges.begin() + 5);
  auto at_offset = TestGuest::range_of(4);
  at_offset[0] = (std::uint64_t{1} << 32) | (4 * proto::kPageBytes - 1);
  guest.lend(relid, GpadlId{1}, two_ranges, 2);
  guest.lend(relid, GpadlId{2}, at_offset);
  guest.lend(relid, GpadlId{3}, TestGuest::range_of(4));
  for (const std::uint32_t id : {1U, 2U, 3U}) expect_created(true, relid, GpadlId{id});

  const auto fails = [&](std::uint32_t gpadl, std::uint32_t downstream) {
    proto::OpenChannel open = TestGuest::open_of(relid, GpadlId{gpadl});
    open.downstream_page_offset = downstream;
    guest.post(open);
    guest.expect_reject(ProtocolError::kBadRings);
    EXPECT_EQ(guest.expect_message<proto::OpenChannelResult>().status, proto::kStatusUnsuccessful);
    guest.expect_nothing();
  };
  fails(1, 2);
  fails(2, 2);
  fails(3, 0);
  fails(3, 4);
  fails(3, 1);  // a control page without data
  fails(4, 2);  // no such GPADL
}

// ---- what is kept of one --------------------------------------------------------------------------

// Consecutive or not, in any order, the same word again, and past the largest number.
TEST(PackedGpadl, HasTheWordsItWasGiven) {
  const std::vector<std::uint64_t> head{0x3000};
  std::vector<std::uint64_t> consecutive(head);
  for (std::uint64_t pfn = 70; pfn < 199; ++pfn) consecutive.push_back(pfn);
  for (const auto& words : {consecutive,
                            {0x3000, 7, 8, 9, 100, 101, 4, 4, 4, 5, UINT64_MAX, 0, 1},
                            {0x3000, 9, 8, 7},
                            head,
                            {}}) {
    Gpadl gpadl(static_cast<std::uint16_t>(words.size() * sizeof(std::uint64_t)), 1);
    gpadl.append(std::as_bytes(std::span(words)));
    ASSERT_TRUE(gpadl.has_all_words());
    EXPECT_EQ(gpadl.words(), words);
    gpadl.pack();
    EXPECT_EQ(gpadl.words(), words);
    EXPECT_EQ(gpadl.word_count(), words.size());
    EXPECT_TRUE(gpadl.has_all_words());
  }
}

}  // namespace
}  // namespace vmbus::emu
