// The io_uring back end: one multishot poll request a watch; arming and sleeping are one system
// call.
//
// Edges       A multishot poll completes once for each wake-up of the file, as EPOLLET does. HUP
//             does not end it: a peer that shuts both directions and closes later gives two
//             completions.
// Ending      The kernel may end a request (completion queue full). Its last completion lacks
//             IORING_CQE_F_MORE and the loop arms it again, which reports at once if the
//             descriptor is ready: nothing is lost.
// References  A poll request keeps its file open, and with deferred task work its end takes effect
//             only when the ring is entered. let_go() therefore enters it, so that the close() that
//             follows is the last. Requests end by cancellation: IORING_OP_POLL_REMOVE
//             leaves one alone that is about to report, and its file would stay open for good.
#include <liburing.h>
#include <sys/epoll.h>

#include <cerrno>
#include <unordered_set>

#include "emu/log.h"
#include "emu/loop_backend.h"

namespace vmbus::emu {
namespace {

constexpr unsigned kSubmissions = 256;
constexpr unsigned kCompletions = 4096;
constexpr std::uint64_t kNoKey = 0;  // of requests whose completion says nothing

class UringBackend final : public LoopBackend {
 public:
  explicit UringBackend(const io_uring& ring) : ring_(ring) {}
  ~UringBackend() override { ::io_uring_queue_exit(&ring_); }
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  std::string_view name() const override { return "io_uring"; }

  int arm(int fd, std::uint32_t events, std::uint64_t key) override {
    io_uring_sqe* sqe = next_sqe();
    ::io_uring_prep_poll_multishot(sqe, fd, events);
    ::io_uring_sqe_set_data64(sqe, key);
    armed_.insert(key);
    return 0;
  }

  void disarm(int, std::uint64_t key) override { remove(key); }

  // The kernel ends no more than some twenty requests each time.
  void let_go() override {
    while (!ending_.empty()) {
      enter();
      reap();
    }
  }

  int change(int fd, std::uint32_t events, std::uint64_t old_key, std::uint64_t new_key) override {
    remove(old_key);
    return arm(fd, events, new_key);
  }

  void wait(std::optional<std::chrono::nanoseconds> timeout,
            std::vector<ReadyEvent>& ready) override {
    if (!reaped_.empty()) timeout = std::chrono::nanoseconds::zero();
    sleep(timeout);
    reap();
    ready.insert(ready.end(), reaped_.begin(), reaped_.end());
    reaped_.clear();
  }

 private:
  void remove(std::uint64_t key) {
    if (armed_.contains(key)) ending_.insert(key);
    io_uring_sqe* sqe = next_sqe();
    ::io_uring_prep_cancel64(sqe, key, 0);
    ::io_uring_sqe_set_data64(sqe, kNoKey);
  }

  io_uring_sqe* next_sqe() {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      enter();
      reap();
      sqe = ::io_uring_get_sqe(&ring_);
    }
    return sqe;
  }

  // Submits, and lets deferred work (the end of removed requests) run; does not sleep.
  void enter() { check(::io_uring_submit_and_get_events(&ring_)); }

  void sleep(std::optional<std::chrono::nanoseconds> timeout) {
    if (timeout == std::chrono::nanoseconds::zero()) return enter();  // arms no timer
    io_uring_cqe* first = nullptr;
    __kernel_timespec limit{};
    if (timeout) {
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*timeout);
      limit = {seconds.count(), (*timeout - seconds).count()};
    }
    check(
        ::io_uring_submit_and_wait_timeout(&ring_, &first, 1, timeout ? &limit : nullptr, nullptr));
  }

  static void check(int result) {
    // EBUSY and EAGAIN: completions must be reaped first, which every caller does next.
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EBUSY ||
        result == -EAGAIN)
      return;
    log_fatal("io_uring_enter failed: {}", errno_text(-result));
  }

  void reap() {
    unsigned head = 0;
    unsigned count = 0;
    const io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      ++count;
      take(*cqe);
    }
    ::io_uring_cq_advance(&ring_, count);
  }

  void take(const io_uring_cqe& cqe) {
    const bool ended = (cqe.flags & IORING_CQE_F_MORE) == 0;
    if (ended) {
      armed_.erase(cqe.user_data);
      ending_.erase(cqe.user_data);
    }
    if (cqe.user_data == kNoKey || cqe.res == -ECANCELED) return;
    if (cqe.res < 0) {
      log_error("io_uring cannot watch a descriptor: {}", errno_text(-cqe.res));
      reaped_.push_back({cqe.user_data, EPOLLERR, false});
      return;
    }
    reaped_.push_back({cqe.user_data, static_cast<std::uint32_t>(cqe.res), ended});
  }

  io_uring ring_;
  std::unordered_set<std::uint64_t> armed_;   // keys of requests that the kernel has
  std::unordered_set<std::uint64_t> ending_;  // of them: cancelled
  std::vector<ReadyEvent> reaped_;            // taken from the ring, not yet reported
};

// 0 or an errno value.
int open_ring(io_uring& ring, unsigned flags) {
  io_uring_params params{};
  params.flags = flags | IORING_SETUP_CQSIZE;
  params.cq_entries = kCompletions;
  const int result = ::io_uring_queue_init_params(kSubmissions, &ring, &params);
  if (result < 0) return -result;
  // Without these two, sleeping with a limit needs a request of its own, and a full queue loses
  // completions.
  constexpr unsigned kNeeded = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;
  if ((params.features & kNeeded) == kNeeded) return 0;
  ::io_uring_queue_exit(&ring);
  return EINVAL;
}

}  // namespace

tl::expected<std::unique_ptr<LoopBackend>, int> make_uring_backend() {
  io_uring ring{};
  // Deferred task work batches completions; kernels before 6.1 do not know it and say EINVAL.
  int error = open_ring(ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (error == EINVAL) error = open_ring(ring, 0);
  if (error != 0) return tl::unexpected(error);
  return std::make_unique<UringBackend>(ring);
}

}  // namespace vmbus::emu
