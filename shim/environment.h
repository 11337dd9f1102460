// The VMBUS_* variables, as the shim understands them. Read once, when the library is loaded, so that a
// program which clears its environment stays on its bus; a bad value makes socket() of our families
// fail with EINVAL (and says so when VMBUS_LOG is on).
#ifndef VMBUS_SHIM_ENVIRONMENT_H_
#define VMBUS_SHIM_ENVIRONMENT_H_

#include <array>
#include <cstddef>

namespace vmbus::shim {

inline constexpr std::size_t kMaxPathBytes = 4096;
inline constexpr int kDefaultSpinUs = 20;
inline constexpr int kMaxSpinUs = 1000;

struct Environment {
  // VMBUS_SOCKET, or where the daemon listens by default.
  std::array<char, kMaxPathBytes> socket_path{};
  std::array<char, 64> partition{};  // VMBUS_PARTITION: "auto", "host" or a guest's name
  std::array<char, 16> profile{};    // VMBUS_PROFILE: a column of emu/protocol/quirk_table.inc
  std::array<char, 512> quirks{};    // VMBUS_QUIRKS: NAME=VALUE,... of its rows
  bool log = false;                  // VMBUS_LOG
  bool works_rings = false;      // VMBUS_MODE is not pump: data calls may work the rings themselves
  int spin_us = kDefaultSpinUs;  // VMBUS_SPIN_US: how long one may spin; 0: not at all
  // The first variable with a bad value, or null; the value, and what it may be, for people.
  const char* bad_variable = nullptr;
  const char* bad_value = nullptr;
  const char* legal_values = nullptr;
};

using GetVariable = const char* (*)(const char* name);

// Pure, for tests: `uid` names the default directory below /tmp.
void parse_environment(GetVariable get, unsigned uid, Environment* environment);

// This process's, parsed at the first call. REQUIRES: the lock (fork.h) is held at the first call.
const Environment& environment();

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_ENVIRONMENT_H_
