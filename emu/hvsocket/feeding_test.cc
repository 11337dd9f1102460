// Feeds, the daemon's side: to whom it gives which end, and what a feeder who died leaves behind.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

#include "emu/hvsocket/lane_end.h"
#include "emu/undertaker.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using ring::SharedCell;

constexpr std::uint32_t kPort = 6000;
constexpr std::uint32_t kPacketBytes = 4088;
constexpr std::uint32_t kDeadClient = 7;  // no client is there at all

class FeedingTest : public testing::Test {
 protected:
  explicit FeedingTest(const std::string& quirks = "") {
    bus_.sockets().set_undertaker(undertaker_);
    connect("host", quirks);
  }

  // The host's end is the one to be fed; its programs work rings.
  void connect(const std::string& listens, const std::string& quirks) {
    TestSocket server = bus_.socket(listens, proto::kFamilyVsock, "default", quirks);
    server.state().works_rings = true;
    EXPECT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
    EXPECT_EQ(server.listen(), 0);
    ends_.emplace(bus_.connect_pair(bus_.socket("guest"), server, vsock(kHostCid, kPort)));
    bus_.settle();
  }
  TestSocket& guest() { return ends_->first; }
  TestSocket& host() { return ends_->second; }
  proto::Lane& host_lane() {
    const LaneEnd& end = *host().state().lane;
    return end.memory().lanes().lane(end.index());
  }
  int refusal() {
    const auto feed = bus_.sockets().feed(guest().state());
    return feed ? 0 : feed.error();
  }

  // A program takes the host's gate for the packet that the guest is about to write, gets as far as the
  // mark, and dies.
  void die_feeding(std::string_view in_carrier) {
    SharedCell(host_lane().in_gate)
        .store_seq_cst(std::uint64_t{host().state().lane->generation()} << 32 | kDeadClient);
    SharedCell(host_lane().fed)
        .store_seq_cst(proto::fed_at(proto::load_position(host_lane()).index));
    SharedCell(host_lane().in_flags).fetch_or(proto::kLaneCarrierHolds);
    ASSERT_EQ(::send(host().state().b.get(), in_carrier.data(), in_carrier.size(), MSG_DONTWAIT),
              static_cast<ssize_t>(in_carrier.size()));
  }

  Undertaker undertaker_ = Undertaker::start();
  TestBus bus_;
  std::optional<std::pair<TestSocket, TestSocket>> ends_;
};

TEST_F(FeedingTest, AFeedIsThePeersEndAndNamesItsGates) {
  const auto feed = bus_.sockets().feed(guest().state());
  ASSERT_TRUE(feed.has_value());
  EXPECT_EQ(feed->generation, host().state().lane->generation());
  EXPECT_EQ(feed->generation, SharedCell(host_lane().in_gate).load_seq_cst() >> 32);
  ASSERT_EQ(::send(feed->b.get(), "fed", 3, MSG_DONTWAIT), 3);
  EXPECT_EQ(host().recv(), "fed");
  EXPECT_EQ(bus_.counters().value(Counter::kFeedsGiven), 1U);
}

TEST_F(FeedingTest, TheConnectionWorksOnWithOrWithoutTheFeed) {
  std::optional<Sockets::Feed> feed;
  if (auto given = bus_.sockets().feed(guest().state())) feed = std::move(*given);
  ASSERT_TRUE(feed.has_value());
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(guest().send("there"), 5U);
    EXPECT_EQ(host().recv(), "there");
    ASSERT_EQ(host().send("and back"), 8U);
    EXPECT_EQ(guest().recv(), "and back");
  }
  feed.reset();
  ASSERT_EQ(guest().send("still"), 5U);
  EXPECT_EQ(host().recv(), "still");
}

