#include "tests/stress/transfer.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::stress {
namespace {

using hostile::Random;

constexpr std::size_t kParts = 6;
constexpr std::size_t kMostForWaitall = 16384;  // more is ENOMEM on some systems
constexpr std::uint32_t kLongestPauseNs = 3'000'000;

[[noreturn]] void fail_at(std::uint64_t place, const char* what) {
  hostile::fail(hostile::kExitWrong, std::string(what) + " at " + std::to_string(place));
}

// A delay is a part of what is tried; nobody waits for anything by it. Not by poll: a thread that polls is
// another kind of thread to the shim.
void pause(Random& random) {
  if (random.one_in(2)) {
    ::sched_yield();
    return;
  }
  const timespec time{0, static_cast<long>(random.length(kLongestPauseNs))};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

// `bytes` in a few pieces, some of them empty.
std::span<iovec> cut(std::span<std::byte> bytes, Random& random, std::array<iovec, kParts>& parts) {
  std::size_t count = 0;
  while (count + 1 < kParts && !random.one_in(4)) {
    const std::size_t length = random.one_in(6) ? 0 : random.length(bytes.size() + 1) - 1;
    parts[count++] = {bytes.data(), length};
    bytes = bytes.subspan(length);
  }
  parts[count++] = {bytes.data(), bytes.size()};
  return std::span(parts).first(count);
}

msghdr message_of(std::span<iovec> parts) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return message;
}

}  // namespace

int Direction::call_flags(Random& random) const {
  if (calls_wait() || plan->nonblocking) return 0;
  return plan->mixes && random.one_in(2) ? 0 : MSG_DONTWAIT;
}

// ---- Sender -----------------------------------------------------------------------------------------

Sender::Sender(const Direction& direction)
    : direction_(direction),
      lengths_(direction.seed),
      random_(~direction.seed),
      stream_(direction.seed),
      buffer_(direction.plan->longest),
      left_(direction.plan->transfers) {}

void Sender::begin_transfer() {
  length_ = lengths_.length(direction_.plan->longest);
  done_ = 0;
  stream_.fill(place_, std::span(buffer_).first(length_));
  set(direction_.progress->begun, place_ + length_);
}

Step Sender::step() {
  if (length_ == 0 && left_ == 0) return finish();
  if (length_ == 0 && !direction_.turns->may_begin(number())) return Step::kHeld;
  if (length_ == 0) begin_transfer();
  const ssize_t count = send_some(std::span(buffer_).subspan(done_, length_ - done_));
  if (count < 0) return give_up();
  if (count == 0) fail_at(place_, "a send of some bytes gave 0");
  add_one(direction_.totals->calls);
  done_ += static_cast<std::size_t>(count);
  place_ += static_cast<std::uint64_t>(count);
  set(direction_.progress->sent, place_);
  if (done_ < length_) return Step::kMore;
  length_ = 0;
  --left_;
  add_one(direction_.totals->transfers);
  const std::uint32_t pauses = direction_.plan->pauses;
  if (pauses != 0 && random_.one_in(pauses)) pause(random_);
  return Step::kMore;
}

ssize_t Sender::send_some(std::span<std::byte> bytes) {
  const int flags = direction_.call_flags(random_) | MSG_NOSIGNAL;
  const bool plain =
      flags == MSG_NOSIGNAL;  // a call without flags does the same; SIGPIPE is ignored
  std::array<iovec, kParts> parts{};
  switch (direction_.plan->odd ? random_.below(6) : 5) {
    case 0:
    case 1: {
      const msghdr message = message_of(cut(bytes, random_, parts));
      return ::sendmsg(direction_.fd, &message, flags);
    }
    case 2:
      if (plain) return ::write(direction_.fd, bytes.data(), bytes.size());
      break;
    case 3: {
      const auto pieces = cut(bytes, random_, parts);
      if (plain) return ::writev(direction_.fd, pieces.data(), static_cast<int>(pieces.size()));
      break;
    }
    default:
      break;
  }
  return ::send(direction_.fd, bytes.data(), bytes.size(), flags);
}

Step Sender::finish() {
  // The peer may be dead already, where it may be killed.
  if (::shutdown(direction_.fd, SHUT_WR) != 0 && !direction_.plan->may_break) {
    fail_at(place_, "shutdown failed");
  }
  set(direction_.progress->out_end, End::kWhole);
  return Step::kDone;
}

