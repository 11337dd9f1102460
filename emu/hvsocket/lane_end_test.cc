// LaneEnd: who is woken when the carrier has news, there is room, or the connection ends.
#include "emu/hvsocket/lane_end.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "tests/support/test_bus.h"
#include "tests/support/thread_state.h"

namespace vmbus::emu {
namespace {

using ring::SharedCell;

constexpr std::uint32_t kPort = 6000;

// A thread that sleeps on a word while it has a value, as a program does (shim/lane_sleep.cc).
class Sleeper {
 public:
  Sleeper(std::uint32_t& word, std::uint32_t value)
      : thread_([this, &word, value] {
          id_ = static_cast<pid_t>(::syscall(SYS_gettid));
          const timespec limit{60, 0};
          const long slept = ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
          was_woken_ = slept == 0;
        }) {
    while (!is_asleep()) std::this_thread::yield();
  }
  ~Sleeper() {
    if (thread_.joinable()) thread_.join();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  bool was_woken() {
    thread_.join();
    return was_woken_;
  }

 private:
  bool is_asleep() const { return id_ != 0 && state_of_thread(id_) == 'S'; }

  std::atomic<pid_t> id_{0};
  std::atomic<bool> was_woken_{false};
  std::thread thread_;
};

class LaneEndTest : public testing::Test {
 protected:
  // The watch that lanes are born with is over.
  LaneEndTest() : ends_(connect()) {
    bus.settle_until([this] {
      return !guest().state().lane->is_watched() && !host().state().lane->is_watched();
    });
  }

  std::pair<TestSocket, TestSocket> connect(const std::string& guest_quirks = "") {
    TestSocket server = bus.socket("host");
    EXPECT_EQ(server.bind(vsock(kHostCid, kPort)), 0);
    EXPECT_EQ(server.listen(), 0);
    TestSocket client = bus.socket("guest", proto::kFamilyVsock, "default", guest_quirks);
    return bus.connect_pair(std::move(client), server, vsock(kHostCid, kPort));
  }
  TestSocket& guest() { return ends_.first; }
  TestSocket& host() { return ends_.second; }
  static proto::Lane& lane(const TestSocket& socket) {
    const LaneEnd& end = *socket.state().lane;
    return end.memory().lanes().lane(end.index());
  }
  static std::uint32_t generation(const TestSocket& socket) {
    return static_cast<std::uint32_t>(lane(socket).in_gate >> 32);
  }
  // As a program that is about to sleep; it is not there to be woken.
  static void register_sleepers(const TestSocket& socket) {
    SharedCell(lane(socket).sleepers).store_seq_cst(generation(socket));
    SharedCell(lane(socket).out_sleepers).store_seq_cst(generation(socket));
  }
  static bool ended(const proto::Lane& lane) {
    return (SharedCell(lane.in_flags).load_seq_cst() & proto::kLaneEnded) != 0;
  }

