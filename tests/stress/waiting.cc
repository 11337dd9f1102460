#include "tests/stress/waiting.h"

#include <liburing.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>

#include "tests/fuzz/hostile/sockets.h"

namespace vmbus::stress {
namespace {

// The two have the same values for what is asked for here.
static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT && POLLRDHUP == EPOLLRDHUP);

// A signal, or a stop, ends a wait early: that is a reason to look again.
void judge(int result, const char* what) {
  if (result < 0 && errno != EINTR) hostile::fail(hostile::kExitWrong, what);
}

class PollWaiter : public Waiter {
 public:
  explicit PollWaiter(int fd) : fd_(fd) {}
  void wait(short events) override {
    pollfd wanted{fd_, events, 0};
    judge(::poll(&wanted, 1, -1), "poll failed");
  }

 private:
  int fd_;
};

class SelectWaiter : public Waiter {
 public:
  explicit SelectWaiter(int fd) : fd_(fd) {}
  void wait(short events) override {
    fd_set readable;
    fd_set writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    if ((events & POLLIN) != 0) FD_SET(fd_, &readable);
    if ((events & POLLOUT) != 0) FD_SET(fd_, &writable);
    judge(::select(fd_ + 1, &readable, &writable, nullptr, nullptr), "select failed");
  }

 private:
  int fd_;
};

class EpollWaiter : public Waiter {
 public:
  EpollWaiter(int fd, short events, bool edge)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)), fd_(fd), edge_(edge) {
    control(EPOLL_CTL_ADD, events);
  }
  ~EpollWaiter() override { ::close(epoll_); }
  void wait(short events) override {
    if (!edge_ && events != registered_) control(EPOLL_CTL_MOD, events);
    epoll_event event{};
    judge(::epoll_wait(epoll_, &event, 1, -1), "epoll_wait failed");
  }

 private:
  void control(int what, short events) {
    epoll_event event{};
    event.events = static_cast<unsigned short>(events);
    if (edge_) event.events |= EPOLLET | EPOLLRDHUP;
    judge(::epoll_ctl(epoll_, what, fd_, &event), "epoll_ctl failed");
    registered_ = events;
  }

  int epoll_;
  int fd_;
  bool edge_;
  short registered_ = 0;
};

// POLL_ADD, by system calls that stand inside liburing: no hook sees the wait.
class UringWaiter : public Waiter {
 public:
  explicit UringWaiter(int fd) : fd_(fd) {}
  ~UringWaiter() override {
    if (is_open_) ::io_uring_queue_exit(&ring_);
  }
  bool open() { return is_open_ = ::io_uring_queue_init(4, &ring_, 0) == 0; }
  void wait(short events) override {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_poll_add(entry, fd_, static_cast<unsigned short>(events));
    if (::io_uring_submit(&ring_) != 1)
      hostile::fail(hostile::kExitWrong, "io_uring takes nothing");
    io_uring_cqe* answer = nullptr;
    // One question, one answer: it is waited for whatever interrupts.
    while (::io_uring_wait_cqe(&ring_, &answer) == -EINTR) continue;
    if (answer == nullptr || answer->res < 0) hostile::fail(hostile::kExitWrong, "POLL_ADD failed");
    ::io_uring_cqe_seen(&ring_, answer);
  }

 private:
  int fd_;
  io_uring ring_{};
  bool is_open_ = false;
};

}  // namespace

std::unique_ptr<Waiter> Waiter::make(Way way, int fd, short events, Progress& progress) {
  switch (way) {
    case Way::kBlocking:
      return nullptr;
    case Way::kPoll:
      break;
    case Way::kSelect:
      return std::make_unique<SelectWaiter>(fd);
    case Way::kLevel:
    case Way::kEdge:
      return std::make_unique<EpollWaiter>(fd, events, way == Way::kEdge);
    case Way::kUring:
      if (auto waiter = std::make_unique<UringWaiter>(fd); waiter->open()) return waiter;
      add_one(progress.refused);
      break;
  }
  return std::make_unique<PollWaiter>(fd);
}

}  // namespace vmbus::stress
