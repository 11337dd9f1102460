// Sockets that send no more than their rings have room for (quirk `room=ring`): packets are shown in the
// carrier, their room is kept until they are read, and a full ring takes OUT away.
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <string>
#include <vector>

#include "emu/protocol/lane.h"
#include "emu/shown_packet.h"
#include "ringbuf/read_turn.h"
#include "tests/support/test_bus.h"

namespace vmbus::emu {
namespace {

using proto::Gate;
using ring::SharedCell;

constexpr std::uint32_t kPort = 6000;
constexpr std::uint32_t kClient = 7;  // the number of the programs here, as owners of gates

class Room : public testing::Test {
 protected:
  Room() {
    bus.sockets().set_is_client([](std::uint32_t client) { return client == kClient; });
  }

  // The guest dialled. Both ends heed the ring's room, and their programs may work rings.
  std::pair<TestSocket, TestSocket> pair(const std::string& quirks = "room=ring") {
    TestSocket server = socket("host", "room=ring");
    EXPECT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
    EXPECT_EQ(server.listen(), 0);
    return bus.connect_pair(socket("guest", quirks), server, vsock(kHostCid, kPort));
  }
  TestSocket socket(const std::string& partition, const std::string& quirks) {
    TestSocket made = bus.socket(partition, proto::kFamilyVsock, "default", quirks);
    made.state().works_rings = true;
    return made;
  }