  TestBus bus;
  std::pair<TestSocket, TestSocket> ends_;
};

TEST_F(LaneEndTest, WakesReadersThatSleep) {
  proto::Lane& shared = lane(guest());
  SharedCell(shared.sleepers).store_seq_cst(generation(guest()));
  Sleeper sleeper(shared.sleepers, generation(guest()));
  guest().state().lane->wake_sleepers();
  EXPECT_TRUE(sleeper.was_woken());
  EXPECT_EQ(shared.sleepers, 0U);
}

TEST_F(LaneEndTest, WakesWritersThatSleep) {
  proto::Lane& shared = lane(guest());
  SharedCell(shared.out_sleepers).store_seq_cst(generation(guest()));
  Sleeper sleeper(shared.out_sleepers, generation(guest()));
  guest().state().lane->wake_writers();
  EXPECT_TRUE(sleeper.was_woken());
  EXPECT_EQ(shared.out_sleepers, 0U);
}

// Who had set about waking took the word away and died before the call.
TEST_F(LaneEndTest, WakesAllWhateverTheirWordsSay) {
  proto::Lane& shared = lane(guest());
  SharedCell(shared.sleepers).store_seq_cst(generation(guest()));
  SharedCell(shared.out_sleepers).store_seq_cst(generation(guest()));
  Sleeper reader(shared.sleepers, generation(guest()));
  Sleeper writer(shared.out_sleepers, generation(guest()));
  SharedCell(shared.sleepers).store_seq_cst(0);
  SharedCell(shared.out_sleepers).store_seq_cst(0);
  bus.sockets().client_gone();
  EXPECT_TRUE(reader.was_woken());
  EXPECT_TRUE(writer.was_woken());
}

TEST_F(LaneEndTest, AnnouncesAnEndBesideOtherFlags) {
  proto::Lane& shared = lane(guest());
  SharedCell(shared.in_flags).store_seq_cst(proto::kLaneCarrierHolds | proto::kLaneWatched);
  guest().state().lane->announce_end();
  EXPECT_EQ(shared.in_flags,
            std::uint32_t{proto::kLaneCarrierHolds | proto::kLaneWatched | proto::kLaneEnded});
}

// ---- who brings news ------------------------------------------------------------------------------

TEST_F(LaneEndTest, BytesInTheCarrierWakeReaders) {
  register_sleepers(guest());
  ASSERT_EQ(host().send("news"), 4U);
  EXPECT_EQ(lane(guest()).sleepers, 0U);
  EXPECT_NE(lane(guest()).in_flags & proto::kLaneCarrierHolds, 0U);
  EXPECT_FALSE(ended(lane(guest())));
}

TEST_F(LaneEndTest, ATurnWithoutNewsLeavesReadersAsleep) {
  register_sleepers(guest());
  bus.sockets().queue(guest().state());
  bus.settle();
  EXPECT_EQ(lane(guest()).sleepers, generation(guest()));
  EXPECT_EQ(lane(guest()).out_sleepers, 0U) << "writers look again after each turn";
}

TEST_F(LaneEndTest, ThePeersEndIsAnnouncedAndWakesReaders) {
  register_sleepers(guest());
  ASSERT_EQ(host().shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_TRUE(ended(lane(guest())));
  EXPECT_EQ(lane(guest()).sleepers, 0U);
}

TEST_F(LaneEndTest, OnesOwnShutRdIsAnnouncedAndWakesReaders) {
  register_sleepers(guest());
  ASSERT_EQ(guest().shutdown(SHUT_RD), 0);
  EXPECT_TRUE(ended(lane(guest())));
  EXPECT_EQ(lane(guest()).sleepers, 0U);
}

TEST_F(LaneEndTest, OnesOwnShutWrWakesWritersAndClosesTheGate) {
  register_sleepers(guest());
  ASSERT_EQ(guest().shutdown(SHUT_WR), 0);
  bus.settle();
  EXPECT_FALSE(ended(lane(guest())));
  EXPECT_EQ(lane(guest()).out_sleepers, 0U);
  EXPECT_EQ(proto::Gate(lane(guest()).out_gate).owner(), proto::kGateClosed);
}

TEST_F(LaneEndTest, AConnectionTornAwayWakesAllAndClosesBothGates) {
  proto::Lane& shared = lane(guest());
  register_sleepers(guest());
  bus.sockets().detach(guest().state(), true);
  EXPECT_EQ(shared.sleepers, 0U);
  EXPECT_EQ(shared.out_sleepers, 0U);
  EXPECT_EQ(proto::Gate(shared.in_gate).owner(), proto::kGateClosed);
  EXPECT_EQ(proto::Gate(shared.out_gate).owner(), proto::kGateClosed);
}

// It goes on one day, in the middle of its copy.
TEST_F(LaneEndTest, WhoIsStoppedInATurnKeepsHisRingsAndHisLane) {
  constexpr std::uint32_t kStopped = 7;
  bool is_alive = true;
  bus.sockets().set_is_client([&](std::uint32_t client) { return is_alive && client == kStopped; });
  const GuestMemory& memory = guest().state().lane->memory();
  const std::uint32_t index = guest().state().lane->index();
  const std::byte* control = guest().state().stream->out.memory().control_page();
  const proto::Gate gate(lane(guest()).out_gate);
  ASSERT_EQ(gate.take(generation(guest()), kStopped), proto::GateTaken::kYes);
  bus.sockets().reset_device(bus.guest());
  guest().close();
  host().close();
  bus.settle();
  ASSERT_EQ(gate.owner(), proto::kGateClosed);
  EXPECT_NE(memory.bytes_in_use(), 0U);

  // The relid is used again, and with it the lane's number.
  auto [next_guest, next_host] = connect();
  EXPECT_NE(next_guest.state().stream->out.memory().control_page(), control);
  EXPECT_EQ(next_guest.state().lane, nullptr) << "the pump's alone";
  EXPECT_EQ(next_host.state().lane, nullptr);
  ASSERT_EQ(next_guest.send("news"), 4U);
  EXPECT_EQ(next_host.recv(), "news");
  next_guest.close();
  next_host.close();
  bus.settle();

  is_alive = false;
  bus.sockets().client_gone();
  EXPECT_EQ(memory.bytes_in_use(), 0U);
  auto [last_guest, last_host] = connect();
  ASSERT_NE(last_guest.state().lane, nullptr);
  EXPECT_EQ(last_guest.state().lane->index(), index);
  EXPECT_EQ(last_guest.state().stream->out.memory().control_page(), control);
}

TEST_F(LaneEndTest, AFreshConnectionTakesNothingOver) {
  proto::Lane* shared = &lane(guest());
  for (std::uint32_t* word :
       {&shared->in_flags, &shared->in_turns, &shared->in_error, &shared->sleepers, &shared->shown,
        &shared->fed, &shared->raw, &shared->out_sleepers, &shared->out_error, &shared->cpu,
        &shared->room_wanted}) {
    SharedCell(*word).store_seq_cst(0xFFFF);
  }
  const LaneEnd again(guest().state().lane->memory(), guest().state().lane->index(), 99,
                      *guest().state().stream, guest().state().b.get());
  EXPECT_EQ(shared->shown | shared->fed, 0U);
  EXPECT_EQ(shared->in_flags, proto::kLaneWatched);
  EXPECT_FALSE(again.expects_sends());
  EXPECT_EQ(shared->in_turns | shared->sleepers | shared->out_sleepers | shared->raw | shared->cpu |
                shared->room_wanted | shared->in_error | shared->out_error,
            0U);
}

// ---- room -----------------------------------------------------------------------------------------

// The programs at the other end may work the ring: they tell of room whoever waits for it.
TEST_F(LaneEndTest, RoomIsWantedForAnEndThatIsThePumpsAlone) {
  auto [pumped, worked] = connect("low-water-poll=on");
  ASSERT_EQ(pumped.state().lane, nullptr);
  ASSERT_NE(worked.state().lane, nullptr);
  const LaneEnd& end = *worked.state().lane;
  EXPECT_EQ(end.memory().lanes().lane(proto::opposite_lane(end.index())).room_wanted, 1U);

  proto::Lane& shared = lane(guest());
  EXPECT_EQ(shared.room_wanted, 0U);
  bus.sockets().pause_guest(bus.guest());
  ASSERT_EQ(guest().state().lane, nullptr);
  EXPECT_EQ(shared.room_wanted, 1U);
}

// While the daemon looks for room it is to be told of it; afterwards only if it waits.
TEST_F(LaneEndTest, RoomIsWantedByTheDaemonOnlyWhileItKeepsSomething) {
  LaneEnd& end = *guest().state().lane;
  Stream& stream = *guest().state().stream;
  const auto nobody = [](std::uint32_t) { return false; };
  for (const bool keeps : {false, true, false}) {
    ASSERT_EQ(end.begin_out(stream, nobody), Turn::kYes);
    EXPECT_EQ(lane(guest()).room_wanted, 1U);
    end.end_out(stream, keeps, [] { return true; });
    EXPECT_EQ(lane(guest()).room_wanted, keeps ? 1U : 0U);
    EXPECT_EQ(end.expects_sends(), keeps);
  }
}

// ---- watching -------------------------------------------------------------------------------------

// It has left warm: the mask set, the lane watched.
TEST_F(LaneEndTest, TheRingIsLeftToAReaderThatIsAtItUntilItIsQuiet) {
  const ring::RingMemory& ring = host().state().stream->in.memory();
  ring.interrupt_mask().store_seq_cst(1);
  SharedCell(lane(host()).in_flags).fetch_or(proto::kLaneWatched);
  ASSERT_EQ(guest().send("ring"), 4U);
  bus.settle();
  for (int turn = 0; turn < 3; ++turn) {
    bus.sockets().count_signal(host().state());
    bus.settle();
    EXPECT_EQ(host().recv(), "") << "turn " << turn;
  }
  LaneEnd& end = *host().state().lane;
  ASSERT_TRUE(end.memory().lanes().ring(end.index(), proto::Bell::kLook));
  bus.sockets().answer_bells();  // the watch begins, and sees no turns
  bus.settle_until([&] { return host().recv() == "ring"; });
  EXPECT_FALSE(end.is_watched());
}

TEST_F(LaneEndTest, AColdReaderIsBroughtItsBytesThoughItIsStillWatched) {
  SharedCell(lane(host()).in_flags).fetch_or(proto::kLaneWatched);
  ASSERT_EQ(guest().send("carrier"), 7U);
  bus.settle();
  EXPECT_EQ(host().recv(), "carrier");
}

TEST_F(LaneEndTest, IsBornWatchedAndCold) {
  auto [client, server] = connect();
  for (const TestSocket* end : {&client, &server}) {
    EXPECT_EQ(end->state().stream->in.memory().interrupt_mask().load_relaxed(), 0U);
  }
  bus.settle_until(
      [&] { return !client.state().lane->is_watched() && !server.state().lane->is_watched(); });
}

TEST_F(LaneEndTest, IsBusyWhileTurnsAreTaken) {
  LaneEnd& end = *guest().state().lane;
  EXPECT_FALSE(end.is_busy());
  for (int i = 0; i < 3; ++i) {
    ++lane(guest()).in_turns;
    EXPECT_TRUE(end.is_busy()) << i;
  }
  EXPECT_FALSE(end.is_busy()) << "one quiet look is enough for a newcomer";
}

// Sixteen busy looks earn seven quiet ones; then it has to begin anew.
TEST_F(LaneEndTest, WhoHasBeenBusyForLongIsGivenMoreTime) {
  LaneEnd& end = *guest().state().lane;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 16; ++i) {
      ++lane(guest()).in_turns;
      ASSERT_TRUE(end.is_busy()) << i;
    }
    for (int quiet = 1; quiet < 8; ++quiet) EXPECT_TRUE(end.is_busy()) << quiet;
    EXPECT_FALSE(end.is_busy());
  }
  for (int i = 0; i < 15; ++i) {
    ++lane(guest()).in_turns;
    ASSERT_TRUE(end.is_busy()) << i;
  }
  EXPECT_FALSE(end.is_busy()) << "one look less";
}

TEST_F(LaneEndTest, AQuietLookInBetweenDoesNotCount) {
  LaneEnd& end = *guest().state().lane;
  for (int i = 0; i < 16; ++i) {
    ++lane(guest()).in_turns;
    ASSERT_TRUE(end.is_busy());
  }
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(end.is_busy()) << i;
    if (i % 7 == 6) ++lane(guest()).in_turns;
  }
}

}  // namespace
}  // namespace vmbus::emu
