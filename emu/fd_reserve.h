// FdReserve: descriptors held back for control work, so that a bus whose sockets used up
// RLIMIT_NOFILE can still accept `vmbus ps`, receive a carrier with a request, and close things.
// socket() fails with EMFILE before that.
//
// Size        32, and no more than a quarter of a limit so low that they would not leave the sockets
//             enough.
// Threads     The loop thread.
#ifndef VMBUS_EMU_FD_RESERVE_H_
#define VMBUS_EMU_FD_RESERVE_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "emu/owned_fd.h"

namespace vmbus::emu {

constexpr std::size_t reserve_size(std::size_t descriptor_limit) {
  return std::min<std::size_t>(descriptor_limit / 4, 32);
}

// What a daemon needs: its own, the reserve, and room for a few connections.
inline constexpr std::size_t kFewestDescriptors = 32;

// RLIMIT_NOFILE, as it is now.
std::size_t descriptor_limit();

class FdReserve {
 public:
  explicit FdReserve(std::size_t size);

  std::size_t held() const { return held_.size(); }
  // Frees one number for the caller to use; false: none is left.
  bool give_up_one();
  // Takes back what is missing, as far as the process's limit allows.
  void refill();

  // One free number for as long as this lives; what else had become free is held back first.
  class Loan {
   public:
    explicit Loan(FdReserve& reserve) : reserve_(reserve) {
      reserve_.refill();
      reserve_.give_up_one();
    }
    ~Loan() { reserve_.refill(); }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;

   private:
    FdReserve& reserve_;
  };

 private:
  std::size_t size_;
  OwnedFd original_;  // what the held ones duplicate
  std::vector<OwnedFd> held_;
};

}  // namespace vmbus::emu

#endif  // VMBUS_EMU_FD_RESERVE_H_
