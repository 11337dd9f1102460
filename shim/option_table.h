// getsockopt() and setsockopt() on our sockets, as data. Pure: what an option reads comes from the
// endpoint's entry; what a call changes becomes a request to the daemon, or goes to A.
//
// Levels in a request: SOL_SOCKET with Linux' SO_ numbers, AF_VSOCK (40) with SO_VM_SOCKETS_ numbers,
// AF_HYPERV (34) with HVSOCKET_ numbers. Programs say HV_PROTOCOL_RAW (1) for the last, which is also
// SOL_SOCKET. For AF_HYPERV sockets, get 1 and set 1, 4 (and 8 with a value of 0 or 1) are HVSOCKET_
// options; get 2, 4, 8 and set 2 are SO_REUSEADDR, SO_ERROR, SO_RCVBUF, because every event loop asks
// for SO_ERROR.
#ifndef VMBUS_SHIM_OPTION_TABLE_H_
#define VMBUS_SHIM_OPTION_TABLE_H_

#include <array>
#include <cstddef>
#include <cstring>

#include "emu/protocol/endpoint_table.h"

namespace vmbus::shim {

inline constexpr std::uint32_t kStoredZeroCopy = 16;  // a bit of Endpoint::stored_options

// What an option reads.
struct OptionValue {
  std::array<std::byte, 40> bytes{};
  std::size_t size = 0;

  template <typename T>
  static OptionValue of(const T& value) {
    OptionValue result;
    static_assert(sizeof value <= sizeof result.bytes);
    std::memcpy(result.bytes.data(), &value, sizeof value);
    result.size = sizeof value;
    return result;
  }
};

struct GetPlan {
  enum Kind {
    kValue,      // `value`; a shorter buffer gets its beginning
    kWhole,      // `value`; a shorter buffer is EINVAL
    kTakeError,  // SO_ERROR: read and clear
    kAskKernel,  // A's own
    kRefuse,     // `error`
  };
  Kind kind = kAskKernel;
  int error = 0;
  OptionValue value{};
};
GetPlan plan_get(const proto::Endpoint& endpoint, int level, int option);

struct SetPlan {
  enum Kind {
    kAskDaemon,  // `level`, `option`, and the value in canonical form
    kIgnore,     // accepted, without effect
    kAskKernel,  // A's own
    kRefuse,     // `error`
  };
  Kind kind = kAskKernel;
  int error = 0;
  int level = 0;
  int option = 0;
  std::size_t size = 0;  // how many bytes the value has; a shorter one is EINVAL
};
SetPlan plan_set(const proto::Endpoint& endpoint, int level, int option);

// Judges a value that was read for `plan`, and brings it into the form that the daemon wants (a
// Boolean is 0 or 1). May turn the plan into another one: number 8 of an AF_HYPERV socket depends
// on its value. 0 or an errno value.
int settle_value(const proto::Endpoint& endpoint, SetPlan* plan, void* value);

}  // namespace vmbus::shim

#endif  // VMBUS_SHIM_OPTION_TABLE_H_
