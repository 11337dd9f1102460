// HostSide: a guest of its own making, at the SynIC with bytes in its hand. What Partition's guest
// half never does: old versions, several processors, queues that nobody empties.
#include "emu/host_side.h"

#include <gtest/gtest.h>

#include <bit>

#include "emu/event_flags.h"
#include "tests/support/test_guest.h"
#include "tests/support/test_sockets.h"

namespace vmbus::emu {
namespace {

using enum proto::ProtocolVersion;
using proto::EventFlag;
using proto::ProtocolVersion;
using proto::Relid;

constexpr std::uint32_t kVps = 4;
constexpr std::uint64_t kPages = 64;
constexpr std::uint64_t kInterruptPage = 40;

class HostSideTest : public ::testing::Test {
 protected:
  HostSideTest()
      : partition(*Partition::create(PartitionConfig{}, sockets, sockets, counters, log)),
        memory(*GuestMemory::create(kPages * proto::kPageBytes)),
        synic(kVps),
        crossing("raw", counters, log),
        host({.vp_count = kVps, .memory_pages = kPages}, *partition, synic, *memory, sockets,
             crossing) {}

  void run() {
    while (host.handle_messages()) {
    }
    host.handle_signals();
  }
  void post(const proto::Message& message,
            proto::ConnectionId connection = proto::kMessageConnection) {
    ASSERT_EQ(synic.post_message(connection, kChannelMessage, proto::encode(message).bytes()),
              HvStatus::kSuccess);
    run();
  }
  void connect(ProtocolVersion version) {
    proto::InitiateContact contact = TestGuest::contact_of(version);
    if (proto::has_interrupt_page(version)) {
      contact.target_info =
          std::bit_cast<proto::TargetInfo>(kInterruptPage * std::uint64_t{proto::kPageBytes});
    }
    post(contact);
    post(proto::RequestOffers{});
    drain();
  }
  std::size_t drain(SintTarget target = {}) {
    std::size_t taken = 0;
    for (; synic.take_message(target); ++taken) run();
    return taken;
  }
  // TestSockets answers its own partition; this host side wants the answer here.
  Relid open_channel() {
    const Relid relid = *host.offer(kService, kEndpoint, true);
    run();
    proto::GpadlMessages messages(relid, TestGuest::kRings, words, 1);
    while (const auto message = messages.next()) {
      EXPECT_EQ(synic.post_message(proto::kMessageConnection, kChannelMessage, message->bytes()),
                HvStatus::kSuccess);
    }
    run();
    post(TestGuest::open_of(relid));
    EXPECT_TRUE(host.complete_open(relid, true).has_value());
    run();
    drain();
    sockets.events.clear();
    return relid;
  }
  EventFlags& interrupt_bits(std::size_t offset) {
    const PageRun page{.first = proto::Pfn{kInterruptPage}, .count = 1};
    return *reinterpret_cast<EventFlags*>(memory->at(page) + offset);
  }

