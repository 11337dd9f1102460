#include "tests/bench/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "tests/bench/transport.h"
#include "tests/support/unhooked.h"

namespace vmbus::bench {

Connection::Connection(int fd, Wait wait) : fd_(fd), wait_(wait) {
  if (wait != Wait::kBlocking) watch();
}

Connection::~Connection() {
  ::close(fd_);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

bool Connection::send_all(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t length = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (length >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(length));
    } else if (errno == EAGAIN) {
      pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
      require(::poll(&room, 1, -1), "poll");
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return false;
    } else {
      fail("send");
    }
  }
  return true;
}

std::size_t Connection::receive_some(std::span<std::byte> room) {
  while (true) {
    if (epoll_fd_ >= 0) wait_for_bytes();
    const ssize_t length = ::recv(fd_, room.data(), room.size(), 0);
    if (length >= 0) return static_cast<std::size_t>(length);
    if (errno == ECONNRESET) return 0;
    if (errno != EAGAIN) fail("recv");
  }
}

bool Connection::receive_all(std::span<std::byte> room) {
  while (!room.empty()) {
    const std::size_t length = receive_some(room);
    if (length == 0) return false;
    room = room.subspan(length);
  }
  return true;
}

void Connection::watch() {
  require(::fcntl(fd_, F_SETFL, O_NONBLOCK), "O_NONBLOCK");
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd_}};
  if (wait_ == Wait::kEpoll) {
    epoll_fd_ = static_cast<int>(require(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
    require(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd_, &event), "epoll_ctl");
  } else {
    epoll_fd_ = static_cast<int>(
        require(unhooked(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0), "epoll_create1"));
    require(unhooked(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, fd_, pointer_argument(&event), 0),
            "epoll_ctl");
  }
}

void Connection::wait_for_bytes() const {
  epoll_event event{};
  if (wait_ == Wait::kEpoll) {
    require(::epoll_wait(epoll_fd_, &event, 1, -1), "epoll_wait");
  } else {
    require(unhooked(SYS_epoll_pwait, epoll_fd_, pointer_argument(&event), 1, -1, 0),
            "epoll_pwait");
  }
}

void fail_early() {
  errno = ECONNRESET;
  fail("the other side ended before the measurement did");
}

}  // namespace vmbus::bench
