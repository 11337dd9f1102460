// One end of a connection, and how it waits for bytes.
#ifndef VMBUS_TESTS_BENCH_CONNECTION_H_
#define VMBUS_TESTS_BENCH_CONNECTION_H_

#include <cstddef>
#include <span>

namespace vmbus::bench {

enum class Wait {
  kBlocking,  // recv itself waits
  kEpoll,     // epoll_wait, then recv
  kRawEpoll,  // the same, but no hook sees the epoll calls: as in programs that do not call libc
};

// Owns the descriptor.
class Connection {
 public:
  Connection(int fd, Wait wait);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // False: the peer closed.
  bool send_all(std::span<const std::byte> bytes);

  // What one call brings; 0 at the end of the stream.
  std::size_t receive_some(std::span<std::byte> room);

  // False: the stream ended before.
  bool receive_all(std::span<std::byte> room);

 private:
  void watch();
  void wait_for_bytes() const;

  int fd_;
  Wait wait_;
  int epoll_fd_ = -1;
};

// Ends the process: the peer is gone too early.
[[noreturn]] void fail_early();

}  // namespace vmbus::bench

#endif  // VMBUS_TESTS_BENCH_CONNECTION_H_
