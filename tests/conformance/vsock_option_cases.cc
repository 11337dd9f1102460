// Options at level AF_VSOCK: cases 279 to 290.
#include <sys/time.h>

#include <array>
#include <limits>

#include "tests/conformance/connections.h"

namespace vmbus::cases {
namespace {

constexpr int kBufferSize = SO_VM_SOCKETS_BUFFER_SIZE;
constexpr int kBufferMin = SO_VM_SOCKETS_BUFFER_MIN_SIZE;
constexpr int kBufferMax = SO_VM_SOCKETS_BUFFER_MAX_SIZE;
constexpr int kTimeout = 6;     // SO_VM_SOCKETS_CONNECT_TIMEOUT of a 64-bit program
constexpr int kTimeoutNew = 8;  // the same, for programs with a 64-bit time_t on 32 bits

// The length that getsockopt() reports for `room`.
struct Read {
  Outcome outcome;
  socklen_t size = 0;
  std::array<std::uint64_t, 4> words{};
};
Read read_option(const Socket& socket, int option, socklen_t room) {
  Read read;
  read.size = room;
  read.outcome =
      outcome(::getsockopt(socket.fd(), AF_VSOCK, option, read.words.data(), &read.size));
  return read;
}

long buffer(const Socket& socket, int option) {
  const Read read = read_option(socket, option, 8);
  return read.outcome.ok() ? static_cast<long>(read.words[0]) : -1;
}

Outcome set_buffer(const Socket& socket, int option, std::uint64_t size) {
  return socket.set_option(AF_VSOCK, option, size);
}

Outcome set_timeout(const Socket& socket, long seconds, long microseconds, int option = kTimeout) {
  return socket.set_option(AF_VSOCK, option, timeval{seconds, microseconds});
}

// In microseconds; -1 if it cannot be read.
long timeout(const Socket& socket, int option = kTimeout) {
  timeval value{};
  socklen_t size = sizeof value;
  if (::getsockopt(socket.fd(), AF_VSOCK, option, &value, &size) != 0) return -1;
  return value.tv_sec * 1'000'000 + value.tv_usec;
}

}  // namespace

VMBUS_CASE(Options, 279, kLinux, "buffer sizes are 262144, at least 128, at most 262144") {
  const Socket fresh = stream();
  constexpr std::array<std::array<int, 2>, 3> kDefaults{
      {{kBufferSize, 262144}, {kBufferMin, 128}, {kBufferMax, 262144}}};
  for (const auto [option, value] : kDefaults) {
    const Read read = read_option(fresh, option, 8);
    EXPECT_EQ(read.outcome, gives(0)) << option;
    EXPECT_EQ(read.size, 8U) << option;
    EXPECT_EQ(read.words[0], static_cast<std::uint64_t>(value)) << option;
  }
}

VMBUS_CASE(Options, 280, kLinux, "a buffer size is not read into four bytes") {
  const Socket fresh = stream();
  EXPECT_EQ(read_option(fresh, kBufferSize, 4).outcome, fails(EINVAL));
  EXPECT_EQ(read_option(fresh, kBufferSize, 0).outcome, fails(EINVAL));
}

VMBUS_CASE(Options, 281, kLinux, "a buffer size read with sixteen bytes of room is eight long") {
  const Read read = read_option(stream(), kBufferSize, 16);
  EXPECT_EQ(read.outcome, gives(0));
  EXPECT_EQ(read.size, 8U);
  EXPECT_EQ(read.words[1], 0U);
}

VMBUS_CASE(Options, 282, kLinux, "a buffer size is set from eight bytes or more") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.set_option(AF_VSOCK, kBufferSize, std::uint32_t{65536}), fails(EINVAL));
  EXPECT_EQ(outcome(::setsockopt(fresh.fd(), AF_VSOCK, kBufferSize, nullptr, 8)), fails(EFAULT));
  EXPECT_EQ(buffer(fresh, kBufferSize), 262144);
  const std::array<std::uint64_t, 2> sixteen{65536, ~0ULL};
  EXPECT_EQ(fresh.set_option(AF_VSOCK, kBufferSize, sixteen), gives(0));
  EXPECT_EQ(buffer(fresh, kBufferSize), 65536);
}

