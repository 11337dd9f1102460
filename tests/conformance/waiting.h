// Waiting in accept() and connect(): where it shows, and how long it may take and took.
#ifndef VMBUS_TESTS_CONFORMANCE_WAITING_H_
#define VMBUS_TESTS_CONFORMANCE_WAITING_H_

#include <sys/syscall.h>
#include <sys/time.h>

#include <array>
#include <chrono>

#include "tests/conformance/socket.h"

namespace vmbus::cases {

// Where a thread sleeps that waits in accept() or connect(): there, or under the shim in what it
// waits in for them. Not in what it says to its daemon before. For WaitingCall.
inline constexpr std::array<long, 2> kInAccept{SYS_accept4, SYS_recvmsg};
inline constexpr std::array<long, 2> kInConnect{SYS_connect, SYS_ppoll};

class Stopwatch {
 public:
  std::chrono::milliseconds elapsed() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start_);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

inline timeval as_timeval(std::chrono::milliseconds time) {
  return {time.count() / 1000, time.count() % 1000 * 1000};
}

// The time limit of an AF_VSOCK socket's connect().
template <typename AnySocket>
Outcome limit_connect(const AnySocket& socket, std::chrono::milliseconds limit) {
  return socket.set_option(AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, as_timeval(limit));
}

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_WAITING_H_
