// OwnedFd: a file descriptor with one owner; closing happens exactly once, when the owner goes.
//
// Used by the daemon, by emu/client and by the tools. An empty one holds -1. Not for the shim,
// whose closing must not pass through libc (shim/real.h).
#ifndef VMBUS_EMU_OWNED_FD_H_
#define VMBUS_EMU_OWNED_FD_H_

#include <unistd.h>

#include <utility>

namespace vmbus::emu {

class [[nodiscard]] OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() { reset(); }
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // The caller closes it from now on.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  // Linux frees the number even when close() says EINTR, so it is never repeated.
  void reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_OWNED_FD_H_