Step Sender::give_up() {
  if (errno == EINTR) return Step::kMore;
  if (errno == EAGAIN) {
    if (direction_.calls_wait()) fail_at(place_, "a send that waits did not");
    return Step::kWouldWait;
  }
  const bool is_gone = errno == EPIPE || errno == ECONNRESET;
  if (!is_gone || !direction_.plan->may_break) fail_at(place_, "a send failed");
  set(direction_.progress->out_end, errno == EPIPE ? End::kPipe : End::kReset);
  return Step::kDone;
}

// ---- Receiver ---------------------------------------------------------------------------------------

Receiver::Receiver(const Direction& direction)
    : direction_(direction),
      lengths_(direction.seed),
      random_(direction.seed + 1),
      stream_(direction.seed),
      buffer_(direction.plan->longest),
      total_(0) {
  next_ = lengths_.length(direction.plan->longest);
  Random lengths(direction.seed);  // as the sender draws them
  for (std::uint32_t i = 0; i < direction.plan->transfers; ++i) {
    total_ += lengths.length(direction.plan->longest);
  }
}

Step Receiver::step() {
  const std::size_t length = random_.length(buffer_.size());
  is_peeked_ = false;
  const ssize_t count = receive_some(std::span(buffer_).first(length));
  if (count == 0) return end(End::kWhole);
  if (count < 0) {
    if (errno == EINTR) return Step::kMore;
    if (errno == ECONNRESET) return end(End::kReset);
    if (errno != EAGAIN) fail_at(place_, "a receive failed");
    if (direction_.calls_wait()) fail_at(place_, "a receive that waits did not");
    return Step::kWouldWait;
  }
  const auto bytes = static_cast<std::size_t>(count);
  check(std::span(buffer_).first(bytes));
  if (is_peeked_) return Step::kMore;
  take(bytes);
  const std::uint32_t pauses = direction_.plan->pauses;
  if (pauses != 0 && random_.one_in(pauses)) pause(random_);
  return Step::kMore;
}

void Receiver::take(std::size_t bytes) {
  add_one(direction_.totals->calls);
  place_ += bytes;
  set(direction_.progress->received, place_);
  for (; place_ >= next_; next_ += lengths_.length(direction_.plan->longest)) {
    direction_.turns->note_one();
  }
}

void Receiver::check(std::span<const std::byte> bytes) {
  if (place_ + bytes.size() > total_) fail_at(place_, "more bytes than were sent");
  if (!stream_.matches(place_, bytes)) {
    hostile::fail(hostile::kExitWrong, stream_.explain(place_, bytes));
  }
}

ssize_t Receiver::receive_some(std::span<std::byte> bytes) {
  const int flags = direction_.call_flags(random_);
  std::array<iovec, kParts> parts{};
  int there = 0;
  switch (direction_.plan->odd ? random_.below(8) : 7) {
    case 0:
      if (peeks_) return peek(bytes);
      break;
    case 1:
      // No more than is sent whatever this end does.
      if (place_ == next_) break;
      bytes = bytes.first(std::min({bytes.size(), kMostForWaitall, next_ - place_}));
      return ::recv(direction_.fd, bytes.data(), bytes.size(), flags | MSG_WAITALL);
    case 2: {
      msghdr message = message_of(cut(bytes, random_, parts));
      return ::recvmsg(direction_.fd, &message, flags);
    }
    case 3: {
      const auto pieces = cut(bytes, random_, parts);
      if (flags == 0) return ::readv(direction_.fd, pieces.data(), static_cast<int>(pieces.size()));
      break;
    }
    case 4:
      if (flags == 0) return ::read(direction_.fd, bytes.data(), bytes.size());
      break;
    case 5:
      if (::ioctl(direction_.fd, FIONREAD, &there) != 0 || there < 0) {
        fail_at(place_, "FIONREAD failed");
      }
      break;
    default:
      break;
  }
  return ::recv(direction_.fd, bytes.data(), bytes.size(), flags);
}

ssize_t Receiver::peek(std::span<std::byte> bytes) {
  const ssize_t count =
      ::recv(direction_.fd, bytes.data(), bytes.size(), direction_.call_flags(random_) | MSG_PEEK);
  is_peeked_ = count > 0;
  if (count >= 0 || errno != EOPNOTSUPP) return count;
  peeks_ = false;  // this profile's do not
  return ::recv(direction_.fd, bytes.data(), bytes.size(), direction_.call_flags(random_));
}

Step Receiver::end(End how) {
  const bool is_whole = how == End::kWhole && place_ == total_;
  if (!is_whole && !direction_.plan->may_break) {
    fail_at(place_, how == End::kWhole ? "the stream ended early" : "the connection was reset");
  }
  set(direction_.progress->in_end, how);
  direction_.turns->note_end();
  return Step::kDone;
}

}  // namespace vmbus::stress