  static proto::Lane& lane(const TestSocket& socket) {
    const LaneEnd& end = *socket.state().lane;
    return end.memory().lanes().lane(end.index());
  }
  static bool shows(const TestSocket& socket) {
    return socket.state().lane->shows_packet(socket.state().stream->in.position());
  }
  static const ring::RingMemory& in(const TestSocket& socket) {
    return socket.state().stream->in.memory();
  }
  static std::uint32_t used_bytes(const ring::RingMemory& ring) {
    const auto indices = ring::load_indices(ring);
    EXPECT_TRUE(indices.ok());
    return ring::distance(indices->read_index, indices->write_index, ring.data_bytes());
  }
  static std::uint32_t packets(std::initializer_list<std::uint32_t> payloads) {
    std::uint32_t bytes = 0;
    for (const std::uint32_t payload : payloads) bytes += ring::pipe_packet_bytes(payload);
    return bytes;
  }
  static int unread_bytes(const TestSocket& socket) {
    int bytes = -1;
    EXPECT_EQ(::ioctl(socket.a(), FIONREAD, &bytes), 0);
    return bytes;
  }
  static std::string recv_once(const TestSocket& socket) {
    std::string bytes(65536, '\0');
    const ssize_t length = ::recv(socket.a(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    bytes.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return bytes;
  }
  static bool shows_out(const TestSocket& socket) { return (socket.readiness() & POLLOUT) != 0; }

  // ---- what a program does with hooks (shim/direct*.cc)

  struct Held {
    Held(std::uint64_t& word, std::uint32_t of) : gate(word), generation(of) {
      EXPECT_EQ(gate.take(generation, kClient), proto::GateTaken::kYes);
    }
    ~Held() { gate.give(generation, kClient); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    Gate gate;
    std::uint32_t generation;
  };
  static std::uint32_t generation_of(std::uint64_t gate) {
    return static_cast<std::uint32_t>(gate >> 32);
  }

  void ring(const TestSocket& socket, proto::Bell bell) {
    const LaneEnd& end = *socket.state().lane;
    const std::uint32_t target =
        bell == proto::Bell::kLook ? end.index() : proto::opposite_lane(end.index());
    end.memory().lanes().ring(target, bell);
    bus.sockets().answer_bells();
    bus.settle();
  }

  // One packet: out of the carrier, if it is shown there.
  std::string read_with_hooks(const TestSocket& socket) {
    proto::Lane& shared = lane(socket);
    std::string text(ring::kMaxPipePayloadBytes, '\0');
    bool signal = false;
    {
      const Held held(shared.in_gate, generation_of(shared.in_gate));
      auto turn = ring::ReadTurn::begin(in(socket), proto::load_position(shared));
      EXPECT_TRUE(turn.ok());
      if (shows(socket)) {
        text = recv_once(socket);
        EXPECT_TRUE(turn->skip_packet().ok());
      } else {
        const auto length = turn->read(std::as_writable_bytes(std::span(text)), true);
        EXPECT_TRUE(length.ok());
        text.resize(length.ok() ? *length : 0);
      }
      proto::store_position(shared, turn->position());
      SharedCell(shared.shown).store_seq_cst(0);
      signal = turn->commit();
    }
    if (signal) ring(socket, proto::Bell::kSignal);
    ring(socket, proto::Bell::kLook);
    return text;
  }

  // As much as there is room for; how much that was.
  std::size_t fill_with_hooks(const TestSocket& socket, char letter) {
    proto::Lane& shared = lane(socket);
    bool signal = false;
    std::size_t written = 0;
    {
      const Held held(shared.out_gate, generation_of(shared.out_gate));
      auto writer = ring::PipeWriter::resume(socket.state().stream->out.memory());
      EXPECT_TRUE(writer.ok());
      const std::string all(1 << 20, letter);
      written = *writer->write(std::as_bytes(std::span(all)), 4000);
      signal = writer->commit();
    }
    if (signal) ring(socket, proto::Bell::kSignal);
    bus.settle();
    return written;
  }

  // The ring is full, and A has been told.
  std::size_t fill_and_plug(const TestSocket& socket) {
    const std::size_t filled = fill_with_hooks(socket, 'r');
    EXPECT_GT(filled, 4000U);
    bus.sockets().wait_for_room(socket.state(), socket.a());
    bus.settle();
    EXPECT_TRUE(socket.state().is_plugged);
    EXPECT_FALSE(shows_out(socket));
    return filled;
  }

  static void make_room_behind_plug(const TestSocket& socket) {
    const int room = proto::kSendBufferBytes;
    EXPECT_EQ(::setsockopt(socket.a(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
  }

  // All there is, by hooks, until `bytes` came.
  std::string read_all_with_hooks(const TestSocket& socket, std::size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const std::string packet = read_with_hooks(socket);
      if (packet.empty()) break;
      all += packet;
    }
    return all;
  }

  // Past the hooks, until the stream ends.
  std::string read_to_the_end(const TestSocket& socket) {
    std::string all;
    bus.settle_until([&] {
      while (true) {
        std::string bytes(65536, '\0');
        const ssize_t length = ::recv(socket.a(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (length == 0) return true;
        if (length < 0) return false;
        all.append(bytes, 0, static_cast<std::size_t>(length));
      }
    });
    return all;
  }

  TestBus bus;
};

// ---- shown packets ------------------------------------------------------------------------------

TEST_F(Room, APacketIsShownAndItsRoomKept) {
  auto [guest, host] = pair();
  EXPECT_FALSE(shows(guest));
  ASSERT_EQ(host.send("one"), 3U);
  ASSERT_EQ(host.send("second"), 6U);
  EXPECT_TRUE(shows(guest));
  EXPECT_EQ(unread_bytes(guest), 3) << "one packet alone";
  EXPECT_NE(guest.readiness() & POLLIN, 0);
  EXPECT_EQ(used_bytes(in(guest)), packets({3, 6}));
  EXPECT_EQ(guest.state().bytes_received, 3U);
}

// Whichever of the two rings an end writes.
TEST_F(Room, PacketsWithinAGuestAreNoLargerThanTheGuests) {
  const std::string quirks = "room=ring,packet=100";
  TestSocket server = socket("guest", quirks);
  ASSERT_EQ(server.bind(vsock(kAnyCid, kPort)), 0);
  ASSERT_EQ(server.listen(), 0);
  auto [near, far] = bus.connect_pair(socket("guest", quirks), server, vsock(1, kPort));
  ASSERT_EQ(near.send(std::string(250, 'n')), 250U);
  EXPECT_EQ(used_bytes(in(far)), packets({100, 100, 50}));
  ASSERT_EQ(far.send(std::string(250, 'f')), 250U);
  EXPECT_EQ(used_bytes(in(near)), packets({100, 100, 50}));
}

// Neither turns of the pump nor time take a packet away that nobody has read.
TEST_F(Room, AShownPacketStaysUntilItIsRead) {
  auto [guest, host] = pair();
  ASSERT_EQ(host.send("one"), 3U);
  for (int i = 0; i < 3; ++i) {
    bus.sockets().queue(guest.state());
    bus.settle();
  }
  bool looked = false;  // a few times
  bus.sockets().loop().after(std::chrono::milliseconds(50), [&looked] { looked = true; });
  bus.settle_until([&looked] { return looked; });
  EXPECT_TRUE(shows(guest));
  EXPECT_EQ(unread_bytes(guest), 3);
  EXPECT_EQ(used_bytes(in(guest)), packets({3}));
}

TEST_F(Room, AProgramWithHooksReadsPacketByPacket) {
  auto [guest, host] = pair();
  for (const char* text : {"one", "second", "third"}) host.send(text);
  EXPECT_EQ(read_with_hooks(guest), "one");
  EXPECT_TRUE(shows(guest)) << "the next one";
  EXPECT_EQ(used_bytes(in(guest)), packets({6, 5}));
  EXPECT_EQ(read_with_hooks(guest), "second");
  EXPECT_EQ(read_with_hooks(guest), "third");
  EXPECT_FALSE(shows(guest));
  EXPECT_EQ(used_bytes(in(guest)), 0U);
  EXPECT_FALSE(guest.state().reads_unseen);
  EXPECT_EQ(unread_bytes(guest), 0);
}

TEST_F(Room, AProgramThatReadsPastTheHooksIsNoticedAndThenPumped) {
  auto [guest, host] = pair();
  ASSERT_EQ(host.send("one"), 3U);
  ASSERT_EQ(recv_once(guest), "one");
  bus.settle_until([&] { return !shows(guest); });
  EXPECT_TRUE(guest.state().reads_unseen);
  EXPECT_EQ(used_bytes(in(guest)), 0U);
  ASSERT_EQ(host.send("two"), 3U);
  ASSERT_EQ(host.send("three"), 5U);
  EXPECT_FALSE(shows(guest));
  EXPECT_EQ(unread_bytes(guest), 8);
  EXPECT_EQ(used_bytes(in(guest)), 0U);
  EXPECT_EQ(guest.recv(), "twothree");
}

// Half a packet read is none: nothing of it is shown again.
TEST_F(Room, AHalfReadPacketIsNotRead) {
  auto [guest, host] = pair();
  ASSERT_EQ(host.send("halved"), 6U);
  char byte = 0;
  ASSERT_EQ(::recv(guest.a(), &byte, 1, MSG_DONTWAIT), 1);
  bus.sockets().queue(guest.state());
  bus.settle();
  EXPECT_TRUE(shows(guest));
  EXPECT_EQ(used_bytes(in(guest)), packets({6}));
  EXPECT_EQ(recv_once(guest), "alved");
  bus.settle_until([&] { return !shows(guest); });
  EXPECT_EQ(unread_bytes(guest), 0);
}

TEST_F(Room, WhoReadsPastTheHooksIsPumpedAndGivesAllRoomBack) {
  for (const char* quirks : {"room=ring,credit=gradual", "room=ring,credit=drained"}) {
    auto [guest, host] = pair(quirks);
    host.send("one");
    host.send("second");
    ASSERT_EQ(recv_once(guest), "one");
    bus.settle_until([&, &end = guest] { return unread_bytes(end) == 6; });
    EXPECT_TRUE(guest.state().reads_unseen) << quirks;
    EXPECT_EQ(used_bytes(in(guest)), 0U) << quirks;
    EXPECT_EQ(recv_once(guest), "second");
  }
}

// A carrier with little room takes a packet in pieces; those count as moved.
TEST_F(Room, APacketThatTheCarrierHasNoRoomForComesInPieces) {
  auto [guest, host] = pair();
  const int little = 0;  // the kernel's minimum
  ASSERT_EQ(::setsockopt(guest.state().b.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
  std::string sent;
  for (char letter = 'a'; letter < 'd'; ++letter) sent += std::string(16000, letter);
  ASSERT_EQ(host.send(sent), sent.size());
  host.close();
  EXPECT_EQ(read_to_the_end(guest), sent);
}

TEST_F(Room, TheEndFollowsTheLastPacket) {
  auto [guest, host] = pair();
  host.send("one");
  host.send("two");
  ASSERT_EQ(host.shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_FALSE(guest.state().has(proto::kEndedPeerWrite));
  EXPECT_EQ(read_with_hooks(guest), "one");
  EXPECT_EQ(read_with_hooks(guest), "two");
  EXPECT_TRUE(guest.at_end());
  EXPECT_EQ(guest.send("back"), 4U);
  EXPECT_EQ(host.recv(), "back");
}

TEST_F(Room, APeersCloseNeitherLosesNorDoublesAShownPacket) {
  for (const bool reads_first : {false, true}) {
    auto [guest, host] = pair();
    for (const char* text : {"one", "two", "three"}) host.send(text);
    std::string got = reads_first ? read_with_hooks(guest) : "";
    host.close();
    got += read_to_the_end(guest);
    EXPECT_EQ(got, "onetwothree") << reads_first;
  }
}

// The ring goes away under the shown packet: what it holds behind it is rescued, the packet is not doubled.
TEST_F(Room, AConnectionTornAwayNeitherLosesNorDoublesAShownPacket) {
  auto [guest, host] = pair();
  for (const char* text : {"one", "two", "three"}) host.send(text);
  ASSERT_TRUE(shows(guest));
  bus.sockets().detach(guest.state(), false);
  EXPECT_EQ(read_to_the_end(guest), "onetwothree");
}

TEST_F(Room, AClosedReaderLeavesNothingBehind) {
  auto [guest, host] = pair();
  host.send("never read");
  host.send("nor this");
  ASSERT_TRUE(shows(guest));
  guest.close();
  bus.settle_until([&, &end = host] { return end.state().has(proto::kEndedPeerGone); });
  host.close();
  bus.settle_until([&] { return bus.open_sockets() == 0; });
  EXPECT_EQ(bus.guest().bus().status().channels, 0U);
}

// Bytes that nobody will read are not kept for a reader: the ring fills as on the real bus.
TEST_F(Room, AShutReaderIsShownNothingMore) {
  auto [guest, host] = pair();
  ASSERT_EQ(guest.shutdown(SHUT_RD), 0);
  bus.settle();
  host.send("to nobody");
  EXPECT_FALSE(shows(guest));
  EXPECT_EQ(used_bytes(in(guest)), packets({9}));
}

// ---- nonsense -----------------------------------------------------------------------------------

TEST_F(Room, NonsenseBehindAShownPacketEndsTheConnection) {
  auto [guest, host] = pair();
  host.send("one");
  host.send("two");
  in(guest).store_word(packets({3}), 0);
  ASSERT_EQ(recv_once(guest), "one");
  bus.settle_until([&, &end = guest] { return end.state().has(proto::kEndedReset); });
  EXPECT_EQ(bus.counters().value(Counter::kRingFaults), 1U);
}

// A liar says that a packet is shown where there is none.
TEST_F(Room, APacketShownInAnEmptyRingEndsTheConnection) {
  auto [guest, host] = pair();
  SharedCell(lane(guest).shown).store_seq_cst(1);
  bus.sockets().queue(guest.state());
  bus.settle_until([&, &end = guest] { return end.state().has(proto::kEndedReset); });
}

// ---- room ---------------------------------------------------------------------------------------

TEST_F(Room, AFullRingTakesOutAwayUntilThereIsRoom) {
  auto [guest, host] = pair();
  const std::size_t filled = fill_and_plug(host);
  for (int i = 0; i < 3; ++i) {
    bus.sockets().queue(host.state());
    bus.settle();
  }
  EXPECT_FALSE(shows_out(host));
  EXPECT_FALSE(lane(host).carrier_sends == 0) << "the plug is on its way, so to speak";
  EXPECT_EQ(read_all_with_hooks(guest, filled), std::string(filled, 'r'));
  EXPECT_FALSE(host.state().is_plugged);
  EXPECT_TRUE(shows_out(host));
  EXPECT_FALSE(host.state().lane->expects_sends());
  EXPECT_EQ(host.send("more"), 4U);
  EXPECT_EQ(read_with_hooks(guest), "more");
}

TEST_F(Room, ARingWithRoomTakesNothingAway) {
  auto [guest, host] = pair();
  bus.sockets().wait_for_room(host.state(), host.a());
  bus.settle();
  EXPECT_FALSE(host.state().is_plugged);
  EXPECT_TRUE(shows_out(host));
  EXPECT_FALSE(host.state().lane->expects_sends());
}

TEST_F(Room, AFullRingIsPluggedOnce) {
  auto [guest, host] = pair();
  const std::size_t filled = fill_and_plug(host);
  bus.sockets().wait_for_room(host.state(), host.a());
  bus.settle();
  EXPECT_EQ(read_all_with_hooks(guest, filled), std::string(filled, 'r'));
  EXPECT_TRUE(shows_out(host));
  EXPECT_FALSE(shows(guest)) << "no byte of a second plug arrived";
  EXPECT_EQ(used_bytes(in(guest)), 0U);
}

TEST_F(Room, SocketsThatMayNotSendAreNotPlugged) {
  auto [guest, host] = pair();
  ASSERT_EQ(host.shutdown(SHUT_WR), 0);
  bus.sockets().wait_for_room(host.state(), host.a());
  EXPECT_FALSE(host.state().is_plugged);
  TestSocket fresh = socket("host", "room=ring");
  bus.sockets().wait_for_room(fresh.state(), fresh.a());
  EXPECT_FALSE(fresh.state().is_plugged);
}

TEST_F(Room, NothingPassesThePlug) {
  auto [guest, host] = pair();
  fill_and_plug(host);
  EXPECT_EQ(::send(host.a(), "raw", 3, MSG_DONTWAIT | MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EAGAIN);
}

// But a program may set the carrier's buffer itself, past the hooks.
TEST_F(Room, ARawByteBehindThePlugIsNotLost) {
  auto [guest, host] = pair();
  const std::size_t filled = fill_and_plug(host);
  make_room_behind_plug(host);
  ASSERT_EQ(::send(host.a(), "raw", 3, MSG_DONTWAIT | MSG_NOSIGNAL), 3);
  bus.settle();
  EXPECT_EQ(read_all_with_hooks(guest, filled + 3), std::string(filled, 'r') + "raw");
  EXPECT_TRUE(shows_out(host));
}

TEST_F(Room, ShutWrLiftsThePlugAndTheStreamEndsAfterItsBytes) {
  for (const bool raw : {false, true}) {
    auto [guest, host] = pair();
    const std::size_t filled = fill_and_plug(host);
    const std::string_view behind = raw ? "raw" : "";
    if (raw) make_room_behind_plug(host);
    EXPECT_EQ(host.send(behind), behind.size());
    ASSERT_EQ(host.shutdown(SHUT_WR), 0);
    bus.settle();
    EXPECT_FALSE(host.state().is_plugged);
    EXPECT_EQ(shows_out(host), raw) << "as after any SHUT_WR, with the buffer that it was given";
    EXPECT_EQ(read_to_the_end(guest), std::string(filled, 'r') + std::string(behind));
  }
}

TEST_F(Room, AClosedSocketsPlugIsNoData) {
  for (const bool raw : {false, true}) {
    auto [guest, host] = pair();
    const std::size_t filled = fill_and_plug(host);
    const std::string_view behind = raw ? "raw" : "";
    if (raw) make_room_behind_plug(host);
    EXPECT_EQ(host.send(behind), behind.size());
    host.close();
    EXPECT_EQ(read_to_the_end(guest), std::string(filled, 'r') + std::string(behind));
  }
}

TEST_F(Room, APeerThatGoesLiftsThePlug) {
  auto [guest, host] = pair();
  fill_and_plug(host);
  guest.close();
  bus.settle_until([&, &end = host] { return end.state().has(proto::kEndedPeerGone); });
  bus.settle();
  EXPECT_FALSE(host.state().is_plugged);
}

}  // namespace
}  // namespace vmbus::emu
