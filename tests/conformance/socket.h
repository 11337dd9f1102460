// Socket: a descriptor of this process and the calls on it, each with its Outcome.
//
// Its calls are libc's, so under the shim they are the shim's. Nothing here retries, hides an error
// or sets an option: a case sees what a program would see.
#ifndef VMBUS_TESTS_CONFORMANCE_SOCKET_H_
#define VMBUS_TESTS_CONFORMANCE_SOCKET_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "tests/conformance/address.h"
#include "tests/conformance/outcome.h"

namespace vmbus::cases {

// Every event that poll(2) knows; what POLLNVAL, ERR and HUP need no asking for comes anyway.
inline constexpr short kAllEvents =
    POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLWRNORM | POLLRDHUP;

// What a receiving call gave: Outcome and the bytes.
struct Received {
  Outcome outcome;
  std::string data;
};

class [[nodiscard]] Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept : fd_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept {
    close();
    fd_ = other.release();
    return *this;
  }

  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  Outcome close() {
    const int fd = release();
    return fd < 0 ? gives(0) : outcome(::close(fd));
  }

  Outcome bind(const Address& name) const { return outcome(::bind(fd_, name.get(), name.size)); }
  Outcome listen(int backlog = 16) const { return outcome(::listen(fd_, backlog)); }
  Outcome connect(const Address& to) const { return outcome(::connect(fd_, to.get(), to.size)); }
  // The accepted socket is outcome.value; use Socket(static_cast<int>(...)) or accepted().
  Outcome accept(Address* peer = nullptr, int flags = 0) const {
    if (peer == nullptr) return outcome(::accept4(fd_, nullptr, nullptr, flags));
    peer->size = sizeof peer->storage;
    return outcome(::accept4(fd_, peer->get(), &peer->size, flags));
  }
  Socket accepted() const { return Socket(static_cast<int>(accept().value)); }
  Outcome shutdown(int how) const { return outcome(::shutdown(fd_, how)); }

  Outcome send(std::string_view data, int flags = MSG_NOSIGNAL) const {
    return outcome(::send(fd_, data.data(), data.size(), flags));
  }
  Received receive(std::size_t size, int flags = 0) const {
    std::string data(size, '\0');
    const Outcome result = outcome(::recv(fd_, data.data(), size, flags));
    data.resize(result.ok() ? static_cast<std::size_t>(result.value) : 0);
    return {result, std::move(data)};
  }

  // getsockname(), getpeername(): the name is empty when the call failed.
  std::pair<Outcome, Address> name() const { return name_by(::getsockname); }
  std::pair<Outcome, Address> peer_name() const { return name_by(::getpeername); }

  template <typename T>
  Outcome set_option(int level, int option, const T& value) const {
    return outcome(::setsockopt(fd_, level, option, &value, sizeof value));
  }
  // An option that reads as an int; -1 with errno in the Outcome when it does not.
  Outcome option(int level, int number) const {
    int value = 0;
    socklen_t size = sizeof value;
    const Outcome result = outcome(::getsockopt(fd_, level, number, &value, &size));
    return result.ok() ? gives(value) : result;
  }
  Outcome so_error() const { return option(SOL_SOCKET, SO_ERROR); }

  // revents now, or after `limit`.
  short poll(std::chrono::milliseconds limit = {}, short events = kAllEvents) const {
    pollfd entry{fd_, events, 0};
    ::poll(&entry, 1, static_cast<int>(limit.count()));
    return entry.revents;
  }
  Outcome set_nonblocking(bool on = true) const {
    const int flags = ::fcntl(fd_, F_GETFL);
    return outcome(::fcntl(fd_, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
  }
  // A request that reads an int; its value, or -1 with errno.
  Outcome ioctl_int(unsigned long request) const {
    int value = 0;
    const Outcome result = outcome(::ioctl(fd_, request, &value));
    return result.ok() ? gives(value) : result;
  }

 private:
  std::pair<Outcome, Address> name_by(int (*call)(int, sockaddr*, socklen_t*)) const {
    Address address;
    address.size = sizeof address.storage;
    const Outcome result = outcome(call(fd_, address.get(), &address.size));
    if (!result.ok()) address.size = 0;
    return {result, address};
  }

  int fd_ = -1;
};

}  // namespace vmbus::cases

#endif  // VMBUS_TESTS_CONFORMANCE_SOCKET_H_
