// Lanes (docs/lanes.md) under a scheduler: programs, daemon and rings as they are, in all orders of their steps up
// to a bound.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>

#include "tests/schedule/explore.h"
#include "tests/schedule/lane_program.h"

namespace vmbus::test {
namespace {

constexpr std::size_t kSender = 0;
constexpr std::size_t kReader = 1;
// Two of these fill a ring, all but a few bytes.
constexpr std::size_t kHalfRing = 240;

// Programs of their own, one at each end.
using Body = std::function<void(LaneProgram&)>;
void spawn(LaneWorld& world, const char* name, std::size_t end, std::size_t place, Body body,
           std::uint32_t client) {
  world.spawn(name, [&world, end, place, client, body = std::move(body)] {
    LaneProgram program(world, end, client, place);
    body(program);
  });
}
void spawn_sender(LaneWorld& world, Body body) {
  spawn(world, "sender", kSender, 0, std::move(body), 1);
}
void spawn_reader(LaneWorld& world, Body body) {
  spawn(world, "reader", kReader, 1, std::move(body), 2);
}

void send_two(LaneProgram& sender) {
  sender.send(0, 1);
  sender.send(1, 1);
}
void send_three_half_rings(LaneProgram& sender) {
  for (std::uint64_t i = 0; i < 3; ++i) sender.send(i * kHalfRing, kHalfRing);
}

// ---- programs that run with feeds and without -------------------------------------------------------

void poller_of_two(LaneWorld& world) {
  spawn_reader(world, [](LaneProgram& reader) { reader.poll_until(2); });
  spawn_sender(world, send_two);
}
void receiver_of_two(LaneWorld& world) {
  spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(2); });
  spawn_sender(world, send_two);
}
void receiver_of_two_in_the_kernel(LaneWorld& world) {
  spawn_reader(world, [](LaneProgram& reader) {
    reader.never_sleep();
    reader.receive_until(2);
  });
  spawn_sender(world, send_two);
}
void poller_that_makes_room(LaneWorld& world) {
  spawn_reader(world, [](LaneProgram& reader) { reader.poll_until(3 * kHalfRing); });
  spawn_sender(world, send_three_half_rings);
}

// ---- receiving ------------------------------------------------------------------------------------

TEST(LaneSchedule, ABlockingReceiverSleepsAndIsWoken) { explore({.stops = 2}, receiver_of_two); }

TEST(LaneSchedule, AReceiverSpinsBeforeItSleeps) {
  explore({.stops = 1, .lane = {.spins = true}}, receiver_of_two);
}

TEST(LaneSchedule, TheShortWaysMeet) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.use_short_way();
      reader.receive_until(3);
    });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.use_short_way();
      for (std::uint64_t word = 0; word < 3; ++word) sender.send(word, 1);
    });
  });
}

TEST(LaneSchedule, AReceiverWaitsInTheKernel) {
  explore({.stops = 2}, receiver_of_two_in_the_kernel);
}

TEST(LaneSchedule, APollerIsToldByTheCarrier) {
  explore({.stops = 2, .lane = {.polls = true}}, poller_of_two);
}

// It leaves the ring warm, and then polls.
TEST(LaneSchedule, AReceiverTurnsToPolling) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.receive_until(1, 1);
      reader.poll_until(3, 1);
    });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 2);
      sender.send(2, 1);
    });
  });
}

void receiver_that_comes_back_late(LaneWorld& world) {
  spawn_reader(world, [&world](LaneProgram& reader) {
    reader.receive_until(1, 1);
    world.poll_in(kReader);
    reader.receive_until(2);
  });
  spawn_sender(world, send_two);
}

// Nobody reads what comes after the first word before the carrier has it: the watch brings it there.
TEST(LaneSchedule, AReceiverLeavesWarmAndComesBackLate) {
  explore({.stops = 2}, receiver_that_comes_back_late);
}

TEST(LaneSchedule, AFreshLaneIsWatchedAlready) {
  explore({.stops = 2, .lane = {.is_fresh = true}}, receiver_that_comes_back_late);
}

