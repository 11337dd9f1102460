// Rings at rest give their memory back, and no byte with it.
#include <sys/stat.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "emu/protocol/lane.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kPort = 6100;
constexpr std::size_t kPiece = 32 * 1024;
constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kRingBytes = 64 * 4096;
constexpr milliseconds kLongRest{600'000};  // longer than any test takes
constexpr std::uint32_t kClient = 7;

std::string pattern(std::size_t bytes, std::size_t salt) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) {
    text[i] = static_cast<char>((i * 7 + i / 251 + salt) & 0xFF);
  }
  return text;
}

class IdleRings : public testing::Test {
 protected:
  using Ends = std::pair<TestSocket, TestSocket>;

  Ends connect(const std::string& dialer, const std::string& listener, std::uint32_t cid,
               const std::string& profile = "default") {
    TestSocket server = bus.socket(listener, proto::kFamilyVsock, profile);
    EXPECT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
    EXPECT_EQ(server.listen(), 0);
    return bus.connect_pair(bus.socket(dialer, proto::kFamilyVsock, profile), server,
                            vsock(cid, kPort));
  }
  Ends connect_to_host() { return connect("guest", "host", kHostCid); }

  static std::size_t held(const TestSocket& end) {
    struct stat status {};
    EXPECT_EQ(::fstat(end.state().stream->memory().descriptor(), &status), 0);
    return static_cast<std::size_t>(status.st_blocks) * 512;
  }
  std::uint64_t given_back() { return bus.counters().value(Counter::kRingsGivenBack); }
  void wait_for_given_back(std::uint64_t count) {
    bus.settle_until([&] { return given_back() >= count; });
  }

  static void exchange(TestSocket& from, TestSocket& to, std::size_t bytes, std::size_t salt) {
    const std::string text = pattern(bytes, salt);
    std::string received;
    for (std::size_t at = 0; at < bytes;) {
      at += from.send(std::string_view(text).substr(at, kPiece));
      received += to.recv();
    }
    received += to.recv();
    ASSERT_TRUE(received == text);
  }
  static void exchange_both_ways(Ends& ends, std::size_t bytes, std::size_t salt) {
    exchange(ends.first, ends.second, bytes, salt);
    exchange(ends.second, ends.first, bytes, salt + 1);
  }

  IdleRings() { bus.sockets().set_ring_rest(milliseconds(2)); }

  TestBus bus;
};

TEST_F(IdleRings, GiveAllButTheirControlPagesBackAndGoOn) {
  Ends ends = connect_to_host();
  wait_for_given_back(2);  // of the fresh ones
  const std::size_t fresh = held(ends.first);
  for (std::uint64_t round = 1; round < 4; ++round) {
    exchange_both_ways(ends, kMiB, round);
    wait_for_given_back(2 + 2 * round);
    bus.settle_until([&] { return held(ends.first) == fresh; });
  }
}

TEST_F(IdleRings, OfLoopbackConnectionsDoTheSame) {
  for (const std::string partition : {"guest", "host"}) {
    const std::uint32_t cid = partition == "host" ? kHostCid : proto::kCidLocal.value;
    Ends ends = connect(partition, partition, cid);
    const std::size_t fresh = held(ends.first);
    exchange_both_ways(ends, kMiB, 3);
    bus.settle_until([&] { return held(ends.first) <= fresh; });
    exchange_both_ways(ends, kMiB, 4);
  }
}

// Its sockets have no lanes: the daemon alone is at the ring.
TEST_F(IdleRings, OfTheDaemonAloneDoTheSame) {
  Ends ends = connect("guest", "guest", proto::kCidLocal.value, "virtio");
  ASSERT_EQ(ends.first.state().lane, nullptr);
  const std::size_t fresh = held(ends.first);
  exchange_both_ways(ends, kMiB, 5);
  bus.settle_until([&] { return held(ends.first) <= fresh; });
  exchange_both_ways(ends, kMiB, 6);
}