VMBUS_CASE(Options, 283, kLinux, "a buffer size is clamped, without an error") {
  const Socket fresh = stream();
  EXPECT_EQ(set_buffer(fresh, kBufferSize, 1), gives(0));
  EXPECT_EQ(buffer(fresh, kBufferSize), 128);
  EXPECT_EQ(set_buffer(fresh, kBufferSize, 1U << 20), gives(0));
  EXPECT_EQ(buffer(fresh, kBufferSize), 262144);
}

VMBUS_CASE(Options, 284, kLinux, "the bounds of a buffer size move, and it with them") {
  const Socket fresh = stream();
  EXPECT_EQ(set_buffer(fresh, kBufferMax, 524288), gives(0));
  EXPECT_EQ(set_buffer(fresh, kBufferSize, 524288), gives(0));
  EXPECT_EQ(set_buffer(fresh, kBufferMin, 256), gives(0));
  EXPECT_EQ(buffer(fresh, kBufferMax), 524288);
  EXPECT_EQ(buffer(fresh, kBufferSize), 524288);
  EXPECT_EQ(buffer(fresh, kBufferMin), 256);
  EXPECT_EQ(set_buffer(fresh, kBufferMax, 65536), gives(0));
  EXPECT_EQ(buffer(fresh, kBufferSize), 65536) << "a smaller maximum lowers the size";
  const Socket other = stream();
  ASSERT_EQ(set_buffer(other, kBufferSize, 4096), gives(0));
  EXPECT_EQ(set_buffer(other, kBufferMin, 8192), gives(0));
  EXPECT_EQ(buffer(other, kBufferSize), 8192) << "a larger minimum raises it";
}

VMBUS_CASE(Options, 285, kLinux, "the numbers that the core does not serve are ENOPROTOOPT") {
  const Socket fresh = stream();
  for (const int option : {3, 4, 5, 7, 9, -1}) {
    EXPECT_EQ(read_option(fresh, option, 16).outcome, fails(ENOPROTOOPT)) << option;
    EXPECT_EQ(set_buffer(fresh, option, 1), fails(ENOPROTOOPT)) << option;
  }
}

VMBUS_CASE(Options, 286, kLinux, "the connect time-out is two seconds, in sixteen bytes") {
  const Socket fresh = stream();
  const Read read = read_option(fresh, kTimeout, 32);
  EXPECT_EQ(read.outcome, gives(0));
  EXPECT_EQ(read.size, 16U);
  EXPECT_EQ(timeout(fresh), 2'000'000);
}

VMBUS_CASE(Options, 287, kLinux, "the connect time-out is kept in jiffies, and 0 is the default") {
  const Socket fresh = stream();
  EXPECT_EQ(set_timeout(fresh, 5, 0), gives(0));
  EXPECT_EQ(timeout(fresh), 5'000'000);
  EXPECT_EQ(set_timeout(fresh, 0, 1), gives(0));
  EXPECT_EQ(timeout(fresh), 4'000) << "one jiffy of 250 Hz";
  EXPECT_EQ(set_timeout(fresh, 0, 0), gives(0));
  EXPECT_EQ(timeout(fresh), 2'000'000);
}

VMBUS_CASE(Options, 288, kLinux, "a connect time-out that is none is ERANGE") {
  const Socket fresh = stream();
  EXPECT_EQ(set_timeout(fresh, -1, 0), fails(ERANGE));
  EXPECT_EQ(set_timeout(fresh, 0, 1'000'000), fails(ERANGE));
  EXPECT_EQ(set_timeout(fresh, std::numeric_limits<long>::max(), 0), fails(ERANGE));
  EXPECT_EQ(timeout(fresh), 2'000'000);
}

VMBUS_CASE(Options, 289, kLinux, "a connect time-out of eight bytes is EINVAL") {
  const Socket fresh = stream();
  EXPECT_EQ(fresh.set_option(AF_VSOCK, kTimeout, std::uint64_t{1}), fails(EINVAL));
  EXPECT_EQ(read_option(fresh, kTimeout, 8).outcome, fails(EINVAL));
}

VMBUS_CASE(Options, 290, kLinux, "both numbers of the connect time-out are one value") {
  const Socket fresh = stream();
  EXPECT_EQ(set_timeout(fresh, 7, 0, kTimeoutNew), gives(0));
  EXPECT_EQ(timeout(fresh, kTimeout), 7'000'000);
  EXPECT_EQ(set_timeout(fresh, 9, 0, kTimeout), gives(0));
  EXPECT_EQ(timeout(fresh, kTimeoutNew), 9'000'000);
}

}  // namespace vmbus::cases
