#include "emu/hvsocket/close_watch.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "emu/fd_reserve.h"

namespace vmbus::emu {
namespace {

constexpr std::size_t kFewReady = 16;
constexpr std::size_t kLimitForEach = 64;  // of descriptors

}  // namespace

CloseWatch::CloseWatch() : ready_(kFewReady) {
  const std::size_t count = std::clamp<std::size_t>(descriptor_limit() / kLimitForEach, 1, kMost);
  while (epolls_.size() < count) epolls_.emplace_back(::epoll_create1(EPOLL_CLOEXEC));
}

int CloseWatch::add(int a, std::uint64_t cookie) const {
  epoll_event event{};
  event.events = 0;  // HUP, and ERR, are always told
  event.data.u64 = cookie;
  return ::epoll_ctl(instance_of(cookie), EPOLL_CTL_ADD, a, &event) == 0 ? 0 : ENOMEM;
}

// Those that are open and shut stay ready, so all of them are looked through; programs keep few.
bool CloseWatch::is_open(std::uint64_t cookie) {
  const int epoll = instance_of(cookie);
  while (true) {
    const int count = ::epoll_wait(epoll, ready_.data(), static_cast<int>(ready_.size()), 0);
    if (count < 0) return true;  // nobody knows
    if (std::cmp_equal(count, ready_.size())) {
      ready_.resize(2 * ready_.size());
      continue;
    }
    return std::any_of(ready_.begin(), ready_.begin() + count,
                       [cookie](const epoll_event& event) { return event.data.u64 == cookie; });
  }
}

}  // namespace vmbus::emu