// By a thread that is about to poll.
TEST(LaneSchedule, AFreshLaneIsWarmBeforeItsFirstBytes) {
  explore({.stops = 2, .lane = {.is_fresh = true}}, [](LaneWorld& world) {
    spawn_reader(world, [&world](LaneProgram& reader) {
      world.direct(kReader, 1).warm();
      world.poll_in(kReader);
      reader.receive_until(2);
    });
    spawn_sender(world, send_two);
  });
}

// Threads of one process; both see the end.
TEST(LaneSchedule, TwoReceiversShareALane) {
  explore({.stops = 1}, [](LaneWorld& world) {
    const auto seen = std::make_shared<std::array<int, 2>>();  // words, ends
    const auto count = [&world, seen](LaneProgram& reader) {
      for (auto words = reader.receive_some(); !words.empty(); words = reader.receive_some()) {
        (*seen)[0] += static_cast<int>(words.size());
      }
      const bool is_last = ++(*seen)[1] == 2;
      if (is_last && (*seen)[0] != 1) world.scheduler().fail("the word is lost, or comes twice");
    };
    spawn(world, "reader", kReader, 1, count, 2);
    spawn(world, "another", kReader, 2, count, 2);
    spawn_sender(world, [&world](LaneProgram& sender) {
      sender.send(0, 1);
      world.shutdown(kSender, SHUT_WR);
    });
  });
}

// ---- sending --------------------------------------------------------------------------------------

TEST(LaneSchedule, AWriterSleepsUntilThereIsRoom) {
  explore({.stops = 1}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(3 * kHalfRing); });
    spawn_sender(world, send_three_half_rings);
  });
}

TEST(LaneSchedule, AWriterSpinsForRoom) {
  explore({.stops = 1, .lane = {.spins = true}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(3 * kHalfRing); });
    spawn_sender(world, send_three_half_rings);
  });
}

// It then goes on through the carrier, and the daemon waits for room in its place.
TEST(LaneSchedule, AWriterSleepsTooLong) {
  explore({.stops = 1, .lane = {.writers_time_out = true}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(3 * kHalfRing + 1); });
    spawn_sender(world, [](LaneProgram& sender) {
      send_three_half_rings(sender);
      sender.send(3 * kHalfRing, 1);
    });
  });
}

TEST(LaneSchedule, APollerMakesRoomForAWriter) {
  explore({.stops = 1, .lane = {.polls = true}}, poller_that_makes_room);
}

// What is in the carrier comes before what is written later.
TEST(LaneSchedule, ASenderUsesTheCarrierAndThenTheRing) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(2); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send_by_carrier(0, 1);
      sender.send(1, 1);
    });
  });
}

TEST(LaneSchedule, ARawSenderUsesTheCarrierAndThenTheRing) {
  explore({.stops = 2}, [](LaneWorld& world) {
    ring::SharedCell(world.lane(kSender).raw).store_seq_cst(1);
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(2); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send_raw(0, 1);
      sender.send(1, 1);
    });
  });
}

// Each one's words in their order; the halves of a number tell whose they are.
TEST(LaneSchedule, TwoSendersShareALane) {
  explore({.stops = 1}, [](LaneWorld& world) {
    spawn_reader(world, [&world](LaneProgram& reader) {
      std::array<std::uint64_t, 2> next{0, 100};
      while (next[0] + next[1] < 104) {
        for (const std::uint64_t word : reader.receive_some()) {
          if (word != next[word / 100]++)
            world.scheduler().fail("out of order: " + std::to_string(word));
        }
      }
    });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send_by_carrier(0, 1);
      sender.send_by_carrier(1, 1);
      sender.send(2, 1);
    });
    spawn(
        world, "another", kSender, 2, [](LaneProgram& sender) { sender.send(100, 1); }, 3);
  });
}

// The daemon finds the carrier empty, and its word to that effect comes after there is something in it again. Nobody
// reads meanwhile; another thread of the sender's gives the daemon time in between.
TEST(LaneSchedule, TheCarrierIsUsedAgainWhileTheDaemonIsDoneWithIt) {
  explore({.stops = 2}, [](LaneWorld& world) {
    enum class At { kFirst, kBetween, kLast, kDone };
    const auto at = std::make_shared<At>(At::kFirst);
    const auto wait = [&world, at](At wanted) {
      world.scheduler().wait_for([at, wanted] { return *at == wanted; }, false);
    };
    spawn_reader(world, [wait](LaneProgram& reader) {
      wait(At::kDone);
      reader.receive_until(3);
    });
    spawn_sender(world, [&world, at, wait](LaneProgram& sender) {
      sender.send_by_carrier(0, 1);
      world.request([] {});
      sender.send_by_carrier(1, 1);
      *at = At::kBetween;
      wait(At::kLast);
      sender.send(2, 1);
      *at = At::kDone;
    });
    world.spawn("another", [at, wait] {
      wait(At::kBetween);
      *at = At::kLast;
    });
  });
}