TEST_F(IdleRings, KeepWhatIsUnread) {
  Ends ends = connect_to_host();
  wait_for_given_back(2);
  bus.sockets().set_ring_rest(kLongRest);
  exchange_both_ways(ends, kMiB, 1);
  const std::string text = pattern(2 * kMiB, 9);
  std::size_t sent = 0;
  for (std::size_t more = 1; more != 0; sent += more) {
    more = ends.first.send(std::string_view(text).substr(sent, kPiece));
  }
  // Room for some free pages in the ring, and much that is not.
  std::string received(kPiece, '\0');
  for (std::size_t at = 0; at < received.size();) {
    const ssize_t count =
        ::recv(ends.second.a(), received.data() + at, received.size() - at, MSG_DONTWAIT);
    ASSERT_GT(count, 0);
    at += static_cast<std::size_t>(count);
  }
  ASSERT_GT(ends.second.state().stream->in.readable_bytes(), kRingBytes / 2);
  const std::size_t full = held(ends.first);
  const std::uint64_t before = given_back();
  bus.sockets().set_ring_rest(milliseconds(0));
  wait_for_given_back(before + 2);
  EXPECT_GE(held(ends.first), kRingBytes / 2);
  EXPECT_LT(held(ends.first), full) << "the other direction's";
  bus.sockets().set_ring_rest(kLongRest);
  bus.sockets().queue(ends.second.state());
  bus.settle();
  EXPECT_TRUE(ends.second.state().stream->in_rest_watched) << "its program may read it any time";
  received += ends.second.recv();
  EXPECT_TRUE(received == text.substr(0, sent));
}

// ---- programs at the gates --------------------------------------------------------------------------

class GateOfIdleRings : public IdleRings {
 protected:
  GateOfIdleRings() : ends_(connect_to_host()) {
    bus.sockets().set_is_client([](std::uint32_t client) { return client == kClient; });
    wait_for_given_back(2);
    bus.sockets().set_ring_rest(kLongRest);
    exchange_both_ways(ends_, kMiB, 1);
  }
  void end_rest() { bus.sockets().set_ring_rest(milliseconds(0)); }
  static proto::Lane& lane(const TestSocket& end) {
    const LaneEnd& hand = *end.state().lane;
    return hand.memory().lanes().lane(hand.index());
  }
  static std::uint32_t generation(const TestSocket& end) {
    return static_cast<std::uint32_t>(lane(end).in_gate >> 32);
  }
  proto::Gate out_gate() { return proto::Gate(lane(ends_.first).out_gate); }
  bool take_out_gate(std::uint32_t client) {
    return out_gate().try_take(generation(ends_.first), client);
  }

  Ends ends_;
};

TEST_F(GateOfIdleRings, AWriterIsNotDisturbedAndNotWaitedFor) {
  const std::uint64_t before = given_back();
  ASSERT_TRUE(take_out_gate(kClient));
  end_rest();
  wait_for_given_back(before + 1);  // the other direction's ring
  bus.settle_until([&] { return (out_gate().low_half() & proto::kGateWanted) != 0; });
  EXPECT_GE(held(ends_.first), kRingBytes - 4096);
  EXPECT_EQ(out_gate().owner(), kClient);
  EXPECT_EQ(given_back(), before + 1);
  out_gate().give(generation(ends_.first), kClient);
  wait_for_given_back(before + 2);
  EXPECT_EQ(out_gate().owner(), proto::kGateFree);
  exchange_both_ways(ends_, kMiB, 2);
}

TEST_F(GateOfIdleRings, AWriterThatDiedAtItIsNoHindrance) {
  const std::uint64_t before = given_back();
  ASSERT_TRUE(take_out_gate(kClient + 1));
  end_rest();
  wait_for_given_back(before + 2);
  exchange_both_ways(ends_, kMiB, 2);
}