  Counters counters;
  MessageLog log;
  TestSockets sockets;
  std::unique_ptr<Partition> partition;
  std::unique_ptr<GuestMemory> memory;
  Synic synic;
  MessageCrossing crossing;
  HostSide host;
  std::vector<std::uint64_t> words = TestGuest::range_of(4);
};

TEST_F(HostSideTest, SignalsThroughTheFlagOfTheChannel) {
  connect(kV2_4);
  const Relid relid = open_channel();
  host.signal(relid);
  EXPECT_EQ(synic.take_event_flags({}), std::vector{EventFlag{1}});
  EXPECT_EQ(synic.signal_event(proto::event_connection(relid), 0), HvStatus::kSuccess);
  run();
  EXPECT_EQ(sockets.events, std::vector<std::string>{"host_signal 1"});
}

TEST_F(HostSideTest, SignalsThroughTheInterruptPageBefore2_4) {
  for (const ProtocolVersion version : {kV0_13, kV1_1}) {
    SCOPED_TRACE(proto::version_name(version));
    connect(version);
    const Relid relid = open_channel();
    host.signal(relid);
    EXPECT_EQ(synic.take_event_flags({}), std::vector{EventFlag{0}});
    std::vector<std::size_t> found;
    take_flags(interrupt_bits(0), [&](std::size_t bit) { found.push_back(bit); });
    EXPECT_EQ(found, std::vector<std::size_t>{relid.value});

    set_flag(interrupt_bits(2048), relid.value);
    set_flag(interrupt_bits(2048), 99);  // no such channel
    EXPECT_EQ(synic.signal_event(proto::kSharedEventConnection, 0), HvStatus::kSuccess);
    run();
    EXPECT_EQ(sockets.events, std::vector<std::string>{"host_signal 1"});
  }
}

TEST_F(HostSideTest, IgnoresTheSharedConnectionFrom2_4) {
  connect(kV2_4);
  open_channel();
  set_flag(interrupt_bits(2048), 1);
  synic.signal_event(proto::kSharedEventConnection, 0);
  run();
  EXPECT_TRUE(sockets.events.empty());
}

TEST_F(HostSideTest, MovesSignalsToAnotherProcessor) {
  connect(kV5_3);
  const Relid relid = open_channel();
  post(proto::ModifyChannel{.relid = relid, .target_vp = proto::VpIndex{3}});
  host.signal(relid);
  EXPECT_FALSE(synic.interrupt_raised({.vp = proto::VpIndex{0}}) &&
               !synic.take_event_flags({.vp = proto::VpIndex{0}}).empty());
  EXPECT_EQ(synic.take_event_flags({.vp = proto::VpIndex{3}}), std::vector{EventFlag{1}});
}

TEST_F(HostSideTest, SignalsNobodyAfterARescind) {
  connect(kV5_3);
  const Relid relid = open_channel();
  ASSERT_TRUE(host.rescind(relid).has_value());
  run();
  host.signal(relid);
  EXPECT_TRUE(synic.take_event_flags({}).empty());
  EXPECT_EQ(synic.signal_event(proto::event_connection(relid), 0), HvStatus::kInvalidConnectionId);
}

TEST_F(HostSideTest, ReadsNothingWhileItsOutputWaits) {
  connect(kV5_3);
  const std::uint32_t room = 1 + Synic::kSintQueueCapacity;
  for (std::uint32_t i = 0; i <= room; ++i) {  // one more than fits
    ASSERT_TRUE(host.offer(numbered(kService, i), kEndpoint, true).has_value());
  }
  run();
  synic.post_message(proto::kMessageConnection, kChannelMessage,
                     proto::encode(proto::Unload{}).bytes());
  run();
  EXPECT_TRUE(synic.has_posted());
  EXPECT_FALSE(host.has_work());
  EXPECT_TRUE(synic.take_message({}).has_value());
  EXPECT_TRUE(host.has_work());
  run();
  EXPECT_FALSE(synic.has_posted());
  EXPECT_EQ(drain(), room + 1);  // the offers that were left, and UNLOAD_COMPLETE
}

TEST_F(HostSideTest, DropsAnswersToForeignTargetsWhoseSlotIsTaken) {
  proto::InitiateContact foreign = TestGuest::contact_of(kV5_0);
  foreign.target_info.sint = 3;
  post(foreign, proto::kMulticlientMessageConnection);
  post(foreign, proto::kMulticlientMessageConnection);
  foreign.target_vp = proto::VpIndex{77};
  post(foreign, proto::kMulticlientMessageConnection);
  EXPECT_EQ(counters.value(Counter::kMessagesDropped), 2U);
  EXPECT_EQ(counters.value(Counter::kForeignTarget), 3U);
  EXPECT_EQ(drain({.vp = proto::VpIndex{0}, .sint = 3}), 1U);
}

TEST_F(HostSideTest, CountsEachMistakeAndChangesNothing) {
  connect(kV5_3);
  const Relid relid = open_channel();
  post(TestGuest::open_of(relid));
  post(proto::CloseChannel{.relid = Relid{9}});
  post(proto::RequestOffers{});
  EXPECT_EQ(counters.value(Counter::kChannelAlreadyOpen), 1U);
  EXPECT_EQ(counters.value(Counter::kUnknownChannelId), 1U);
  EXPECT_EQ(counters.value(Counter::kOffersAlreadySent), 1U);
  EXPECT_TRUE(host.half().is_open(relid));
}

TEST_F(HostSideTest, GivesTheDeviceScatteredPagesAsOneRange) {
  words = TestGuest::range_of(4);
  words[2] = 30;  // the second page of the guest-to-host ring
  connect(kV5_3);
  open_channel();
  const ChannelRings& rings = sockets.host_rings.at(Relid{1});
  rings.guest_to_host.data[0] = std::byte{7};
  EXPECT_EQ(memory->at({.first = proto::Pfn{30}, .count = 1})[0], std::byte{7});
}

}  // namespace
}  // namespace vmbus::emu