TEST(LaneSchedule, BothEndsSendAndReceive) {
  explore({.stops = 1}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.receive_until(1);
      reader.send(0, 1);
      reader.receive_until(2);
    });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 1);
      sender.receive_until(1);
      sender.send(1, 1);
    });
  });
}

// ---- the end --------------------------------------------------------------------------------------

TEST(LaneSchedule, ASleeperLearnsOfTheEndBehindTheBytes) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.receive_until(1);
      reader.receive_end();
    });
    spawn_sender(world, [&world](LaneProgram& sender) {
      sender.send(0, 1);
      world.shutdown(kSender, SHUT_WR);
    });
  });
}

TEST(LaneSchedule, ASleeperLearnsOfThePeersClose) {
  explore({.stops = 1}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.receive_until(1);
      reader.receive_end();
    });
    spawn_sender(world, [&world](LaneProgram& sender) {
      sender.send(0, 1);
      world.close(kSender);
    });
  });
}

TEST(LaneSchedule, ASleeperLearnsThatItsOwnEndIsShut) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_end(); });
    world.spawn("another", [&world] { world.shutdown(kReader, SHUT_RD); });
  });
}

// ---- feeds: the sender puts its bytes into the reader's carrier itself -----------------------------

TEST(LaneSchedule, APollerIsFed) {
  explore({.stops = 2, .lane = {.polls = true, .feeds = true}}, poller_of_two);
}

TEST(LaneSchedule, APollerIsFedTheShortWay) {
  explore({.stops = 1, .lane = {.polls = true, .feeds = true}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.poll_until(3); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.use_short_way();
      for (std::uint64_t word = 0; word < 3; ++word) sender.send(word, 1);
    });
  });
}

TEST(LaneSchedule, AReceiverInTheKernelIsFed) {
  explore({.stops = 1, .lane = {.feeds = true}}, receiver_of_two_in_the_kernel);
}

// Which is no reason to let it sleep.
TEST(LaneSchedule, AReceiverThatGoesToSleepIsFed) {
  explore({.stops = 1, .lane = {.feeds = true}}, receiver_of_two);
}

TEST(LaneSchedule, APollerIsFedAndMakesRoomForAWriter) {
  explore({.stops = 1, .lane = {.polls = true, .feeds = true}}, poller_that_makes_room);
}

TEST(LaneSchedule, AFedReaderLearnsOfTheEndBehindTheBytes) {
  explore({.stops = 1, .lane = {.polls = true, .feeds = true}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) {
      reader.poll_until(1);
      reader.receive_end();
    });
    spawn_sender(world, [&world](LaneProgram& sender) {
      sender.send(0, 1);
      world.close(kSender);
    });
  });
}

// ---- room=ring: packets are shown in the carrier --------------------------------------------------

constexpr const char* kStrict = "room=ring";

TEST(LaneSchedule, APollerIsShownPacketByPacket) {
  explore({.stops = 1, .lane = {.polls = true, .quirks = kStrict}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.poll_until(3); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 1);
      sender.send(1, 2);
    });
  });
}

TEST(LaneSchedule, ASleeperReadsPacketsThatAreShownOrNot) {
  explore({.stops = 1, .lane = {.quirks = kStrict}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(3); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 1);
      sender.send(1, 2);
    });
  });
}

TEST(LaneSchedule, AWriterWaitsForTheRingsRoomAlone) {
  explore({.stops = 1, .lane = {.quirks = kStrict}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(3 * kHalfRing); });
    spawn_sender(world, send_three_half_rings);
  });
}

TEST(LaneSchedule, APollerMakesTheRingsRoomForAWriter) {
  explore({.stops = 1, .lane = {.polls = true, .quirks = kStrict}}, poller_that_makes_room);
}

}  // namespace
}  // namespace vmbus::test
