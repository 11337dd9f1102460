#include "tests/schedule/lane_program.h"

#include <sys/socket.h>

#include <algorithm>
#include <string>

#include "shim/direct_whole.h"
#include "shim/real.h"
#include "shim/user_ranges.h"

namespace vmbus::test {
namespace {

using shim::DirectEnd;
using shim::kThroughCarrier;
using shim::kWouldWait;
using Wait = DirectEnd::Wait;

constexpr std::size_t kPlaces = 4;
constexpr std::size_t kWordsEach = 512;
// One range for all, so that what a thread knows of its buffers is the same in each run.
alignas(4096) std::array<std::array<std::uint64_t, kWordsEach>, kPlaces> g_words;

}  // namespace

LaneProgram::LaneProgram(LaneWorld& world, std::size_t end, std::uint32_t client, std::size_t place)
    : world_(world), end_(end), direct_(world.direct(end, client)), words_(g_words[place]) {
  EXPECT_TRUE(shim::may_touch(g_words.data(), sizeof g_words, shim::Access::kRead));
  EXPECT_TRUE(shim::may_touch(g_words.data(), sizeof g_words, shim::Access::kWrite));
}

// ---- sending ------------------------------------------------------------------------------------

void LaneProgram::send(std::uint64_t first, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) words_[i] = first + i;
  const std::size_t bytes = count * kWordBytes;
  world_.count_sent(end_, bytes);
  if (is_short_ && direct_.send_whole(words_.data(), bytes)) return;
  const iovec whole{words_.data(), bytes};
  const shim::Parts from{&whole, 1, bytes};
  DirectEnd::Sent sent = direct_.send(from, 0, Wait::kSpin);
  if (sent.bytes < bytes) sent = direct_.send(from, sent.bytes, Wait::kSleep);
  if (sent.bytes == bytes) return;
  direct_.begin_carrier_send();
  send_in_kernel(reinterpret_cast<const std::byte*>(words_.data()) + sent.bytes,
                 bytes - sent.bytes);
  direct_.end_carrier_send();
}

void LaneProgram::send_by_carrier(std::uint64_t first, std::size_t count) {
  direct_.begin_carrier_send();
  send_raw(first, count);
  direct_.end_carrier_send();
}

void LaneProgram::send_raw(std::uint64_t first, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) words_[i] = first + i;
  world_.count_sent(end_, count * kWordBytes);
  send_in_kernel(reinterpret_cast<const std::byte*>(words_.data()), count * kWordBytes);
}

void LaneProgram::send_in_kernel(const std::byte* from, std::size_t bytes) {
  while (bytes > 0) {
    const long sent =
        shim::real::blocking(SYS_sendto, world_.fd(end_), from, bytes, MSG_NOSIGNAL, nullptr, 0);
    if (sent <= 0) fail("a send in the kernel said " + std::to_string(sent));
    from += sent;
    bytes -= static_cast<std::size_t>(sent);
  }
}

// ---- receiving ----------------------------------------------------------------------------------

long LaneProgram::receive_in_kernel(std::size_t bytes, int flags) {
  const long count = shim::real::blocking(SYS_recvfrom, world_.fd(end_), words_.data(), bytes,
                                          flags, nullptr, nullptr);
  if (direct_.heeds_room()) direct_.settle();
  return count;
}

long LaneProgram::receive(std::size_t bytes) {
  if (is_short_) {
    if (const long count = direct_.receive_whole(words_.data(), bytes)) return count;
  }
  const iovec whole{words_.data(), bytes};
  const shim::Parts to{&whole, 1, bytes};
  long count = direct_.receive(to, 0, Wait::kSpin);
  if (count == kWouldWait) {
    const bool may_sleep = sleeps_ && direct_.may_sleep();
    count = direct_.receive(to, 0, may_sleep ? Wait::kSleep : Wait::kNo);
  }
  return count == kThroughCarrier ? receive_in_kernel(bytes, 0) : count;
}

long LaneProgram::receive_at_once(std::size_t bytes) {
  const iovec whole{words_.data(), bytes};
  const long count = direct_.receive({&whole, 1, bytes}, MSG_DONTWAIT, Wait::kNo);
  return count == kThroughCarrier ? receive_in_kernel(bytes, MSG_DONTWAIT) : count;
}

void LaneProgram::accept(long bytes) {
  if (bytes < 0) fail("a receive said " + std::to_string(bytes));
  if (bytes % static_cast<long>(kWordBytes) != 0) fail("a piece of a word");
  world_.count_received(end_, static_cast<std::size_t>(bytes));
}

void LaneProgram::receive_until(std::uint64_t end, std::size_t most) {
  while (next_ < end) {
    const auto words = receive_some(most);
    if (words.empty()) fail("the stream ends before word " + std::to_string(next_));
    for (const std::uint64_t word : words) {
      if (word != next_)
        fail("word " + std::to_string(word) + " instead of " + std::to_string(next_));
      ++next_;
    }
  }
}

void LaneProgram::poll_until(std::uint64_t end, std::size_t most) {
  while (next_ < end) {
    direct_.cool();
    world_.poll_in(end_);
    const long bytes = receive_at_once(most * kWordBytes);
    if (bytes == -EAGAIN) continue;
    accept(bytes);
    for (const std::uint64_t word : words_.first(static_cast<std::size_t>(bytes) / kWordBytes)) {
      if (word != next_)
        fail("word " + std::to_string(word) + " instead of " + std::to_string(next_));
      ++next_;
    }
  }
}

void LaneProgram::receive_end() {
  if (!receive_some().empty()) fail("a word behind the last");
}

std::span<const std::uint64_t> LaneProgram::receive_some(std::size_t most) {
  const long bytes = receive(most * kWordBytes);
  accept(bytes);
  return words_.first(static_cast<std::size_t>(bytes) / kWordBytes);
}

}  // namespace vmbus::test
