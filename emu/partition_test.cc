// Partition: both halves at once, over their SynIC.
#include "emu/partition.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "emu/counters.h"
#include "emu/message_log.h"
#include "emu/protocol/message_info.h"
#include "tests/support/test_sockets.h"

namespace vmbus::emu {
namespace {

using proto::Relid;
using Events = std::vector<std::string>;

class PartitionTest : public ::testing::Test {
 protected:
  PartitionTest() { partition = make("guest"); }

  std::unique_ptr<Partition> make(const std::string& name,
                                  std::uint64_t memory_bytes = std::uint64_t{256} << 20,
                                  proto::ProtocolVersion newest = proto::ProtocolVersion::kV5_3) {
    PartitionConfig config;
    config.name = name;
    config.memory_bytes = memory_bytes;
    config.newest = newest;
    auto made = Partition::create(config, sockets, sockets, counters, log);
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }
  void connect() {
    partition->guest_contact();
    partition->run();
    ASSERT_TRUE(partition->status().connected);
    sockets.events.clear();
  }
  Relid dial_from_host(std::uint32_t port = 1) {
    const auto relid = partition->host_offer(port_guid(port), port_guid(port + 70000), true);
    EXPECT_TRUE(relid.has_value());
    partition->run();
    return relid.value_or(Relid{});
  }
  void dial_from_guest(std::uint32_t port = 1) {
    ASSERT_TRUE(partition->guest_tl_connect(port_guid(port + 70000), port_guid(port)));
    partition->run();
  }
  std::vector<std::string> messages() const {
    std::vector<std::string> names;
    for (const MessageLog::Record& record : log.snapshot()) {
      std::uint32_t type = 0;
      std::memcpy(&type, record.payload.data(), sizeof type);
      names.emplace_back(proto::message_name(type));
    }
    return names;
  }

