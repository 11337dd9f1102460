// Lanes (docs/lanes.md) under a scheduler: programs, daemon and rings as they are, in all orders of their steps up
// to a bound.
#include <gtest/gtest.h>

#include "tests/schedule/explore.h"
#include "tests/schedule/lane_program.h"

namespace vmbus::test {
namespace {

// One end sends, the other reads. Different processes.
constexpr std::size_t kSender = 0;
constexpr std::size_t kReader = 1;
constexpr std::uint32_t kSenderClient = 1;
constexpr std::uint32_t kReaderClient = 2;

void spawn_sender(LaneWorld& world, std::function<void(LaneProgram&)> body) {
  world.spawn("sender", [&world, body = std::move(body)] {
    LaneProgram program(world, kSender, kSenderClient, 0);
    body(program);
  });
}

void spawn_reader(LaneWorld& world, std::function<void(LaneProgram&)> body) {
  world.spawn("reader", [&world, body = std::move(body)] {
    LaneProgram program(world, kReader, kReaderClient, 1);
    body(program);
  });
}

TEST(LaneSchedule, ABlockingReceiverSleepsAndIsWoken) {
  explore({.stops = 2}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(2); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 1);
      sender.send(1, 1);
    });
  });
}

TEST(LaneSchedule, AReceiverSpinsBeforeItSleeps) {
  explore({.stops = 2, .lane = {.spins = true}}, [](LaneWorld& world) {
    spawn_reader(world, [](LaneProgram& reader) { reader.receive_until(2); });
    spawn_sender(world, [](LaneProgram& sender) {
      sender.send(0, 1);
      sender.send(1, 1);
    });
  });
}

}  // namespace
}  // namespace vmbus::test
