// VMBUS_CASE: one numbered case of the socket conformance list, and the setups it holds in.
//
//   VMBUS_CASE(Bind, 31, kLinux, "a bound socket cannot be bound again") {
//     const Socket socket = stream();
//     ...gtest's EXPECT_* and ASSERT_*...
//   }
//
// A setup is a profile with its quirks and the partition the cases run in (setup.cc lists them);
// one run of socket_cases is one setup. kTcp and kUnix are plain sockets of this kernel, without the
// shim: what holds there too shows that the case itself is right. `tools/dev/gen_cases` reads these
// lines for docs/socket_cases.md, so number, setups and title stand on the macro's own line(s).
// Numbers from 1001 on are traps that the list has no row for.
#ifndef VMBUS_TESTS_CONFORMANCE_CASE_H_
#define VMBUS_TESTS_CONFORMANCE_CASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

namespace vmbus::cases {

// Bits, so that a case names a set.
enum Setup : std::uint32_t {
  kDefault = 1U << 0,   // profile default, in the guest
  kStrict = 1U << 1,    // profile strict, in the guest
  kLoopback = 1U << 2,  // strict, and the guest has vsock_loopback
  kVirtio = 1U << 3,    // profile virtio, in the guest
  kFreeBsd = 1U << 4,   // profile freebsd, in a freebsd guest
  kWindows = 1U << 5,   // profile windows, on the host
  kLinux5_4 = 1U << 6,  // strict, with an older or newer Linux in the guest
  kLinux6_12 = 1U << 7,
  kLinux6_16 = 1U << 8,
  kLinux2026 = 1U << 9,
  kTcp = 1U << 10,            // plain: TCP on 127.0.0.1
  kUnix = 1U << 11,           // plain: AF_UNIX streams
  kStrictListed = 1U << 12,   // strict and windows, on a bus with a list of registered services;
  kWindowsListed = 1U << 13,  // the cases of these write their own names
  kLinux5_14 = 1U << 14,
};
// Sets that many cases name.
inline constexpr std::uint32_t kHyperV = kStrict | kDefault;           // not made convenient
inline constexpr std::uint32_t kLinux = kDefault | kStrict | kVirtio;  // "ANY" in the list
inline constexpr std::uint32_t kPlain = kTcp | kUnix;
// Beside a set: holds where programs use the rings themselves. In PUMP the kernel's socket buffer
// hides it, and the case does not run.
inline constexpr std::uint32_t kNeedsRing = 1U << 31;

// What this run is. REQUIRES: main() has chosen one.
Setup setup();
inline bool in(std::uint32_t setups) { return (setup() & setups) != 0; }
// This program and its peers use the rings themselves.
inline bool works_rings() {
  const char* mode = std::getenv("VMBUS_MODE");
  return mode == nullptr || std::string_view(mode) != "pump";
}

struct Case {
  const char* section;
  int number;
  std::uint32_t setups;
  const char* title;
  void (*body)();
  const char* file;
  int line;
};

// All that are linked in, in no order.
std::span<const Case> all_cases();
bool add_case(const Case& added);

}  // namespace vmbus::cases

#define VMBUS_CASE(section, number, setups, title)                                     \
  static void case_##number();                                                         \
  [[maybe_unused]] static const bool case_##number##_added = ::vmbus::cases::add_case( \
      {#section, number, setups, title, &case_##number, __FILE__, __LINE__});          \
  static void case_##number()

#endif  // VMBUS_TESTS_CONFORMANCE_CASE_H_
