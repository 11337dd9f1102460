// This thread without some capabilities, as long as the object lives. Who has none of them anyway loses nothing.
#ifndef VMBUS_TESTS_SUPPORT_FEWER_CAPABILITIES_H_
#define VMBUS_TESTS_SUPPORT_FEWER_CAPABILITIES_H_

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <initializer_list>

namespace vmbus::test {

class FewerCapabilities {
 public:
  // Of the first 32.
  FewerCapabilities(std::initializer_list<unsigned> given_up) {
    if (::syscall(SYS_capget, &header_, before_.data()) != 0) std::abort();
    auto reduced = before_;
    for (const unsigned capability : given_up) reduced[0].effective &= ~(1U << capability);
    set(reduced);
  }
  ~FewerCapabilities() { set(before_); }
  FewerCapabilities(const FewerCapabilities&) = delete;
  FewerCapabilities& operator=(const FewerCapabilities&) = delete;

 private:
  using Sets = std::array<__user_cap_data_struct, 2>;
  void set(const Sets& sets) {
    if (::syscall(SYS_capset, &header_, sets.data()) != 0) std::abort();
  }

  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  Sets before_{};
};

}  // namespace vmbus::test

#endif  // VMBUS_TESTS_SUPPORT_FEWER_CAPABILITIES_H_