// The daemon asks for OUT edges only while it has to.
TEST_F(FeedingTest, AFullCarrierIsGoneOnWithOnceThereIsRoom) {
  ASSERT_EQ(refusal(), 0);
  EXPECT_FALSE(host().state().watches_room);
  const std::string block(60'000, 'x');
  std::size_t sent = 0;
  for (int round = 0; round < 20; ++round) {
    sent += guest().send(block);
    bus_.settle();
  }
  EXPECT_FALSE(host().state().b_writable);
  EXPECT_TRUE(host().state().watches_room);
  std::size_t received = 0;
  bus_.settle_until([&] { return (received += host().recv().size()) == sent; });
  EXPECT_FALSE(host().state().watches_room);
}

TEST_F(FeedingTest, NoUndertakerNoFeed) {
  Undertaker none;
  bus_.sockets().set_undertaker(none);
  EXPECT_EQ(refusal(), ENOTSUP);
  bus_.sockets().set_undertaker(undertaker_);
  EXPECT_EQ(refusal(), 0);
}

TEST_F(FeedingTest, NoneOfAPeerThatWorksNoRings) {
  host().state().works_rings = false;
  EXPECT_EQ(refusal(), ENOTSUP);
}

TEST_F(FeedingTest, NoneOfAPeerThatReadsNoMore) {
  EXPECT_EQ(host().shutdown(SHUT_RD), 0);
  bus_.settle();
  EXPECT_EQ(refusal(), ENOTSUP);
}

TEST_F(FeedingTest, NoneOfAnEndThatWasTold) {
  EXPECT_EQ(guest().shutdown(SHUT_WR), 0);
  bus_.settle();
  EXPECT_EQ(refusal(), ENOTSUP);
}

TEST_F(FeedingTest, NoneOfAPeerThatIsGone) {
  host().close();
  bus_.settle();
  EXPECT_EQ(refusal(), ENOTSUP);
}

TEST_F(FeedingTest, NoneWithoutALane) {
  ASSERT_TRUE(bus_.sockets().close_lane(guest().state(), false));
  EXPECT_EQ(refusal(), ENOTSUP);
}

TEST_F(FeedingTest, NoneOfASocketThatIsNotConnected) {
  TestSocket fresh = bus_.socket("guest");
  EXPECT_FALSE(bus_.sockets().feed(fresh.state()).has_value());
}

class StrictFeedingTest : public FeedingTest {
 protected:
  StrictFeedingTest() : FeedingTest("room=ring") {}
};

TEST_F(StrictFeedingTest, NoneOfAPeerThatIsShownItsPackets) { EXPECT_EQ(refusal(), ENOTSUP); }

// ---- a feeder who died ----------------------------------------------------------------------------

TEST_F(FeedingTest, APacketThatADeadFeederSentComesOnce) {
  ASSERT_NO_FATAL_FAILURE(die_feeding("packet"));
  ASSERT_EQ(guest().send("packet"), 6U);
  bus_.settle();
  EXPECT_EQ(host_lane().fed, 0U);
  ASSERT_EQ(guest().send(", and the next"), 14U);
  EXPECT_EQ(host().recv(), "packet, and the next");
}

TEST_F(FeedingTest, APacketThatADeadFeederDidNotSendComesOnceToo) {
  ASSERT_NO_FATAL_FAILURE(die_feeding(""));
  ASSERT_EQ(guest().send("packet"), 6U);
  bus_.settle();
  EXPECT_EQ(host_lane().fed, 0U);
  EXPECT_EQ(host().recv(), "packet");
}

// It had stored the position already.
TEST_F(FeedingTest, AMarkOfAnEarlierPacketMeansNothing) {
  ASSERT_NO_FATAL_FAILURE(die_feeding("old"));
  SharedCell(host_lane().fed)
      .store_seq_cst(proto::fed_at(proto::load_position(host_lane()).index + 8));
  ASSERT_EQ(guest().send("new"), 3U);
  bus_.settle();
  EXPECT_EQ(host_lane().fed, 0U);
  EXPECT_EQ(host().recv(), "oldnew");
}

TEST_F(FeedingTest, ARingThatGoesAwayIsRescuedWithoutWhatWasFed) {
  ASSERT_NO_FATAL_FAILURE(die_feeding("packet"));
  // Not pumped, as if the daemon had not come to it.
  auto writer = ring::PipeWriter::resume(guest().state().stream->out.memory());
  ASSERT_TRUE(writer.ok());
  const std::string text = "packet";
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(text)), kPacketBytes).ok());
  static_cast<void>(writer->commit());
  bus_.sockets().detach(host().state(), false);
  bus_.settle();
  EXPECT_EQ(host().recv(), "packet");
}

}  // namespace
}  // namespace vmbus::emu
