#include "tests/fuzz/hostile/honest.h"

#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <span>
#include <thread>
#include <vector>

#include "tests/fuzz/hostile/pattern.h"
#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::hostile {
namespace {

// Without any progress for so long, SIGALRM ends the program: that is a stall. Calls here wait in every
// way a program can, so a time limit of theirs would take the interesting ways away.
constexpr unsigned kStallSeconds = 60;
constexpr std::size_t kLongestPiece = 200'000;
constexpr std::size_t kMostBytes = 24u << 20;  // of one connection and direction

// What the dialler tells first: the streams of both directions, and how long they are.
struct Opening {
  std::uint64_t seed;
  std::uint64_t bytes;
};

void send_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) fail(kExitWrong, "the honest pair: a send failed");
    ::alarm(kStallSeconds);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

// The bytes that came; 0 at the end of the stream.
std::size_t receive(int fd, std::span<std::byte> bytes, int flags) {
  const ssize_t count = ::recv(fd, bytes.data(), bytes.size(), flags);
  if (count < 0) fail(kExitWrong, "the honest pair: a receive failed");
  ::alarm(kStallSeconds);
  return static_cast<std::size_t>(count);
}

void send_stream(int fd, std::uint64_t seed, std::uint64_t bytes) {
  Random random(~seed);
  Pattern pattern(seed);
  std::vector<std::byte> piece(kLongestPiece);
  while (bytes != 0) {
    const std::size_t length = std::min<std::uint64_t>(random.length(kLongestPiece), bytes);
    const std::span part(piece.data(), length);
    pattern.fill(part);
    send_all(fd, part);
    bytes -= length;
  }
  if (::shutdown(fd, SHUT_WR) != 0) fail(kExitWrong, "the honest pair: shutdown failed");
}

void receive_stream(int fd, std::uint64_t seed, std::uint64_t bytes) {
  Random random(seed + 1);
  Pattern pattern(seed);
  std::vector<std::byte> piece(kLongestPiece);
  while (true) {
    const std::span part(piece.data(), random.length(kLongestPiece));
    const std::size_t count = receive(fd, part, 0);
    if (count == 0) break;
    if (count > bytes) fail(kExitWrong, "the honest pair: more bytes than were sent");
    if (!pattern.matches(part.first(count))) fail(kExitWrong, "the honest pair: a wrong byte");
    bytes -= count;
  }
  if (bytes != 0) fail(kExitWrong, "the honest pair: the stream ended early");
}

void exchange(int fd, std::uint64_t out_seed, std::uint64_t in_seed, std::uint64_t bytes) {
  std::thread sender([=] { send_stream(fd, out_seed, bytes); });
  receive_stream(fd, in_seed, bytes);
  sender.join();
  ::close(fd);
}

void report(std::uint64_t connections, std::uint64_t bytes) {
  ::alarm(0);
  std::printf("honest: %llu connections, %llu bytes each way\n",
              static_cast<unsigned long long>(connections), static_cast<unsigned long long>(bytes));
}

}  // namespace

void serve_honestly(std::uint32_t port) {
  std::uint64_t connections = 0;
  std::uint64_t bytes = 0;
  accept_all(listen_on(port), [&](int fd) {
    Opening opening{};
    const std::size_t count =
        receive(fd, std::as_writable_bytes(std::span(&opening, 1)), MSG_WAITALL);
    if (count != sizeof opening) fail(kExitWrong, "the honest pair: no opening");
    exchange(fd, opening.seed + 1, opening.seed, opening.bytes);
    ++connections;
    bytes += opening.bytes;
    ::alarm(0);
  });
  report(connections, bytes);
}

void dial_honestly(std::uint32_t cid, std::uint32_t port, std::uint64_t seed) {
  Random random(seed);
  std::uint64_t connections = 0;
  std::uint64_t bytes = 0;
  while (!is_told_to_end(std::chrono::milliseconds(0))) {
    ::alarm(kStallSeconds);
    const Opening opening{random.word(), random.length(kMostBytes)};
    const int fd = dial(cid, port);
    if (fd < 0) fail(kExitWrong, "the honest pair: connect failed");
    send_all(fd, std::as_bytes(std::span(&opening, 1)));
    exchange(fd, opening.seed, opening.seed + 1, opening.bytes);
    ++connections;
    bytes += opening.bytes;
  }
  report(connections, bytes);
}

}  // namespace vmbus::hostile