// Bytes of its own copy are left alone, whether it copies or not: they are in the used part.
TEST_F(GateOfIdleRings, AReaderIsNotDisturbed) {
  const std::uint64_t before = given_back();
  const proto::Gate gate(lane(ends_.second).in_gate);
  ASSERT_TRUE(gate.try_take(generation(ends_.second), kClient));
  end_rest();
  wait_for_given_back(before + 2);
  EXPECT_EQ(gate.owner(), kClient);
  gate.give(generation(ends_.second), kClient);
  exchange_both_ways(ends_, kMiB, 2);
}

// A program has read a lap of its own accord, and both indices are where they were.
TEST_F(GateOfIdleRings, ALapThatEndsWhereItBeganIsMovement) {
  const Stream& stream = *ends_.second.state().stream;
  end_rest();
  bus.settle_until([&] { return !stream.in_rest_watched; });
  bus.sockets().set_ring_rest(kLongRest);
  bus.sockets().queue(ends_.second.state());
  bus.settle();
  ASSERT_FALSE(stream.in_rest_watched);
  const ring::SharedCell<std::uint64_t> total(lane(ends_.second).bytes_in);
  total.store_relaxed(total.load_relaxed() + kRingBytes);
  bus.sockets().queue(ends_.second.state());
  bus.settle();
  EXPECT_TRUE(stream.in_rest_watched);
}

// ---- when --------------------------------------------------------------------------------------------

TEST_F(IdleRings, AreNotGivenBackTwice) {
  Ends first = connect_to_host();
  wait_for_given_back(2);
  for (int turn = 0; turn < 10; ++turn) {
    bus.sockets().queue(first.first.state());
    bus.sockets().queue(first.second.state());
    bus.settle();
  }
  Ends second = connect("guest", "guest", proto::kCidLocal.value);
  wait_for_given_back(4);  // the second one's, which were looked at later
  EXPECT_EQ(given_back(), 4U);
}

TEST_F(IdleRings, AreLeftAloneBeforeTheirTime) {
  bus.sockets().set_ring_rest(kLongRest);
  Ends ends = connect_to_host();
  exchange_both_ways(ends, kMiB, 1);
  EXPECT_EQ(given_back(), 0U);
  EXPECT_GE(held(ends.first), 2 * kRingBytes - 2 * 4096);
}

// More rings than are dealt with in one go.
TEST_F(IdleRings, OfManyConnectionsAllGoInTheEnd) {
  std::vector<Ends> many;
  for (int i = 0; i < 50; ++i) many.push_back(connect_to_host());
  wait_for_given_back(100);
  const std::size_t fresh = held(many.front().first);
  bus.sockets().set_ring_rest(kLongRest);
  for (Ends& ends : many) exchange_both_ways(ends, 300 * 1024, 1);
  bus.sockets().set_ring_rest(milliseconds(0));  // all are due at once
  bus.settle_until([&] { return held(many.front().first) == fresh; });
  for (Ends& ends : many) exchange_both_ways(ends, 100, 1);
}

// Bursts of any size, with as many turns of the loop between them as it takes to be looked at or not:
// pages come and go under the bytes, some read and some not.
TEST_F(IdleRings, LoseNoByteInBurstsAroundTheirTime) {
  bus.sockets().set_ring_rest(milliseconds(0));
  std::mt19937_64 random(4711);
  for (const bool is_loopback : {false, true}) {
    Ends ends = is_loopback ? connect("guest", "guest", proto::kCidLocal.value) : connect_to_host();
    std::string on_the_way;
    const std::uint64_t before = given_back();
    for (std::size_t burst = 0; burst < 400; ++burst) {
      const std::string text = pattern(random() % (random() % 4 == 0 ? 100'000 : 9'000), burst);
      on_the_way += text.substr(0, ends.first.send(text));
      if (random() % 2 == 0) {
        bus.settle_until([&] { return !ends.second.state().stream->in_rest_watched; });
      }
      if (random() % 3 != 0) continue;
      const std::string received = ends.second.recv();
      ASSERT_TRUE(received == on_the_way) << burst;
      on_the_way.clear();
    }
    EXPECT_GT(given_back(), before + 50);
  }
}

}  // namespace
}  // namespace vmbus::emu
