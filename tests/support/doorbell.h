// Doorbell: what stands in for a VMBus signal in tests: an eventfd, so that it works between
// threads and between processes. Edge-like: several rings before a wait count as one.
#ifndef VMBUS_TESTS_SUPPORT_DOORBELL_H_
#define VMBUS_TESTS_SUPPORT_DOORBELL_H_

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace vmbus::testing {

class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_CLOEXEC)) {}
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  void ring() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(fd_, &one, sizeof(one));
  }

  // False when nobody rang for so long that the signal must be lost.
  bool wait() const {
    constexpr int kLostAfterMs = 30'000;
    pollfd entry{fd_, POLLIN, 0};
    if (poll(&entry, 1, kLostAfterMs) != 1) return false;
    std::uint64_t rings = 0;
    return read(fd_, &rings, sizeof(rings)) == sizeof(rings);
  }

 private:
  int fd_;
};

}  // namespace vmbus::testing

#endif  // VMBUS_TESTS_SUPPORT_DOORBELL_H_
