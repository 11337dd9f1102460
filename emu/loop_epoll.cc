// The epoll back end: available everywhere, and what containers run on, whose default profiles
// refuse io_uring.
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "emu/log.h"
#include "emu/loop_backend.h"
#include "emu/owned_fd.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kBatch = 256;

// epoll counts milliseconds; rounding up keeps a timer from waking the loop before it is due.
int to_milliseconds(std::optional<std::chrono::nanoseconds> timeout) {
  if (!timeout) return -1;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
  return static_cast<int>(std::clamp<decltype(whole)>(whole, 0, std::numeric_limits<int>::max()));
}

class EpollBackend final : public LoopBackend {
 public:
  explicit EpollBackend(OwnedFd epoll) : epoll_(std::move(epoll)) {}

  std::string_view name() const override { return "epoll"; }

  int arm(int fd, std::uint32_t events, std::uint64_t key) override {
    return control(EPOLL_CTL_ADD, fd, events, key);
  }

  void disarm(int fd, std::uint64_t) override { control(EPOLL_CTL_DEL, fd, 0, 0); }

  void let_go() override {}

  int change(int fd, std::uint32_t events, std::uint64_t, std::uint64_t new_key) override {
    return control(EPOLL_CTL_MOD, fd, events, new_key);
  }

  void wait(std::optional<std::chrono::nanoseconds> timeout,
            std::vector<ReadyEvent>& ready) override {
    const int count = ::epoll_wait(epoll_.get(), batch_.data(), static_cast<int>(kBatch),
                                   to_milliseconds(timeout));
    if (count < 0 && errno != EINTR) log_fatal("epoll_wait failed: {}", errno_text(errno));
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = batch_[static_cast<std::size_t>(i)];
      ready.push_back({event.data.u64, event.events, false});
    }
  }

 private:
  int control(int operation, int fd, std::uint32_t events, std::uint64_t key) const {
    epoll_event event{};
    event.events = events | EPOLLET;
    event.data.u64 = key;
    return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0 ? 0 : errno;
  }

  OwnedFd epoll_;
  std::array<epoll_event, kBatch> batch_{};
};

}  // namespace

tl::expected<std::unique_ptr<LoopBackend>, int> make_epoll_backend() {
  OwnedFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return tl::unexpected(errno);
  return std::make_unique<EpollBackend>(std::move(epoll));
}

}  // namespace vmbus::emu
