#include "tests/fuzz/hostile/victim.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/fuzz/hostile/pattern.h"
#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::hostile {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kLongestTalk{1500};
// After shutdown() no call may wait any longer. The limit is for a machine that is busy with other things.
constexpr std::chrono::seconds kAfterShutdown{60};
constexpr std::size_t kLongestPiece = 100'000;

std::atomic<std::uint64_t> g_talks{0};
std::atomic<std::uint64_t> g_bytes{0};

// How one thread of a connection makes its calls.
struct Habit {
  bool waits;  // in the calls, not in poll
  bool odd;    // uses peeks, vectors, FIONREAD, MSG_WAITALL
};

class Talk {
 public:
  Talk(int fd, std::uint64_t seed) : fd_(fd), seed_(seed), end_(Clock::now() + length()) {}

  void run() {
    std::thread sender([this] { finish_with([this] { send_bytes(); }); });
    std::thread receiver([this] { finish_with([this] { receive_bytes(); }); });
    watch();
    sender.join();
    receiver.join();
    ::close(fd_);
    ++g_talks;
  }

 private:
  milliseconds length() const {
    return milliseconds(Random(seed_).length(static_cast<std::size_t>(kLongestTalk.count())));
  }
  bool is_over() const { return Clock::now() >= end_; }

  template <typename Work>
  void finish_with(Work work) {
    work();
    const std::lock_guard lock(mutex_);
    ++finished_;
    changed_.notify_one();
  }

  // Its time over, the connection is shut under its threads.
  void watch() {
    std::unique_lock lock(mutex_);
    const auto both = [this] { return finished_ == 2; };
    if (changed_.wait_until(lock, end_, both)) return;
    ::shutdown(fd_, SHUT_RDWR);
    if (!changed_.wait_for(lock, kAfterShutdown, both)) {
      report_calls();
      fail(kExitHang, "a victim hangs in a call after shutdown");
    }
  }

  // False: the talk is over.
  bool wait_for(short events) const {
    pollfd wanted{fd_, events, 0};
    while (::poll(&wanted, 1, 50) == 0) {
      if (is_over()) return false;
    }
    return true;
  }

  void send_bytes() const {
    Random random(seed_ + 1);
    const Habit habit{random.one_in(2), random.one_in(2)};
    std::vector<std::byte> piece(kLongestPiece, std::byte{0x5A});
    while (!is_over()) {
      const std::size_t length = random.length(kLongestPiece);
      if (!habit.waits && !wait_for(POLLOUT)) break;
      const ssize_t count = send_some(piece.data(), length, habit, random);
      if (count < 0 && errno != EAGAIN && errno != EINTR) return;
      if (count > 0) g_bytes += static_cast<std::uint64_t>(count);
    }
    ::shutdown(fd_, SHUT_WR);
  }

  ssize_t send_some(std::byte* bytes, std::size_t length, Habit habit, Random& random) const {
    const int flags = MSG_NOSIGNAL | (habit.waits ? 0 : MSG_DONTWAIT);
    if (!habit.odd || random.one_in(2)) return ::send(fd_, bytes, length, flags);
    const std::size_t first = length / 3;
    std::array<iovec, 2> parts{{{bytes, first}, {bytes + first, length - first}}};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    return ::sendmsg(fd_, &message, flags);
  }

  void receive_bytes() const {
    Random random(seed_ + 2);
    const Habit habit{random.one_in(2), random.one_in(2)};
    std::vector<std::byte> piece(kLongestPiece);
    while (!is_over()) {
      const std::size_t length = random.length(kLongestPiece);
      if (!habit.waits && !wait_for(POLLIN)) return;
      const ssize_t count = receive_some(piece.data(), length, habit, random);
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return;
    }
  }

  ssize_t receive_some(std::byte* bytes, std::size_t length, Habit habit, Random& random) const {
    int flags = habit.waits ? 0 : MSG_DONTWAIT;
    if (!habit.odd) return ::recv(fd_, bytes, length, flags);
    int there = 0;
    switch (random.below(4)) {
      case 0:
        return ::recv(fd_, bytes, length, flags | MSG_PEEK) == 0
                   ? 0
                   : ::recv(fd_, bytes, length, flags);
      case 1:
        ::ioctl(fd_, FIONREAD, &there);
        return ::recv(fd_, bytes, std::clamp<std::size_t>(static_cast<unsigned>(there), 1, length),
                      flags | MSG_WAITALL);
      case 2: {
        const iovec parts[]{{bytes, length / 2}, {bytes + length / 2, length - length / 2}};
        return habit.waits ? ::readv(fd_, parts, 2) : ::recv(fd_, bytes, length, flags);
      }
      default:
        return ::recv(fd_, bytes, length, flags);
    }
  }

  int fd_;
  std::uint64_t seed_;
  Clock::time_point end_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int finished_ = 0;
};

// Programs with a handler take another way through the shim: with signals blocked.
void maybe_handle_signals(Random& random) {
  if (random.one_in(2)) return;
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, nullptr);
}

void report() {
  std::printf("victim: %llu connections, %llu bytes\n",
              static_cast<unsigned long long>(g_talks.load()),
              static_cast<unsigned long long>(g_bytes.load()));
}

}  // namespace

void serve_as_victim(std::uint32_t port, std::uint64_t seed) {
  Random random(seed);
  maybe_handle_signals(random);
  std::vector<std::thread> talks;
  accept_all(listen_on(port), [&](int fd) {
    talks.emplace_back([fd, own = random.word()] { Talk(fd, own).run(); });
  });
  for (std::thread& talk : talks) talk.join();
  report();
}

void dial_as_victim(std::uint32_t cid, std::uint32_t port, std::uint64_t seed) {
  Random random(seed);
  maybe_handle_signals(random);
  while (!is_told_to_end(milliseconds(0))) {
    const int fd = dial(cid, port);
    if (fd >= 0) Talk(fd, random.word()).run();
  }
  report();
}

}  // namespace vmbus::hostile