  Counters counters;
  MessageLog log;
  TestSockets sockets;
  std::unique_ptr<Partition> partition;
};

TEST_F(PartitionTest, MakesContactInEachVersionOfTheGuest) {
  for (const auto version : proto::kVersionsNewestFirst) {
    if (version < proto::ProtocolVersion::kV2_4) continue;
    SCOPED_TRACE(proto::version_name(version));
    const auto each = make("old", 1 << 24, version);
    each->guest_contact();
    EXPECT_TRUE(each->has_work());
    each->run();
    EXPECT_FALSE(each->has_work());
    EXPECT_TRUE(each->status().connected);
    EXPECT_EQ(each->status().version, version);
  }
}

TEST_F(PartitionTest, ConnectsAndClosesWithEveryMessageOfTheBook) {
  partition->guest_contact();
  partition->run();
  dial_from_guest();
  ASSERT_TRUE(sockets.guest_open(Relid{1}));
  EXPECT_TRUE(partition->guest_close(Relid{1}).has_value());
  partition->run();
  const std::vector<std::string> expected{
      "INITIATE_CONTACT", "VERSION_RESPONSE", "REQUEST_OFFERS", "ALL_OFFERS_DELIVERED",
      "TL_CONNECT_REQUEST", "OFFER_CHANNEL", "GPADL_HEADER", "GPADL_CREATED", "OPEN_CHANNEL",
      "OPEN_CHANNEL_RESULT", "CLOSE_CHANNEL", "GPADL_TEARDOWN",
      // The service rescinds as soon as it hears of the close.
      "RESCIND_CHANNEL_OFFER", "GPADL_TORNDOWN", "RELID_RELEASED"};
  EXPECT_EQ(messages(), expected);
  EXPECT_EQ(counters.value(Counter::kMessagesGuestToHost), 8U);
  EXPECT_EQ(counters.value(Counter::kMessagesHostToGuest), 7U);
  EXPECT_EQ(partition->status().channels, 0U);
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
}

TEST_F(PartitionTest, AGuestWhoseProcessorsStandStillHandlesNothingAndHoldsUpNobody) {
  connect();
  const Relid open = dial_from_host();
  ASSERT_TRUE(sockets.guest_open(open));
  partition->stop_processors(true);
  sockets.events.clear();
  dial_from_host(2);
  partition->host_signal(open);
  static_cast<void>(partition->host_rescind(open));
  partition->run();
  EXPECT_FALSE(partition->has_work()) << "or its owner would never be done";
  EXPECT_EQ(sockets.events, Events{});
  EXPECT_EQ(messages().back(), "RESCIND_CHANNEL_OFFER") << "it lies in the guest's SynIC";
  partition->stop_processors(false);
  EXPECT_TRUE(partition->has_work());
  partition->run();
  EXPECT_FALSE(sockets.events.empty());
  EXPECT_FALSE(partition->has_work());
}

TEST_F(PartitionTest, LetsTheHostDial) {
  connect();
  const Relid relid = dial_from_host();
  EXPECT_TRUE(sockets.guest_open(relid));
  EXPECT_TRUE(sockets.host_open(relid));
  EXPECT_TRUE(sockets.offers.back().for_guest_accept);
}

TEST_F(PartitionTest, GivesBothEndsTheSameRings) {
  connect();
  const Relid relid = dial_from_host();
  const ChannelRings& host = sockets.host_rings.at(relid);
  const ChannelRings& guest = sockets.guest_rings.at(relid);
  EXPECT_EQ(host.guest_to_host.data.size(), TestSockets::kGuestToHostBytes - proto::kPageBytes);
  EXPECT_EQ(host.host_to_guest.data.size(), TestSockets::kHostToGuestBytes - proto::kPageBytes);
  EXPECT_EQ(guest.guest_to_host.data.size(), host.guest_to_host.data.size());
  guest.guest_to_host.data[904] = std::byte{11};
  guest.host_to_guest.data[904] = std::byte{12};
  guest.host_to_guest.control[12] = std::byte{13};
  EXPECT_EQ(host.guest_to_host.data[904], std::byte{11});
  EXPECT_EQ(host.host_to_guest.data[904], std::byte{12});
  EXPECT_EQ(host.host_to_guest.control[12], std::byte{13});
  EXPECT_EQ(host.guest_to_host.control[12], std::byte{0});
}

TEST_F(PartitionTest, ClearsControlPagesOfReusedRings) {
  connect();
  const auto dirty = [](const ChannelRings& rings) {
    for (const ring::RingPages* ring : {&rings.guest_to_host, &rings.host_to_guest}) {
      std::memset(ring->control, 0xFF, proto::kPageBytes);
      std::memset(ring->data.data(), 0xFF, ring->data.size());
    }
  };
  const auto clean = [](const std::byte* page) {
    return std::all_of(page, page + proto::kPageBytes,
                       [](std::byte b) { return b == std::byte{}; });
  };
  const Relid first = dial_from_host(1);
  const std::byte* before = sockets.guest_rings.at(first).guest_to_host.control;
  dirty(sockets.guest_rings.at(first));
  EXPECT_TRUE(partition->guest_close(first).has_value());
  partition->run();
  const ChannelRings& again = sockets.guest_rings[dial_from_host(2)];
  EXPECT_EQ(again.guest_to_host.control, before);
  EXPECT_TRUE(clean(again.guest_to_host.control));
  EXPECT_TRUE(clean(again.host_to_guest.control));
}

TEST_F(PartitionTest, TellsTheGuestOfARefusedConnect) {
  connect();
  sockets.listening = false;
  dial_from_guest(80);
  EXPECT_EQ(sockets.events, (Events{"tl_connect 80", "connect_result 80"}));
}

TEST_F(PartitionTest, TellsTheHostOfARefusedOffer) {
  connect();
  sockets.accepting = false;
  const Relid relid = dial_from_host();
  EXPECT_EQ(sockets.events, (Events{"offer 1", "released 1"}));
  EXPECT_EQ(partition->host_rescind(relid).error(), BusError::kUnknownChannel);
}

TEST_F(PartitionTest, FailsTheOpenThatTheHostRefuses) {
  connect();
  sockets.host_says_yes = false;
  const Relid relid = dial_from_host();
  EXPECT_EQ(sockets.events, (Events{"offer 1", "open 1", "open_result 1 failed"}));
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
  EXPECT_TRUE(partition->host_rescind(relid).has_value());
  partition->run();
  EXPECT_EQ(sockets.events.back(), "released 1");
}

TEST_F(PartitionTest, KeepsRingsUntilTheHostHasClosed) {
  connect();
  const Relid relid = dial_from_host();
  sockets.finish_closes = false;
  EXPECT_TRUE(partition->guest_close(relid).has_value());
  partition->run();
  EXPECT_EQ(sockets.events.back(), "close 1");
  EXPECT_NE(partition->status().memory_in_use_bytes, 0U);
  sockets.host_rings.at(relid).guest_to_host.data[904] = std::byte{1};  // still mapped
  EXPECT_TRUE(partition->host_complete_close(relid).has_value());
  partition->run();
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
  EXPECT_EQ(partition->status().channels, 1U);  // released behind the rescind
}

TEST_F(PartitionTest, LeavesTheGuestItsRingsAfterARescind) {
  connect();
  const Relid relid = dial_from_host();
  sockets.close_on_rescind = false;
  EXPECT_TRUE(partition->host_rescind(relid).has_value());
  partition->run();
  EXPECT_EQ(sockets.events.back(), "rescind 1");
  EXPECT_NE(partition->status().memory_in_use_bytes, 0U);
  EXPECT_TRUE(partition->guest_close(relid).has_value());
  partition->run();
  EXPECT_EQ(sockets.events.back(), "released 1");
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
}

TEST_F(PartitionTest, SignalsEachChannelOnceATurn) {
  connect();
  const Relid first = dial_from_host(1);
  const Relid second = dial_from_host(2);
  sockets.events.clear();
  for (int i = 0; i < 3; ++i) partition->guest_signal(first);
  for (int i = 0; i < 3; ++i) partition->host_signal(second);
  partition->run();
  EXPECT_EQ(sockets.events, (Events{"host_signal 1", "guest_signal 2"}));
}

TEST_F(PartitionTest, NeverSignalsAChannelThatIsNotOpen) {
  connect();
  sockets.accepting = false;
  partition->host_signal(Relid{1});
  partition->guest_signal(Relid{1});
  partition->host_signal(Relid{4000});
  EXPECT_FALSE(partition->has_work());
}

TEST_F(PartitionTest, SignalsBehindTheOpenResult) {
  connect();
  sockets.signal_at_open = true;
  dial_from_host();
  EXPECT_EQ(sockets.events, (Events{"offer 1", "open 1", "open_result 1", "guest_signal 1"}));
}

TEST_F(PartitionTest, GoesOnWhenItIsRunFromACallback) {
  connect();
  sockets.run_in_callbacks = true;
  const Relid relid = dial_from_host();
  EXPECT_TRUE(sockets.guest_open(relid));
  EXPECT_FALSE(partition->has_work());
}

TEST_F(PartitionTest, AsksForAConnectionFirst) {
  EXPECT_EQ(partition->host_offer({}, {}, true).error(), BusError::kNotConnected);
  EXPECT_EQ(partition->guest_tl_connect({}, {}).error(), BusError::kNotConnected);
  EXPECT_EQ(partition->guest_open(Relid{1}, 8192, 8192).error(), BusError::kNotConnected);
  EXPECT_STREQ(partition->status().connection, "disconnected");
}

TEST_F(PartitionTest, UnloadsWithOpenChannels) {
  connect();
  dial_from_host(1);
  dial_from_host(2);
  sockets.events.clear();
  partition->guest_unload();
  partition->run();
  EXPECT_EQ(sockets.events, (Events{"released 1", "released 2", "unloaded"}));
  EXPECT_EQ(partition->status().channels, 0U);
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
  EXPECT_EQ(partition->host_offer({}, {}, true).error(), BusError::kNotConnected);
  connect();
  EXPECT_TRUE(sockets.guest_open(dial_from_host(3)));
}

TEST_F(PartitionTest, HasRoomFor2047Channels) {
  partition = make("full", std::uint64_t{256} << 20);
  connect();
  for (std::uint32_t i = 1; i <= proto::kMaxRelid.value; ++i) {
    ASSERT_TRUE(sockets.guest_open(dial_from_host(i)));
  }
  EXPECT_EQ(partition->status().channels, 2047U);
  EXPECT_EQ(partition->host_offer(port_guid(9000), {}, true).error(), BusError::kNoRelid);
  EXPECT_TRUE(partition->guest_close(Relid{1000}).has_value());
  partition->run();
  EXPECT_EQ(dial_from_host(9001), Relid{1000});
}

TEST_F(PartitionTest, SaysThatItsMemoryIsFull) {
  partition = make("small", 10 * proto::kPageBytes);
  connect();
  EXPECT_TRUE(
      sockets.guest_open(dial_from_host(1)));  // two control pages, six of data, two between them
  dial_from_host(2);
  EXPECT_EQ(sockets.events.back(), "guest_open 2 failed");
  EXPECT_EQ(sockets.last_error, BusError::kNoMemory);
}

TEST_F(PartitionTest, RefusesRingsThatOneGpadlCannotDescribe) {
  connect();
  sockets.accepting = false;
  sockets.refusing = false;
  const Relid relid = dial_from_host();
  const std::size_t limit = 8190 * proto::kPageBytes;
  EXPECT_EQ(partition->guest_open(relid, limit, 8192).error(), BusError::kNoMemory);
  EXPECT_EQ(partition->guest_open(relid, ~std::size_t{0}, 8192).error(), BusError::kNoMemory);
  EXPECT_TRUE(partition->guest_open(relid, limit - 8192, 8192).has_value());
  partition->run();
  EXPECT_TRUE(sockets.guest_open(relid));
}

// Row 128: more messages than all queues hold, in their order
TEST_F(PartitionTest, KeepsTheOrderOfMoreMessagesThanItsQueuesHold) {
  connect();
  for (std::uint32_t i = 1; i <= 300; ++i) {
    ASSERT_TRUE(partition->host_offer(port_guid(i), port_guid(i + 70000), true).has_value());
  }
  partition->run();
  ASSERT_EQ(sockets.offers.size(), 300U);
  for (std::uint32_t i = 1; i <= 300; ++i) EXPECT_EQ(sockets.offers[i - 1].relid, Relid{i});
  EXPECT_EQ(sockets.guest_rings.size(), 300U);
  EXPECT_GT(counters.value(Counter::kDeliverRetries), 0U);
  EXPECT_EQ(partition->status().channels, 300U);
}

TEST_F(PartitionTest, TriesAgainWhenTheHostsQueueWasFull) {
  connect();
  for (std::uint32_t i = 1; i <= 200; ++i) {
    ASSERT_TRUE(partition->guest_tl_connect(port_guid(i + 70000), port_guid(i)).has_value());
  }
  partition->run();
  EXPECT_EQ(sockets.guest_rings.size(), 200U);
  EXPECT_GT(counters.value(Counter::kPostRetries), 0U);
}

TEST_F(PartitionTest, KeepsGuestsApart) {
  connect();
  const Relid relid = dial_from_host();
  const std::byte* ours = sockets.guest_rings.at(relid).guest_to_host.control;
  const auto other = make("other");
  other->guest_contact();
  other->run();
  ASSERT_TRUE(other->host_offer(port_guid(1), port_guid(2), true).has_value());
  other->run();
  // Its relid 1 is another channel.
  EXPECT_NE(sockets.guest_rings.at(relid).guest_to_host.control, ours);
  other->guest_unload();
  other->run();
  EXPECT_EQ(partition->status().channels, 1U);
}

TEST_F(PartitionTest, SaysWhyItsMemoryCannotBeMade) {
  PartitionConfig config;
  config.memory_bytes = std::uint64_t{1} << 62;
  EXPECT_EQ(Partition::create(config, sockets, sockets, counters, log).error(), ENOMEM);
}

// What /proc says about this process.
struct Footprint {
  std::size_t descriptors = 0;
  std::size_t mappings = 0;  // of guest memory
};
Footprint footprint() {
  Footprint result;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++result.descriptors;
  }
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("vmbus-guest-memory") != std::string::npos) ++result.mappings;
  }
  return result;
}

TEST_F(PartitionTest, IsWhereItWasAfterManyConnections) {
  connect();
  const auto cycle = [&](std::uint32_t port) {
    const Relid relid = dial_from_host(port);
    ASSERT_EQ(relid, Relid{1});
    ASSERT_TRUE(sockets.guest_open(relid));
    ASSERT_TRUE(partition->guest_close(relid).has_value());
    partition->run();
    sockets.forget();
  };
  cycle(1);
  const Footprint before = footprint();
  for (std::uint32_t i = 0; i < VMBUS_TEST_CONNECTIONS; ++i) {
    cycle(1 + i % 50);
    if (HasFatalFailure()) return;
  }
  const Footprint after = footprint();
  EXPECT_EQ(partition->status().memory_in_use_bytes, 0U);
  EXPECT_EQ(partition->status().channels, 0U);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.mappings, before.mappings);
}

}  // namespace
}  // namespace vmbus::emu
