#include "emu/fd_reserve.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <utility>

namespace vmbus::emu {

std::size_t descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

FdReserve::FdReserve(std::size_t size) : size_(size), original_(::eventfd(0, EFD_CLOEXEC)) {
  held_.reserve(size_);
  refill();
}

bool FdReserve::give_up_one() {
  if (held_.empty()) return false;
  held_.pop_back();
  return true;
}

void FdReserve::refill() {
  while (held_.size() < size_) {
    OwnedFd one(::fcntl(original_.get(), F_DUPFD_CLOEXEC, 0));
    if (!one) return;
    held_.push_back(std::move(one));
  }
}

}  // namespace vmbus::emu
